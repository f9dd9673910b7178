package corpus

import (
	"slices"
	"testing"

	"whoasked/attribute"
)

// join takes recorded captures together, the way whoasked read does.
func join(t *testing.T, folder string, hops attribute.Hops, files ...string) *attribute.Joined {
	t.Helper()
	var legs attribute.Legs
	id := uint64(0)
	for _, f := range files {
		for _, c := range judge(load(t, shared(t, "recorded", folder, f))) {
			if !c.TLS {
				continue
			}
			id++
			client, server := c.Ends()
			sni := ""
			if c.ClientHello != nil {
				sni = c.ClientHello.ServerName
			}
			legs.Add(&attribute.Connection{
				ID: id, Capture: f, Client: client, Server: server, Handshake: c.Handshake, Verdict: c.verdict,
				Hop: hops.Name(server, sni, nil), ClientHop: hops.Host(client.Addr()),
			})
		}
	}
	return legs.Join()
}

// TestRecordedPaths joins real captures of both sides of an edge, and of either
// side alone: where one is missing there is less to say, and nothing wrong.
func TestRecordedPaths(t *testing.T) {
	const client, inner = "client.pcap", "edge-inner.pcap"
	passes := "198.18.0.10 → 198.18.0.20:443 (passes through) → 198.18.1.30:443 (ASKED, or behind it)"
	for _, tt := range []struct {
		folder string
		files  []string
		want   []string // chains
	}{
		{"passthrough", []string{client, inner}, []string{passes, passes}},
		{"passthrough", []string{inner, client}, []string{passes, passes}},
		{"passthrough", []string{client}, nil},
		{"passthrough", []string{inner}, nil},
		{"direct12", []string{client, inner}, nil}, // one leg, seen twice
		{"direct13", []string{client, inner}, nil},
		{"intermittent_sni", []string{client, inner}, nil},
		{"edge_asks", []string{client, inner}, nil}, // the edge keeps its inner leg for several
		{"edge_asks", []string{client}, nil},
		{"edge_asks", []string{inner}, nil},
		{"none13", []string{client, inner}, nil},
	} {
		j := join(t, tt.folder, nil, tt.files...)
		var got []string
		for i := range j.Paths {
			p := &j.Paths[i]
			got = append(got, p.Chain())
			if p.Reaches != attribute.Yes || p.Joins != "certain" || p.Confidence != "likely" {
				t.Errorf("%s %v: reaches the client %v, %s", tt.folder, tt.files, p.Reaches, p.Joins)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s %v: ways %q, want %q", tt.folder, tt.files, got, tt.want)
		}
	}
}
