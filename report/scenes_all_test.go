package report

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// scenes are the captures that every report is tried on.
func scenes() []scene {
	return []scene{
		confirmedScene(),
		{name: "cancelled", conns: cancelled(), text: TextOptions{Rows: 12}},
		{name: "nobody", conns: []*attribute.Connection{
			conn(0, gateway, contoso, parse.TLS13, finished),
			conn(1, gateway, contoso, parse.TLS13, finished),
			conn(2, gateway, contoso, parse.TLS13, resumed),
			conn(3, other, shop, parse.TLS12, seenClear),
		}},
		{name: "hidden", conns: []*attribute.Connection{
			conn(0, gateway, contoso, parse.TLS13, finished, func(c *attribute.Connection) { c.Tunnel = "login.contoso.test:443" }),
		}},
		{name: "inside", conns: []*attribute.Connection{
			conn(0, gateway, contoso, parse.TLS13, finished, func(c *attribute.Connection) {
				c.Tunnel, c.Inner = "login.contoso.test:443", &parse.Handshake{TLS: true}
			}),
			conn(0, gateway, "login.contoso.test", parse.TLS13, finished, func(c *attribute.Connection) {
				c.ClientHello.Random = [32]byte{9}
				c.Inside, c.Preamble, c.Target = 1, "http-connect", "login.contoso.test:443"
			}),
		}},
		{name: "unknown", conns: allUnknown(), notes: []capture.Note{
			{Kind: "cut-packets", Count: 41, Text: "41 packets were cut short by the snap length of 96 bytes", Hint: "capture whole packets: tcpdump -s 0"},
			{Kind: "one-sided", Count: 1, Text: "of 1 connection only one direction was captured"},
			{Kind: "cut-packets", Count: 2, Text: "2 packets were cut short by the snap length of 128 bytes", Hint: "capture whole packets: tcpdump -s 0"},
		}},
		{name: "partly-unknown", conns: []*attribute.Connection{
			conn(0, gateway, contoso, parse.TLS13, finished),
			conn(1, gateway, contoso, parse.TLS13, cutOff),
			conn(2, edge, shop, parse.TLS13, resumed),
		}},
		{name: "midstream", conns: []*attribute.Connection{
			conn(0, gateway, "", parse.TLS12, midCapture, asked(attribute.Seen, attribute.ReplyEmpty, 0, 0, emptyEvidence)),
		}},
		{name: "nameless", conns: []*attribute.Connection{
			conn(0, gateway, "", parse.TLS12, asked(attribute.Seen, attribute.ReplyEmpty, 0, 0, emptyEvidence)),
			conn(1, gateway, "", parse.TLS12, midCapture, asked(attribute.Seen, attribute.ReplyEmpty, 0, 0, emptyEvidence)),
		}},
		{name: "resumed", conns: []*attribute.Connection{
			conn(0, gateway, contoso, parse.TLS13, resumed),
			conn(4, gateway, contoso, parse.TLS13, resumed, func(c *attribute.Connection) {
				c.Start, c.Last = c.Start.AddDate(1, 0, 0), c.Last.AddDate(1, 0, 0)
			}),
		}},
		{name: "tunnelled", conns: tunnelled()},
		{name: "several", conns: several(), text: TextOptions{Rows: 12, Width: 120}},
		{name: "authorities", conns: authorities()},
		{name: "renegotiation", conns: renegotiation()},
		{name: "dialogs", conns: overPages(), text: TextOptions{Width: 120}},
		{name: "unsealed", conns: unsealed()},
		{name: "datagrams", conns: datagrams(), text: TextOptions{Rows: 12}},
		{name: "hundreds", conns: hundreds(), text: TextOptions{Rows: 8, Width: 80}},
		{name: "hostile", conns: hostile(), text: TextOptions{Rows: 12, Color: true}},
		{name: "nothing", notes: []capture.Note{{Kind: "no-tls", Text: "no TCP connection was found"}}},
	}
}

// cancelled: a dialog, cancelled after 8.3 s; a session resumed later; one
// connection that the capture cuts off.
func cancelled() []*attribute.Connection {
	return []*attribute.Connection{
		conn(1, gateway, contoso, parse.TLS13, asked(attribute.Inferred, attribute.ReplyDropped, 1.03, 1.034, dropEvidence)),
		conn(1.1, gateway, contoso, parse.TLS13, asked(attribute.Inferred, attribute.ReplyDropped, 1.13, 1.134, dropEvidence)),
		conn(9.434, gateway, contoso, parse.TLS13, asked(attribute.Inferred, attribute.ReplyEmpty, 9.46, 9.47, emptyEvidence, fiveEvidence),
			func(c *attribute.Connection) { c.Verdict.Required = attribute.No }),
		conn(30, gateway, contoso, parse.TLS13, resumed),
		conn(31, gateway, contoso, parse.TLS13, cutOff),
		conn(2, other, shop, parse.TLS13, finished),
	}
}

// overPages: a dialog over the page of another host, whose choice is remembered; then
// connections that Chromium, and Firefox, may have made in advance.
func overPages() []*attribute.Connection {
	const wiki = "wiki.contoso.test"
	dropped := func(at float64) func(*attribute.Connection) {
		return asked(attribute.Inferred, attribute.ReplyDropped, at+0.03, at+0.034, dropEvidence)
	}
	certificate := func(at float64) func(*attribute.Connection) {
		return asked(attribute.Inferred, attribute.ReplyCert, at+0.03, at+0.04, fiveEvidence)
	}
	byFirefox := func(c *attribute.Connection) {
		c.ClientHello.GREASE, c.ClientHello.Extensions = false, []uint16{34, 28}
	}
	return []*attribute.Connection{
		conn(1, other, shop, parse.TLS13, finished),
		conn(1.4, gateway, contoso, parse.TLS13, dropped(1.4)),
		conn(6, gateway, contoso, parse.TLS13, certificate(6)),
		conn(30, gateway, contoso, parse.TLS13, certificate(30)),
		conn(40, gateway, contoso, parse.TLS13, client("198.18.0.11"), dropped(40)),
		conn(50, gateway, contoso, parse.TLS13, byFirefox, dropped(50)),
		conn(50.3, gateway, contoso, parse.TLS13, byFirefox, asked(attribute.Inferred, attribute.ReplyEmpty, 50.33, 50.34, fiveEvidence),
			func(c *attribute.Connection) { c.Verdict.Unused = true }),
		conn(60, gateway, wiki, parse.TLS13, dropped(60)),
		conn(64, gateway, wiki, parse.TLS13, certificate(64)),
		conn(70, gateway, contoso, parse.TLS13, dropped(70)),
		conn(73, gateway, contoso, parse.TLS13, certificate(73)),
	}
}

// unsealed: keys opened a request in the handshake, and one behind it.
func unsealed() []*attribute.Connection {
	opened := func(c *attribute.Connection) {
		c.Keys = parse.KeysOpened
		c.ServerHello.ALPN = "http/1.1"
		r := c.Requests[0]
		r.Types, r.Unsealed, r.Extensions = nil, true, []uint16{13, 47}
	}
	return []*attribute.Connection{
		conn(1, gateway, contoso, parse.TLS13, asked(attribute.Unsealed, attribute.ReplyEmpty, 1.03, 1.04, attribute.Evidence{
			Rule: "request-unsealed", Text: "CertificateRequest of 180 bytes from " + gateway + " naming 2 authorities"}),
			request(2), opened, func(c *attribute.Connection) {
				c.Verdict.Required = attribute.Yes
				c.Alerts = append(c.Alerts, parse.Alert{From: parse.Accepter, Fatal: true, Description: 116, Unsealed: true})
			}),
		conn(2, other, shop, parse.TLS13, asked(attribute.Unsealed, attribute.ReplyCert, 2.5, 2.6, attribute.Evidence{
			Rule: "post-handshake-unsealed", Text: "behind the handshake, CertificateRequest of 212 bytes from " + other + " naming 2 authorities"}),
			request(2), opened, func(c *attribute.Connection) { c.Verdict.When = attribute.AfterHandshake }),
	}
}

func allUnknown() []*attribute.Connection {
	lost := func(c *attribute.Connection) {
		c.Sides[1].Lost = 1840
		unknown("1840 bytes of the handshake were not captured")(c)
	}
	oneSide := func(c *attribute.Connection) {
		c.ServerHello, c.Sides[1] = nil, parse.SideFacts{}
		unknown("nothing of the server's side was captured")(c)
	}
	return []*attribute.Connection{
		conn(0, gateway, "", parse.TLS13, midCapture),
		conn(1, gateway, "", parse.TLS13, midCapture),
		conn(2, gateway, contoso, parse.TLS12, lost),
		conn(3, other, shop, parse.TLS13, oneSide),
		conn(4, edge, shop, parse.TLS13, unknown("TLS 1.3 seals the request, and its client hung up")),
	}
}

// tunnelled: two connections seen inside and outside of a tunnel, the first of
// them outside with a packet missing.
func tunnelled() []*attribute.Connection {
	empty := asked(attribute.Inferred, attribute.ReplyEmpty, 0.03, 0.04, emptyEvidence)
	via := func(c *attribute.Connection) { c.Flow.Via = "vxlan 800" }
	return []*attribute.Connection{
		conn(0, gateway, contoso, parse.TLS13, unknown("TLS 1.3 seals the request, and the client's first flight is not complete")),
		conn(0, gateway, contoso, parse.TLS13, empty, via),
		conn(5, gateway, contoso, parse.TLS13, finished),
		conn(5, gateway, contoso, parse.TLS13, finished, via),
	}
}

// several: a gateway under two names, and an edge in front of it, all with
// configured names; one of the clients has an IPv6 address.
func several() []*attribute.Connection {
	cert := attribute.Evidence{Rule: "tls13-client-certificate", Text: "the client's first sealed record is 955 bytes, where Finished alone would be 53: a Certificate is in it"}
	return []*attribute.Connection{
		conn(0, edge, contoso, parse.TLS13, hop("edge"), opened, asked(attribute.Inferred, attribute.ReplyDropped, 0.03, 0.034, dropEvidence)),
		conn(12.5, edge, contoso, parse.TLS13, hop("edge"), asked(attribute.Inferred, attribute.ReplyCert, 12.53, 12.54, cert)),
		conn(13, gateway, contoso, parse.TLS12, hop("gateway"), client("198.18.1.20"), request(0),
			asked(attribute.Seen, attribute.ReplyEmpty, 13.02, 13.03, attribute.Evidence{Rule: "request-seen", Text: "CertificateRequest of 48 bytes from 198.18.1.30:443 naming no authority"}),
			func(c *attribute.Connection) { c.Verdict.Required = attribute.Yes }),
		conn(14, gateway, shop, parse.TLS13, hop("gateway"), client("2001:db8::10"),
			asked(attribute.Inferred, attribute.ReplyEmpty, 14.03, 14.034, emptyEvidence)),
		conn(15, other, "api.fabrikam.test", parse.TLS13, hop("backend"), finished),
	}
}

// opened: SYN and SYN-ACK were captured.
func opened(c *attribute.Connection) {
	options, _ := parse.ReadTCPOptions([]byte("\x02\x04\x05\xb4\x04\x02\x01\x03\x03\x07"))
	c.Opening = parse.TCPOpening{
		{SYN: true, At: c.Start.Add(-300 * time.Microsecond), Options: options, TTL: 64, DataTTL: 64},
		{SYN: true, At: c.Start.Add(-100 * time.Microsecond), Options: options, TTL: 63, DataTTL: 62},
	}
}

func authorities() []*attribute.Connection {
	seen := attribute.Evidence{Rule: "request-seen", Text: "CertificateRequest of 611 bytes from 198.18.1.30:443 naming 12 authorities"}
	return []*attribute.Connection{
		conn(0, gateway, contoso, parse.TLS12, request(12), asked(attribute.Seen, attribute.ReplyCert, 0.02, 0.04, seen), certificates),
	}
}

func certificates(c *attribute.Connection) {
	c.Sides[1].Certs = []*parse.Certificate{{
		Subject: "CN=www.contoso.test", Issuer: "CN=Contoso Issuing CA", Names: []string{"www.contoso.test", "198.18.1.30"},
		SHA256: [32]byte{0xab, 0xcd}, NotAfter: noon.AddDate(1, 0, 0),
	}}
	c.Sides[0].Certs = []*parse.Certificate{{Subject: "CN=ada", Issuer: "CN=Client CA 1,O=Contoso Ltd.,C=CH"}}
	c.Alerts = []parse.Alert{{At: 50 * time.Millisecond, From: parse.Accepter, Fatal: true, Description: 40}}
	c.ClientHello.JA3, c.ClientHello.JA4, c.ServerHello.JA3S = "0123", "t12d", "4567"
	c.ServerHello.ALPN, c.Preamble, c.Flow.Via = "http/1.1", "proxy-v1+http-connect", "vlan 12"
	c.Proxied = &parse.Proxied{Source: netip.MustParseAddrPort("198.18.0.77:51000"), Dest: netip.MustParseAddrPort("198.18.1.30:443")}
	c.Target, c.Tunnel = "www.contoso.test:443", "login.contoso.test:443"
}

func renegotiation() []*attribute.Connection {
	return []*attribute.Connection{
		conn(0, gateway, contoso, parse.TLS12, asked(attribute.Inferred, attribute.ReplyStalled, 0.5, 6.5, attribute.Evidence{
			Rule: "renegotiation-server-flight", Text: "in a renegotiation the server's flight took 5 records, one more than in the first handshake"}),
			func(c *attribute.Connection) { c.Verdict.When = attribute.InRenegotiation }),
		conn(7, gateway, contoso, parse.TLS12, seenClear),
		conn(8, gateway, contoso, parse.TLS12, unknown("the handshake breaks off before the server's flight is complete: the client reset the connection, and what came behind that was not read")),
		conn(9, gateway, contoso, parse.TLS12, unknown("only the server's side was captured, and not all of its flight")),
		conn(10, gateway, contoso, parse.TLS12, unknown("only the server's side was captured, and not all of its flight")),
	}
}

// datagrams: QUIC, DTLS, and log-ons to the network.
func datagrams() []*attribute.Connection {
	quic := func(c *attribute.Connection) {
		c.Flow.Proto, c.QUIC = parse.UDP, &parse.QUICFacts{Version: "1"}
		c.End = parse.Idle
	}
	link := func(mac string) netip.AddrPort {
		addr, _ := net.ParseMAC(mac)
		return netip.AddrPortFrom(parse.LinkAddr(addr), 0)
	}
	seen := asked(attribute.Seen, attribute.ReplyCert, 3.2, 3.3, attribute.Evidence{Rule: "request-seen", Text: "CertificateRequest of 58 bytes"})
	return []*attribute.Connection{
		conn(0, gateway, contoso, parse.TLS13, quic, unknown("QUIC hides the handshake; retry over TCP")),
		conn(1, gateway, contoso, parse.TLS13, quic, resumed),
		conn(2, "198.18.1.40:4433", "", parse.DTLS12, func(c *attribute.Connection) {
			c.Flow.Proto, c.DTLS = parse.UDP, true
		}, seenClear),
		conn(3, gateway, "", parse.TLS12, func(c *attribute.Connection) {
			c.Flow = parse.Flow{Proto: parse.EAPOL, Addrs: [2]netip.AddrPort{link("02:00:5e:10:00:01"), link("02:00:5e:10:00:02")}}
			c.Client, c.Server, c.Method = c.Flow.Addrs[0], c.Flow.Addrs[1], "eap-tls"
		}, seen, request(1)),
		conn(4, "198.18.1.50:1812", "", parse.TLS12, func(c *attribute.Connection) {
			c.Flow.Proto, c.Method = parse.RADIUS, "peap"
		}, seenClear),
	}
}

// hundreds of connections of which a few are asked, over two days.
func hundreds() []*attribute.Connection {
	var out []*attribute.Connection
	for i := range 300 {
		server := fmt.Sprintf("198.18.2.%d:443", i%50)
		name := fmt.Sprintf("host-%02d.department.contoso.test", i%50)
		c := conn(float64(i), server, name, parse.TLS13, finished)
		switch {
		case i%100 == 7:
			c = conn(float64(i), server, name, parse.TLS13, asked(attribute.Inferred, attribute.ReplyEmpty, float64(i)+0.03, float64(i)+0.04, emptyEvidence))
		case i%20 == 9:
			unknown("the handshake breaks off after the ServerHello: the client reset the connection, and what came behind that was not read")(c)
		case i == 299:
			c.Start, c.Last = c.Start.AddDate(0, 0, 1), c.Last.AddDate(0, 0, 1)
		}
		out = append(out, c)
	}
	// More endpoints that ask than there are paragraphs for.
	for i := range 25 {
		at := 400 + float64(i)
		out = append(out, conn(at, fmt.Sprintf("198.18.3.%d:443", i), shop, parse.TLS13,
			asked(attribute.Inferred, attribute.ReplyEmpty, at+0.03, at+0.04, emptyEvidence)))
	}
	return out
}

// hostile: text from the wire that would steer a terminal or break a line, and
// times beyond any calendar.
func hostile() []*attribute.Connection {
	evil := "a\x1b[2J\n\u202eb\xff\u009b" + strings.Repeat("x", 300)
	return []*attribute.Connection{
		conn(0, gateway, evil, parse.TLS12, hop("evil\thop"), request(0),
			asked(attribute.Seen, attribute.ReplyEmpty, 0.02, 0.03, attribute.Evidence{Rule: "request-seen", Text: evil}),
			func(c *attribute.Connection) {
				c.Requests[0].Authorities = []string{"CN=" + evil}
				c.Requests[0].Malformed = "cut"
				c.Sides[0].Malformed, c.Sides[1].Conflict = evil, 12
				c.ClientHello.ECH = true
				c.Last = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)
			}),
		conn(1, gateway, "münchen.contoso.test", parse.TLS13, unknown(evil), func(c *attribute.Connection) {
			c.ClientHello.ECH = true
			c.Start = time.Time{}
		}),
	}
}
