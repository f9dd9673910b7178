package report

import (
	"bytes"
	"net/netip"
	"testing"

	"whoasked/attribute"
)

// probedScene is what a probe of one target may find.
func probedScene() []attribute.Probed {
	at := netip.MustParseAddrPort(gateway)
	base := attribute.Probed{Server: at, Hop: "apim", Target: contoso + ":443", SNI: contoso, Version: "TLS 1.3", ALPN: "h2", Hello: "chrome"}
	asks := base
	asks.Sent, asks.Asked, asks.When, asks.Demand, asks.DemandText, asks.Connections = 3, 3, attribute.InHandshake, attribute.DemandOptional, "HTTP status 200", []uint64{1, 2, 3}
	some := base
	some.Version, some.ALPN = "TLS 1.2", "http/1.1"
	some.Sent, some.Asked, some.NotAsked, some.When, some.Demand, some.DemandText = 4, 1, 3, attribute.InHandshake, attribute.DemandTLS, "alert 40"
	resumed := base
	resumed.Sent, resumed.Resumed, resumed.Resume, resumed.Demand = 1, 1, true, attribute.DemandNone
	later := base
	later.Later, later.ALPN, later.Hello = true, "http/1.1", "openssl-like"
	later.Sent, later.Asked, later.When = 1, 1, attribute.AfterHandshake
	quiet := base
	quiet.SNI, quiet.Hop = "", ""
	quiet.Sent, quiet.NotAsked, quiet.Demand = 1, 1, attribute.DemandNone
	none := quiet // as under the random name
	quiet.SNI, quiet.Hop = "w5d1e.invalid", "apim"
	none.Hop = "apim"
	dead := base
	dead.Server, dead.Hop = netip.MustParseAddrPort(other), ""
	dead.Sent, dead.Failed, dead.Reasons = 2, 2, map[string]int{"connect: connection refused": 2}
	evil := dead
	evil.SNI, evil.Reasons = "a\x1b[31m.test", map[string]int{"x\ny\u202e": 2}
	return []attribute.Probed{asks, some, resumed, later, quiet, none, dead, evil}
}

// playProbed writes the scene.
func playProbed(w Writer) error {
	for _, p := range probedScene() {
		if err := w.Probed(&p); err != nil {
			return err
		}
	}
	for _, p := range probedPaths() {
		if err := w.Path(&p); err != nil {
			return err
		}
	}
	for _, o := range []attribute.Offer{
		{File: "alice.p12", Subject: "CN=alice", Offered: attribute.Yes, Because: []string{"issued by CN=Clients, which the request names"}},
		{File: "bob.pem", Subject: "CN=b\x1bob", Offered: attribute.No, Because: []string{"its key usage does not allow digital signatures", "it expired on 2026-08-01"}},
		{File: "eve.cer", Subject: "CN=eve", Offered: attribute.Unknown, Because: []string{"the authorities of the request could not be read: cut"}},
	} {
		o.Server, o.Hop, o.SNI, o.Issuer = netip.MustParseAddrPort(gateway), "apim", contoso, "CN=Clients"
		if err := w.Offer(&o); err != nil {
			return err
		}
	}
	differs := attribute.Finding{
		SNI: contoso, Factor: "run", Server: netip.MustParseAddrPort(gateway), Offered: []string{"TLS 1.3 h2"}, Explains: 1,
		Values: []attribute.FactorValue{{Value: "then", Asked: 4, Of: 4}, {Value: "now", Asked: 0, Of: 4}},
		Text:   contoso + " at " + gateway + " with TLS 1.3 h2: asked in 4 of 4 (optional) then, asked in 0 of 4 now",
	}
	if err := w.Finding(&differs); err != nil {
		return err
	}
	return w.Close()
}

// probedPaths is a gateway that passes TLS through, and one that may.
func probedPaths() []attribute.Path {
	front := attribute.PathHop{
		Connection: 1, Server: netip.MustParseAddrPort(other), Name: "appgw", Passes: true, Asked: attribute.No,
		Evidence: "probed directly, it asked in 9 of 9 full handshakes; a session begun at apim was resumed through it (TLS 1.2): one endpoint ends TLS for both",
	}
	behind := attribute.PathHop{
		Connection: 2, Server: netip.MustParseAddrPort(gateway), Name: "apim", Asked: attribute.Yes, JoinedBy: "configured",
		Evidence: "probed directly, it asked in 9 of 9 full handshakes",
	}
	passes := attribute.Path{
		ID: 1, Client: netip.MustParseAddrPort("198.18.0.10:40000"), SNI: contoso, Hops: []attribute.PathHop{front, behind},
		Asker: behind.Server, AskerName: "apim", When: attribute.InHandshake, Reaches: attribute.Yes, Confidence: "likely", Probed: true,
	}
	front.Passes, front.Alike, front.Asked, front.Evidence = false, true, attribute.Yes, behind.Evidence
	alike := attribute.Path{
		ID: 2, Client: passes.Client, SNI: "api." + contoso, Hops: []attribute.PathHop{front, behind}, Confidence: "ambiguous", Probed: true,
		Doubt: "appgw shows the same certificate and request as apim: it passes TLS through, or is set up alike",
	}
	return []attribute.Path{passes, alike}
}

func TestProbed(t *testing.T) {
	schema := compileSchema(t)
	for name, make := range map[string]func(*bytes.Buffer) Writer{
		"text/probed.txt":    func(b *bytes.Buffer) Writer { return NewText(b, TextOptions{}) },
		"json/probed.jsonl":  func(b *bytes.Buffer) Writer { return NewJSON(b) },
		"log/probed.jsonl":   func(b *bytes.Buffer) Writer { return NewLog(b, LogOptions{}) },
		"log/probed-con.txt": func(b *bytes.Buffer) Writer { return NewLog(b, LogOptions{Console: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := playProbed(make(&out)); err != nil {
				t.Fatal(err)
			}
			safe(t, out.String(), false)
			if name == "json/probed.jsonl" {
				schema.validate(t, out.Bytes())
			}
			golden(t, name, out.Bytes())
		})
	}
}

// TestProbedBounded: text keeps so many probes and counts the others.
func TestProbedBounded(t *testing.T) {
	var out bytes.Buffer
	w := NewText(&out, TextOptions{})
	p := probedScene()[0]
	for range shownProbes + 7 {
		if err := w.Probed(&p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out.Bytes(), []byte("7 more kinds")) {
		t.Error("what was left out is not told")
	}
}
