package attribute

import (
	"net/netip"
	"time"

	"whoasked/parse"
)

// leg is what joining remembers of a connection: one leg of the way between a
// person and an endpoint, as one capture shows it.
type leg struct {
	id      uint64
	capture uint16 // index in Legs.captures
	sni     uint32 // index in Legs.names
	hop     uint16 // index in Legs.hops, of the server; 0 for none
	from    uint16 // the same, of the client

	ends [2]packed // the client's, the server's
	// target is what a CONNECT or SOCKS request names, index in Legs.names.
	target uint32
	alpn   uint32 // negotiated or, in TLS 1.3, offered first; index in Legs.names
	// version and cert are what the server showed: the version negotiated and
	// the digest of its certificate, zero where it was sealed.
	version parse.Version
	cert    [8]byte
	// clientPrint and serverPrint are the JA4 and the JA3S, indices in
	// Legs.clientPrints and Legs.serverPrints.
	clientPrint, serverPrint uint16
	source                   uint32 // index in Legs.sources, plus 1; 0 for none

	random     [16]byte // of the client's, enough of it to be unique; zero for none
	answer     [8]byte  // of the server's random; valid iff hello
	start, end int64    // nanoseconds since 1970, by the capture's clock
	delay      int64    // from ClientHello to ServerHello in nanoseconds, 0 if not known
	hailed     int64    // when the ClientHello was sent, as start; valid iff named
	up, down   int64    // application data in bytes of sealed records, by TLS role
	// tickets is how much of down may be tickets that hold the client's certificate.
	tickets int64

	opened

	asked   Answer
	basis   Basis
	when    When
	resumed bool
	hello   bool // a ServerHello was read
	named   bool // a ClientHello was read
}

// maxLegs bounds what is remembered for joining, about 6 MiB.
const maxLegs = 24 << 10

// Legs joins connections into the ways they are legs of. Its memory is bounded;
// Left tells what went beyond.
type Legs struct {
	// Configured, if set before Join, tells which endpoints end TLS.
	Configured Hops

	legs     blocks[leg]
	captures index[uint16]
	names    index[uint32]
	hops     index[uint16]
	// The fingerprints of clients and of servers.
	clientPrints, serverPrints index[uint16]
	// sources are clients' addresses that PROXY headers tell.
	sources []netip.AddrPort
	options optionList
	left    int64
}

// index numbers strings from 1 as they turn up; 0 is the empty one, and what
// does not fit.
type index[N uint16 | uint32] struct {
	texts []string
	ids   map[string]N
	last  N
}

func (x *index[N]) of(s string) N {
	if s == "" {
		return 0
	}
	if x.last != 0 && x.texts[x.last-1] == s {
		return x.last // they come in runs
	}
	if id, ok := x.ids[s]; ok {
		x.last = id
		return id
	}
	const bound = 1<<16 - 2
	if len(x.texts) >= bound {
		return 0
	}
	if x.ids == nil {
		x.ids = make(map[string]N)
	}
	x.texts = append(x.texts, s)
	id := N(len(x.texts))
	x.ids[s] = id
	return id
}

func (x *index[N]) text(id N) string {
	if id == 0 {
		return ""
	}
	return x.texts[id-1]
}

// Add remembers a judged connection.
func (l *Legs) Add(c *Connection) {
	if l.legs.n == maxLegs {
		l.left++
		return
	}
	n := leg{
		id: c.ID, capture: l.captures.of(c.Capture), hop: l.hops.of(c.Hop), from: l.hops.of(c.ClientHop),
		ends:  [2]packed{pack(c.Client), pack(c.Server)},
		start: c.Start.UnixNano(), end: c.Last.UnixNano(),
		asked: c.Verdict.Asked, basis: c.Verdict.Basis, when: c.Verdict.When, resumed: c.Verdict.Resumed,
		hello: c.ServerHello != nil, opened: l.opening(c),
	}
	if c.ServerHello != nil {
		copy(n.answer[:], c.ServerHello.Random[:])
		n.version = c.ServerHello.Version
		n.serverPrint = l.serverPrints.of(c.ServerHello.JA3S)
		n.alpn = l.names.of(c.ServerHello.ALPN)
		if c.ClientHello != nil {
			n.delay = max(int64(c.ServerHello.At.Sub(c.ClientHello.At)), 0)
		}
	}
	if c.ClientHello != nil {
		n.named = true
		n.hailed = c.ClientHello.At.UnixNano()
		n.clientPrint = l.clientPrints.of(c.ClientHello.JA4)
		n.sni = l.names.of(c.ClientHello.ServerName)
		copy(n.random[:], c.ClientHello.Random[:])
		if n.alpn == 0 && len(c.ClientHello.ALPN) > 0 {
			n.alpn = l.names.of(c.ClientHello.ALPN[0])
		}
	}
	if c.ClientKnown {
		n.up = volume(c, c.Handshake.Client)
		n.down = volume(c, c.Handshake.Client.Other())
		n.tickets = tickets(c)
	}
	if certs := c.ServerCerts(); len(certs) > 0 {
		copy(n.cert[:], certs[0].SHA256[:])
	}
	if p := c.Proxied; p != nil && p.Source.IsValid() {
		l.sources = append(l.sources, p.Source)
		n.source = uint32(len(l.sources))
	}
	n.target = l.names.of(c.Target)
	l.legs.add(n)
}

// volume is the application data that a side sent, without what records add to it.
// TLS 1.3 seals its handshake like data: what the server sends before the client's
// first sealed record is none, nor is that record.
func volume(c *Connection, s parse.Side) int64 {
	const sealed13, sealed12 = 17, 24 // RFC 8446 §5.2, RFC 5288 §3; others differ by little
	n, records, each := c.Sides[s].AppBytes, c.Sides[s].AppData, sealed12
	if c.ServerHello != nil && c.ServerHello.Version.IsTLS13() {
		each = sealed13
		for _, r := range c.Tape.Records {
			if r.Type != parse.ApplicationData {
				continue
			}
			if r.From == s {
				n -= int64(r.Len)
				records--
			}
			if r.From == c.Handshake.Client {
				break
			}
		}
	}
	return max(n-int64(records*each), 0)
}

// tickets bounds what tickets of TLS 1.3 may be longer than usual, sealed as data:
// servers that keep no state put the client's certificate into each, and most send
// two (RFC 8446 §4.6.1).
func tickets(c *Connection) int64 {
	if c.ServerHello == nil || !c.ServerHello.Version.IsTLS13() || c.Verdict.Reply != ReplyCert {
		return 0
	}
	for _, r := range c.Tape.Records {
		if r.Type == parse.ApplicationData && r.From == c.Handshake.Client {
			return 2 * int64(r.Len)
		}
	}
	return 0
}

// Left returns how many connections were not looked at for joining.
func (l *Legs) Left() int64 { return l.left }

func (l *leg) client() netip.AddrPort { return l.ends[ofClient].addrPort() }
func (l *leg) server() netip.AddrPort { return l.ends[ofServer].addrPort() }

// packed is an address and port in less memory than a netip.AddrPort and, above all,
// without a pointer: the garbage collector need not look at legs. A zone, which no
// capture tells, is left out.
type packed struct {
	addr [16]byte
	port uint16
	kind uint8 // 0 for none, else the version of IP
}

func pack(a netip.AddrPort) packed {
	p := packed{port: a.Port()}
	switch ip := a.Addr(); {
	case ip.Is4():
		p.addr, p.kind = ip.As16(), 4
	case ip.Is6():
		p.addr, p.kind = ip.As16(), 6
	}
	return p
}

func (p *packed) addrPort() netip.AddrPort {
	switch a := netip.AddrFrom16(p.addr); p.kind {
	case 4:
		return netip.AddrPortFrom(a.Unmap(), p.port)
	case 6:
		return netip.AddrPortFrom(a, p.port)
	}
	return netip.AddrPortFrom(netip.Addr{}, p.port)
}

// hidden reports whether the session was resumed, which hides what the server wants.
func (l *leg) hidden() bool { return l.resumed && l.asked == No }

// at is a time of a leg, for a person.
func at(ns int64) time.Time { return time.Unix(0, ns).UTC() }
