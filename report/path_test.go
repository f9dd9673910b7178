package report

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"whoasked/attribute"
)

// pathScene is ways and findings of each kind.
func pathScene() ([]attribute.Path, []attribute.Finding) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	client := netip.MustParseAddrPort("198.18.0.10:50000")
	hop := func(id uint64, server, name string, asked attribute.Answer, passes bool, by string) attribute.PathHop {
		h := attribute.PathHop{Connection: id, Server: netip.MustParseAddrPort(server), Name: name, Asked: asked, Passes: passes, JoinedBy: by}
		if by != "" {
			h.Evidence = "what " + by + " saw"
		}
		return h
	}
	passed := attribute.Path{
		ID: 1, Start: at, Client: client, SNI: contoso, Confidence: "certain", Joins: "certain", Reaches: attribute.Yes, When: attribute.InHandshake,
		Asker: netip.MustParseAddrPort(gateway), AskerName: "apim", Place: attribute.At, PlaceBecause: "it is configured as apim, which always ends TLS",
		Hops: []attribute.PathHop{hop(1, edge, "appgw", attribute.No, true, ""), hop(2, gateway, "apim", attribute.Yes, false, "same-client-hello")},
	}
	passed.Hops[1].Place = attribute.At
	passed.Hops[0].Signs = []attribute.Sign{{Kind: "tcp", Text: "TCP's initial sequence numbers are the same in front of it and behind it: it does not end TCP"}}
	again := passed
	again.ID, again.Client = 2, netip.MustParseAddrPort("198.18.0.11:50001")
	ended := attribute.Path{
		ID: 3, Start: at.Add(time.Second), Client: client, SNI: shop, Confidence: "likely", Joins: "likely", Reaches: attribute.No, When: attribute.InHandshake,
		Asker: netip.MustParseAddrPort(other),
		Hops:  []attribute.PathHop{hop(3, edge, "appgw", attribute.No, false, ""), hop(4, other, "", attribute.Yes, false, "terminated")},
	}
	doubtful := attribute.Path{
		ID: 4, Start: at.Add(2 * time.Second), Client: client, Confidence: "ambiguous", Joins: "ambiguous", Doubt: "which comes first cannot be told",
		Hops: []attribute.PathHop{hop(5, edge, "", attribute.Yes, false, ""), hop(6, gateway, "", attribute.Yes, false, "same-client-hello")},
	}
	evil := ended
	evil.ID, evil.SNI = 5, "a\x1b[31m\n.test"
	evil.Hops = slices.Clone(evil.Hops)
	evil.Place, evil.Hops[1].Place = attribute.Behind, attribute.Behind
	return []attribute.Path{passed, again, ended, doubtful, evil}, []attribute.Finding{
		{SNI: contoso, Factor: "server", Also: []string{"client"}, Explains: 1, Text: contoso + ": the server address tells who is asked: a in 3 of 3, b in 0 of 4",
			Values: []attribute.FactorValue{{Value: "a", Asked: 3, Of: 3}, {Value: "b", Of: 4}}},
		{SNI: shop, Factor: "time", Explains: 0.9, At: at, Text: "it changed\x1b[31m", Values: []attribute.FactorValue{{Value: "before", Asked: 1, Of: 2}, {Value: "from then on", Of: 2}}},
	}
}

// playPaths writes the scene, with an endpoint that only passes TLS through.
func playPaths(w Writer) error {
	paths, findings := pathScene()
	for i := range paths {
		if err := w.Path(&paths[i]); err != nil {
			return err
		}
	}
	for i := range findings {
		if err := w.Finding(&findings[i]); err != nil {
			return err
		}
	}
	for _, a := range []attribute.Asker{
		{
			Addr: netip.MustParseAddrPort(edge), Hop: "appgw", SNI: contoso, Full: 2, Asked: 2,
			Passes: 2, PassesTo: netip.MustParseAddrPort(gateway), PassesToName: "apim",
		},
		{
			Addr: netip.MustParseAddrPort(gateway), Hop: "apim", SNI: contoso, Full: 2, Asked: 2, Several: true, Place: attribute.At, PlaceBecause: "because",
			Signs: []attribute.Sign{
				{Kind: "clock", Text: "TCP timestamps are of 2 clocks"}, {Kind: "hop-limit", Text: "two hop limits"}, {Kind: "certificate", Text: "two certificates"},
				{Kind: "server-hello", Text: "two shapes"}, {Kind: "tcp-options", Text: "not in text"},
			},
		},
		{
			Addr: netip.MustParseAddrPort(other), SNI: shop, Full: 2, Asked: 2, Several: true,
			Causes: []attribute.Cause{{
				ID: "by-path", Title: "A path asks", Why: "it does", Strength: attribute.Shown,
				If: other + " asks itself", Fix: []string{"change it"}, Verify: "call it",
			}},
		},
	} {
		if err := w.Asker(&a); err != nil {
			return err
		}
	}
	return w.Close()
}

func TestPathsAndFindings(t *testing.T) {
	schema := compileSchema(t)
	for name, make := range map[string]func(*bytes.Buffer) Writer{
		"text/paths.txt":   func(b *bytes.Buffer) Writer { return NewText(b, TextOptions{}) },
		"json/paths.jsonl": func(b *bytes.Buffer) Writer { return NewJSON(b) },
		"log/paths.jsonl":  func(b *bytes.Buffer) Writer { return NewLog(b, LogOptions{}) },
		"log/paths.txt":    func(b *bytes.Buffer) Writer { return NewLog(b, LogOptions{Console: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := playPaths(make(&out)); err != nil {
				t.Fatal(err)
			}
			safe(t, out.String(), false)
			if name == "json/paths.jsonl" {
				schema.validate(t, out.Bytes())
			}
			golden(t, name, out.Bytes())
		})
	}
}

// TestWhere: the first line says of one address that it asked only where nothing
// may stand behind it, or nothing speaks for more than one hop.
func TestWhere(t *testing.T) {
	for _, tt := range []struct {
		place   attribute.Place
		several bool
		want    string
	}{
		{attribute.AtOrBehind, false, "198.18.1.30:443 asked for a client certificate."},
		{attribute.At, true, "198.18.1.30:443 asked for a client certificate."},
		{attribute.AtOrBehind, true, "A client certificate was asked for at 198.18.1.30:443, or behind it if it passes TLS through."},
		{attribute.Behind, false, "A client certificate was asked for behind 198.18.1.30:443, which is declared to pass TLS through."},
	} {
		var out bytes.Buffer
		w := NewText(&out, TextOptions{})
		a := attribute.Asker{Addr: netip.MustParseAddrPort(gateway), SNI: contoso, Full: 2, Asked: 2, Place: tt.place, Several: tt.several}
		if err := w.Asker(&a); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := strings.Cut(out.String(), "\n"); got != tt.want {
			t.Errorf("%v, several %v: %q, want %q", tt.place, tt.several, got, tt.want)
		}
	}
}
