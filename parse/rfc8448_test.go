package parse

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestRFC8448: known answers. The order of the records of either side is all
// that counts; the server's come behind the hello that they answer.
func TestRFC8448(t *testing.T) {
	want := map[string][]string{
		"Simple_1RTT_Handshake": {"accepter 8", "accepter 11", "accepter 15", "accepter 20", "opener 20", "accepter 4", "opener alert 0", "accepter alert 0"},
		// Early data stays closed, and so does its end.
		"Resumed_0RTT_Handshake":          {"accepter 8", "accepter 20", "opener 20", "opener alert 0", "accepter alert 0"},
		"HelloRetryRequest_Handshake":     {"accepter 8", "accepter 11", "accepter 15", "accepter 20", "opener 20", "opener alert 0", "accepter alert 0"},
		"Client_Authentication_Handshake": {"accepter 8", "accepter 13", "accepter 11", "accepter 15", "accepter 20", "opener 11", "opener 15", "opener 20", "opener alert 0", "accepter alert 0"},
		"Middlebox_Compatibility_Mode":    {"accepter 8", "accepter 11", "accepter 15", "accepter 20", "opener 20", "opener alert 0", "accepter alert 0"},
	}
	for name, trace := range readTraces(t) {
		t.Run(name, func(t *testing.T) {
			p := NewParser(Options{Keys: keysOf(trace.log)})
			c := p.NewConn()
			var got []byte // what the server's flight held
			for _, ch := range trace.chunks {
				for _, e := range c.Feed(ch) {
					if e.Kind == EventClientHello {
						c.h.ClientHello.PostHandshakeAuth = true // so that it is read to its end
					}
				}
				if u := c.un; u != nil && ch.From == Accepter && len(got) == 0 {
					got = bytes.Clone(p.plain)
				}
			}
			h := c.Handshake()
			if !bytes.Equal(got, trace.flight) {
				t.Errorf("the server's flight holds %x\nwant %x", got, trace.flight)
			}
			if seen := unsealed(h); !slices.Equal(seen, want[name]) {
				t.Errorf("got  %q\nwant %q", seen, want[name])
			}
			for s, f := range h.Sides {
				if f.Unopened > 0 || f.Malformed != "" {
					t.Errorf("%v: %+v", Side(s), f)
				}
			}
			switch name {
			case "Client_Authentication_Handshake":
				if len(h.Requests) != 1 || len(h.Requests[0].SignatureAlgorithms) != 15 || len(h.ClientCerts()) != 1 {
					t.Errorf("requests %+v, certificates %+v", h.Requests, h.ClientCerts())
				}
			case "HelloRetryRequest_Handshake":
				if !h.RetryRequested {
					t.Error("HelloRetryRequest not seen")
				}
			}
		})
	}
}

// trace is one trace of the RFC.
type trace struct {
	chunks []Chunk
	log    []byte
	flight []byte
}

func readTraces(t *testing.T) map[string]trace {
	t.Helper()
	data, err := os.ReadFile("testdata/rfc8448.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]trace)
	var name string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			name = strings.Trim(line, "[]")
			continue
		}
		tr := out[name]
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "C", "S", "M":
			b, err := hex.DecodeString(rest)
			if err != nil {
				t.Fatal(err)
			}
			if word == "M" {
				tr.flight = b
				break
			}
			ch := Chunk{Flow: testFlow, Time: testStart, Data: b}
			if word == "S" {
				ch.From = Accepter
			}
			tr.chunks = append(tr.chunks, ch)
		default:
			tr.log = append(tr.log, line+"\n"...)
		}
		out[name] = tr
	}
	if len(out) != 5 {
		t.Fatalf("%d traces", len(out))
	}
	return out
}
