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
	dead := base
	dead.Server, dead.Hop = netip.MustParseAddrPort(other), ""
	dead.Sent, dead.Failed, dead.Reasons = 2, 2, map[string]int{"connect: connection refused": 2}
	evil := dead
	evil.SNI, evil.Reasons = "a\x1b[31m.test", map[string]int{"x\ny\u202e": 2}
	return []attribute.Probed{asks, some, resumed, later, quiet, dead, evil}
}

// playProbed writes the scene.
func playProbed(w Writer) error {
	for _, p := range probedScene() {
		if err := w.Probed(&p); err != nil {
			return err
		}
	}
	return w.Close()
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
