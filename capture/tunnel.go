package capture

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"

	"whoasked/parse"
)

// inner is what an encapsulation held: the bytes behind it and their
// EtherType, or, where data is empty, why there are none.
type inner struct {
	etherType uint16
	data      []byte
	via       uint32
	out       Outcome
	hidden    opaqueKind // what it holds cannot be looked into
}

// peel takes one encapsulation off. The data it is given is not empty.
type peel func(d *Decoder, data []byte, at place) inner

// An encapsulation is a row in one of these tables. foreign rows are decoded
// by gopacket, the others here, without allocating.
var (
	// etherTunnels is by EtherType, behind which GRE has its payload, too.
	etherTunnels = map[uint16]peel{
		etherPPP:      ppp,
		etherMPLS:     mpls,
		0x8848:        mpls, // upstream-assigned labels
		0x8864:        pppoe,
		etherERSPAN:   erspan2,
		etherERSPAN3:  erspan3,
		etherNSH:      nsh,
		0x88e7:        backbone,
		0x883e:        wccp,
		etherWiFi:     wifi,
		etherMACsec:   opaque(opaqueMACsec),
		etherWiFiPeek: wifi,
	}
	// ipTunnels is by IP protocol number.
	ipTunnels = map[uint8]peel{
		4:   within(viaIPinIP, etherIPv4),
		41:  within(via6in4, etherIPv6),
		47:  gre,
		50:  opaque(opaqueESP),
		97:  foreign(layers.LayerTypeEtherIP),
		115: l2tp3,
		137: mpls,
	}
	// udpTunnels is by the port of either end.
	udpTunnels = map[uint16]peel{
		1194:  openVPN,
		1701:  l2tp,
		2152:  gtpu,
		3544:  teredo,
		4341:  lisp,
		4500:  natTraversal,
		4789:  vxlan,
		4790:  vxlanGPE,
		5247:  capwap,
		6081:  geneve,
		8472:  vxlan, // Linux's default, before the port was assigned
		10800: vxlan, // Azure Gateway Load Balancer, internal
		10801: vxlan, // and external
		37008: tzsp,
		51820: wireGuard,
	}
)

// portTable finds a row by its port. Most datagrams have none, which a bit for
// the lower half of the port tells.
type portTable struct {
	rows map[uint16]peel
	some [4]uint64
}

func newPortTable(rows map[uint16]peel) portTable {
	t := portTable{rows: rows}
	for p := range rows {
		t.some[p>>6&3] |= 1 << (p & 63)
	}
	return t
}

func (t *portTable) at(port uint16) peel {
	if t.some[port>>6&3]&(1<<(port&63)) == 0 {
		return nil
	}
	return t.rows[port]
}

// open takes an encapsulation off and goes on with what was inside.
func (d *Decoder) open(p peel, data []byte, at place, seg *Segment) Outcome {
	if len(data) == 0 {
		return at.short()
	}
	if at.depth++; at.depth > maxDepth {
		return Bad
	}
	in := p(d, data, at)
	d.stats.countOpaque(in.hidden)
	if len(in.data) == 0 {
		return in.out
	}
	at.via = in.via
	return d.network(in.etherType, in.data, at, seg)
}

// openDatagram is open for what a datagram at a tunnel's port holds, ok false if
// it has not that tunnel's form or cannot be looked into: clients have such
// ports by chance, and talk QUIC, DTLS or DNS from them.
func (d *Decoder) openDatagram(p peel, data []byte, at place, seg *Segment) (out Outcome, ok bool) {
	if at.depth++; len(data) == 0 || at.depth > maxDepth {
		return Truncated, at.cut > 0
	}
	named, overflow := len(d.vias.names), d.stats.ViaOverflow
	in := p(d, data, at)
	switch {
	case len(in.data) > 0 && holds(in.etherType, in.data, at.cut) && parse.OpeningOf(data) == parse.NoOpening:
		at.via = in.via
		return d.network(in.etherType, in.data, at, seg), true
	case in.out == Truncated:
		return Truncated, true
	}
	d.stats.countOpaque(in.hidden)
	d.vias.forget(named)
	d.stats.ViaOverflow = overflow
	return NotTCP, false
}

// behind is what follows a header of n bytes.
func behind(data []byte, n int, etherType uint16, at place, via uint32) inner {
	if n >= len(data) {
		return inner{out: at.short()}
	}
	return inner{etherType: etherType, data: data[n:], via: via}
}

// within is for tunnels without a header of their own.
func within(kind viaKind, etherType uint16) peel {
	return func(d *Decoder, data []byte, at place) inner {
		return inner{etherType: etherType, data: data, via: d.inside(at.via, kind, 0)}
	}
}

// mpls takes a stack of labels off (RFC 3032 §2.1). What is behind the last one
// it does not say (RFC 4928 §3): IP by its version, or a pseudowire's control
// word (RFC 4385 §3) before a frame.
func mpls(d *Decoder, data []byte, at place) inner {
	const (
		label       = 4
		bottom      = 0x01 // in the third byte
		controlWord = 4
	)
	n := 0
	for range maxTags {
		if n+label >= len(data) {
			return inner{out: at.short()}
		}
		n += label
		if data[n-2]&bottom == 0 {
			continue
		}
		via := d.inside(at.via, viaMPLS, 0)
		if len(data)-n > controlWord && binary.BigEndian.Uint16(data[n:])>>12 == 0 {
			return behind(data, n+controlWord, etherBridged, at, via)
		}
		return behind(data, n, ipEtherType(data[n:]), at, via)
	}
	return inner{out: Bad}
}

// pppoe opens a session's frame (RFC 2516 §4).
func pppoe(d *Decoder, data []byte, at place) inner {
	const (
		header      = 6
		versionType = 0x11
		session     = 0
	)
	if len(data) <= header {
		return inner{out: at.short()}
	}
	if data[0] != versionType || data[1] != session {
		return inner{out: NotTCP}
	}
	at.via = d.inside(at.via, viaPPPoE, uint32(binary.BigEndian.Uint16(data[2:])))
	length := int(binary.BigEndian.Uint16(data[4:]))
	if length > len(data)-header+at.cut {
		return inner{out: Bad}
	}
	return ppp(d, data[header:], at)
}

// ppp opens a frame of PPP, with or without address and control (RFC 1662
// §3.1), its protocol possibly compressed to one byte (RFC 1661 §6.5).
func ppp(d *Decoder, data []byte, at place) inner {
	const addressControl = 0xff03
	n := 0
	if len(data) >= 2 && binary.BigEndian.Uint16(data) == addressControl {
		n = 2
	}
	if n+2 > len(data) {
		return inner{out: at.short()}
	}
	protocol := uint16(data[n])
	if n++; protocol&1 == 0 {
		protocol = protocol<<8 | uint16(data[n])
		n++
	}
	switch protocol {
	case 0x0021:
		return behind(data, n, etherIPv4, at, at.via)
	case 0x0057:
		return behind(data, n, etherIPv6, at, at.via)
	case 0x0281, 0x0283:
		return behind(data, n, etherMPLS, at, at.via)
	case 0x0053, 0x00fd: // encrypted (RFC 1968) or compressed (RFC 1962), MPPE included
		return inner{out: NotTCP, hidden: opaquePPP}
	}
	return inner{out: NotTCP}
}

// backbone opens provider backbone bridging (IEEE 802.1Q §9.7): a service
// identifier, then a frame.
func backbone(d *Decoder, data []byte, at place) inner {
	const header = 4
	if len(data) <= header {
		return inner{out: at.short()}
	}
	service := binary.BigEndian.Uint32(data) & 0xffffff
	return behind(data, header, etherBridged, at, d.inside(at.via, viaPBB, service))
}

// nsh opens a network service header (RFC 8300 §2.2).
func nsh(d *Decoder, data []byte, at place) inner {
	const (
		minHeader = 8
		words     = 0x3f // length in words of 4 bytes, low bits of the second byte
	)
	if len(data) < minHeader {
		return inner{out: at.short()}
	}
	n := 4 * int(data[1]&words)
	if data[0]>>6 != 0 || n < minHeader {
		return inner{out: Bad}
	}
	etherType, ok := nextProtocol(data[3], 5, etherMPLS)
	if !ok {
		return inner{out: NotTCP}
	}
	return behind(data, n, etherType, at, d.inside(at.via, viaNSH, 0))
}

// nextProtocol is the numbering that NSH (RFC 8300 §2.2) and VXLAN-GPE share
// for IP and Ethernet; each has one more of its own.
func nextProtocol(next, own uint8, ownType uint16) (etherType uint16, ok bool) {
	switch next {
	case 1:
		return etherIPv4, true
	case 2:
		return etherIPv6, true
	case 3:
		return etherBridged, true
	case own:
		return ownType, true
	}
	return 0, false
}

// wccp opens what a router hands to a proxy by WCCP: version 2 has a header of
// its own before IP, version 1 none.
func wccp(d *Decoder, data []byte, at place) inner {
	const header = 4
	if data[0]>>4 == 4 {
		return behind(data, 0, etherIPv4, at, d.inside(at.via, viaWCCP, 0))
	}
	return behind(data, header, etherIPv4, at, d.inside(at.via, viaWCCP, 0))
}
