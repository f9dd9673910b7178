package report

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// scene is a capture as the judge leaves it.
type scene struct {
	name  string
	conns []*attribute.Connection
	notes []capture.Note
	// probes are what came of asking endpoints, by address and name.
	probes map[string]*attribute.Confirmation
	text   TextOptions // Rows is 12 if zero
}

// play hands a scene to a report the way the program does.
func (s scene) play(w Writer) error {
	book := attribute.NewBook()
	for i, c := range s.conns {
		c.ID = uint64(i + 1)
		book.Add(c)
		if err := w.Connection(c); err != nil {
			return err
		}
	}
	prompts, askers := book.Finish()
	new(attribute.Repeats).Mark(prompts)
	for i := range askers {
		askers[i].Probe = s.probes[askers[i].Addr.String()+askers[i].SNI]
	}
	attribute.Explain(askers, declaredHops())
	for i := range prompts {
		if err := w.Prompt(&prompts[i]); err != nil {
			return err
		}
	}
	for i := range askers {
		if err := w.Asker(&askers[i]); err != nil {
			return err
		}
	}
	for _, n := range s.notes {
		if err := w.Note(n); err != nil {
			return err
		}
	}
	return w.Close()
}

// declaredHops say of one endpoint what it should do.
func declaredHops() attribute.Hops {
	return attribute.Hops{{
		Name: "gateway", Kind: "apim", Otherwise: attribute.DeclaredOff,
		ByName: []attribute.NameDeclared{{Name: "shop.fabrikam.test", Declared: attribute.DeclaredOptional}},
	}}
}

// Endpoints of the scenes.
const (
	edge    = "198.18.1.20:443"
	gateway = "198.18.1.30:443"
	other   = "198.18.1.31:443"
	contoso = "www.contoso.test"
	shop    = "shop.fabrikam.test"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func after(seconds float64) time.Time {
	return noon.Add(time.Duration(math.Round(seconds*1000)) * time.Millisecond)
}

// conn makes a connection of Chromium that begins at some seconds past noon and
// takes 60 ms; edits change it.
func conn(at float64, server, sni string, version parse.Version, edits ...func(*attribute.Connection)) *attribute.Connection {
	client := netip.AddrPortFrom(netip.MustParseAddr("198.18.0.10"), 50000+uint16(at*10))
	addr := netip.MustParseAddrPort(server)
	h := &parse.Handshake{
		Flow:  parse.Flow{Addrs: [2]netip.AddrPort{client, addr}},
		Start: after(at), Last: after(at + 0.06), End: parse.FIN,
		TLS: true, ClientKnown: true,
		ClientHello: &parse.ClientHello{At: after(at), ServerName: sni, GREASE: true, ALPS: true, Random: [32]byte{1, 2, 3}},
		ServerHello: &parse.ServerHello{At: after(at + 0.02), Version: version, Cipher: 0x1301},
	}
	if version < parse.TLS13 {
		h.ServerHello.Cipher = 0xc02f
	}
	h.Sides[0].Bytes, h.Sides[1].Bytes = 700, 4000
	c := &attribute.Connection{Capture: "client.pcap", Client: client, Server: addr, Handshake: h}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

// asked makes the verdict a yes, made and answered at some seconds past noon.
func asked(basis attribute.Basis, reply attribute.Reply, at, reacted float64, evidence ...attribute.Evidence) func(*attribute.Connection) {
	return func(c *attribute.Connection) {
		c.Verdict = attribute.Verdict{
			Asked: attribute.Yes, By: c.Server, Basis: basis, When: attribute.InHandshake, Evidence: evidence,
			Reply: reply, AskedAt: after(at), ReactedAt: after(reacted),
		}
		c.Last = after(reacted + 0.01)
	}
}

func notAsked(basis attribute.Basis, rule, text string) func(*attribute.Connection) {
	return func(c *attribute.Connection) {
		c.Verdict = attribute.Verdict{Asked: attribute.No, Basis: basis, Evidence: []attribute.Evidence{{Rule: rule, Text: text}}}
	}
}

func resumed(c *attribute.Connection) {
	c.Verdict = attribute.Verdict{Asked: attribute.No, Basis: attribute.Inferred, Resumed: true, Evidence: []attribute.Evidence{
		{Rule: "tls13-psk", Text: "the server accepted a pre-shared key, and must then not request a certificate"}}}
}

func unknown(reason string) func(*attribute.Connection) {
	return func(c *attribute.Connection) { c.Verdict = attribute.Verdict{Reason: reason} }
}

func cutOff(c *attribute.Connection) {
	c.End = parse.CaptureEnd
	unknown("TLS 1.3 seals the request, and the client did not answer the server's flight: the capture ends there")(c)
}

func hop(name string) func(*attribute.Connection) {
	return func(c *attribute.Connection) { c.Hop = name }
}

func midCapture(c *attribute.Connection) {
	c.ClientHello, c.ServerHello, c.Midstream = nil, nil, true
	unknown("the capture begins after the handshake of this connection")(c)
}

func client(addr string) func(*attribute.Connection) {
	return func(c *attribute.Connection) {
		c.Client = netip.AddrPortFrom(netip.MustParseAddr(addr), c.Client.Port())
		c.Flow.Addrs[0] = c.Client
	}
}

// request adds a CertificateRequest with n authorities.
func request(n int) func(*attribute.Connection) {
	return func(c *attribute.Connection) {
		r := &parse.CertificateRequest{From: parse.Accepter, Types: []uint8{1, 64}, SignatureAlgorithms: []uint16{0x0804, 0x0403}}
		for i := range n {
			r.Authorities = append(r.Authorities, fmt.Sprintf("CN=Client CA %d,O=Contoso Ltd.,C=CH", i+1))
		}
		c.Requests = append(c.Requests, r)
	}
}

var (
	emptyEvidence = attribute.Evidence{Rule: "tls13-client-flight", Text: "the client's first sealed record is 61 bytes: Finished under TLS_AES_128_GCM_SHA256 is 53, an empty Certificate adds 8"}
	dropEvidence  = attribute.Evidence{Rule: "browser-dropped", Text: "the client, by its ClientHello Chromium, closed without a word 4ms after the server's flight, as it does when asked for a certificate; it did the same there on another connection 100 ms later"}
	fiveEvidence  = attribute.Evidence{Rule: "tls13-server-flight", Text: "the server's flight takes 5 records, one more than without a request"}
	finEvidence   = "Finished alone is 53 bytes under TLS_AES_128_GCM_SHA256, and so is the client's first sealed record: no Certificate was due"
)

func finished(c *attribute.Connection) {
	notAsked(attribute.Inferred, "tls13-client-flight", finEvidence)(c)
}

func seenClear(c *attribute.Connection) {
	notAsked(attribute.Seen, "server-flight-seen", "the server's flight was read from ServerHello to ServerHelloDone, and no CertificateRequest is in it")(c)
}
