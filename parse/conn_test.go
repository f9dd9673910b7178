package parse

import (
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// testConfigs are the kinds of connections that the tests run.
func testConfigs(t testing.TB) map[string][2]*tls.Config {
	server, client := testIdentity(t, "portal.contoso.test"), testIdentity(t, "alice")
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(client.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	out := make(map[string][2]*tls.Config)
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		for mode, auth := range map[string]tls.ClientAuthType{"none": tls.NoClientCert, "asked": tls.RequestClientCert} {
			for answer, certs := range map[string][]tls.Certificate{"empty": nil, "certificate": {client}} {
				out[name+" "+mode+" "+answer] = [2]*tls.Config{
					{ServerName: "portal.contoso.test", InsecureSkipVerify: true, MaxVersion: version, Certificates: certs, NextProtos: []string{"h2", "http/1.1"}},
					{Certificates: []tls.Certificate{server}, ClientAuth: auth, ClientCAs: pool, NextProtos: []string{"http/1.1"}},
				}
			}
		}
	}
	return out
}

func TestFacts(t *testing.T) {
	for name, configs := range testConfigs(t) {
		t.Run(name, func(t *testing.T) {
			h, _ := feed(NewParser(Options{Fingerprints: true}), handshake(t, configs[0], configs[1]))
			if !h.TLS || !h.ClientKnown || h.Client != Opener || h.ClientHello == nil || h.ServerHello == nil {
				t.Fatalf("hellos not read: %+v", h)
			}
			if h.ClientHello.ServerName != "portal.contoso.test" || !slices.Equal(h.ClientHello.ALPN, []string{"h2", "http/1.1"}) {
				t.Errorf("SNI %q, ALPN %q", h.ClientHello.ServerName, h.ClientHello.ALPN)
			}
			if got := uint16(h.ServerHello.Version); got != configs[0].MaxVersion {
				t.Errorf("version %v", h.ServerHello.Version)
			}
			if h.ClientHello.JA3 == "" || h.ClientHello.JA4 == "" || h.ServerHello.JA3S == "" {
				t.Error("fingerprints are missing")
			}
			for s, side := range h.Sides {
				if side.Malformed != "" || side.Lost != 0 || side.Desync != 0 || side.FinAt.IsZero() {
					t.Errorf("%v: %+v", Side(s), side)
				}
			}
			if h.End != FIN || h.Preamble != "" {
				t.Errorf("end %v, preamble %q", h.End, h.Preamble)
			}
			tls12 := configs[0].MaxVersion == tls.VersionTLS12
			asked := configs[1].ClientAuth != tls.NoClientCert
			if got := len(h.Requests) == 1; got != (tls12 && asked) {
				t.Errorf("requests in the clear: %+v", h.Requests)
			}
			if tls12 && asked {
				r := h.Requests[0]
				if !slices.Equal(r.Authorities, []string{"CN=alice"}) || len(r.SignatureAlgorithms) == 0 || len(r.Types) == 0 || r.Malformed != "" {
					t.Errorf("request %+v", r)
				}
				if got, want := len(h.ClientCerts()), len(configs[0].Certificates); got != want {
					t.Errorf("%d client certificates, want %d", got, want)
				}
			}
			if tls12 && (len(h.ServerCerts()) != 1 || h.ServerCerts()[0].Subject != "CN=portal.contoso.test") {
				t.Errorf("server certificates %+v", h.ServerCerts())
			}
			if !tls12 && len(h.Tape.Records) < 6 {
				t.Errorf("tape %+v", h.Tape)
			}
		})
	}
}

// TestSplits: cutting the same bytes differently changes no event.
func TestSplits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, configs := range testConfigs(t) {
		t.Run(name, func(t *testing.T) {
			chunks := handshake(t, configs[0], configs[1])
			for _, prefix := range []string{"", "CONNECT portal.contoso.test:443 HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x04junk"} {
				chunks := slices.Clone(chunks)
				if prefix != "" {
					chunks[0].Data = append([]byte(prefix), chunks[0].Data...)
				}
				p := NewParser(Options{})
				wantH, want := feed(p, chunks)
				if wantH.ClientHello == nil {
					t.Fatalf("behind %q: no ClientHello", prefix)
				}
				check := func(how string, size func() int) {
					t.Helper()
					gotH, got := feed(p, resplit(chunks, size))
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("behind %q, %s: events differ\n%+v\n%+v", prefix, how, got, want)
					}
					if !reflect.DeepEqual(gotH, wantH) {
						t.Fatalf("behind %q, %s: records differ", prefix, how)
					}
				}
				for n := 1; n < 40; n++ {
					check("pieces of equal size", func() int { return n })
				}
				for range 50 {
					check("random pieces", func() int { return 1 + rng.IntN(60) })
				}
			}
		})
	}
}

// TestEveryByteLost drops every single byte, and runs of bytes, from a
// connection: facts may go missing, but none may appear that was not there.
func TestEveryByteLost(t *testing.T) {
	for name, configs := range testConfigs(t) {
		t.Run(name, func(t *testing.T) {
			p := NewParser(Options{})
			chunks := handshake(t, configs[0], configs[1])
			whole, _ := feed(p, chunks)
			for i, ch := range chunks {
				for at := 0; at < len(ch.Data); at++ {
					for _, n := range []int{1, 7, len(ch.Data) - at} {
						if at+n > len(ch.Data) {
							continue
						}
						first, second := ch, ch
						first.Data, first.Fin, first.End = ch.Data[:at], false, Open
						second.Data, second.Lost = ch.Data[at+n:], n
						h, _ := feed(p, slices.Concat(chunks[:i], []Chunk{first, second}, chunks[i+1:]))
						compareLossy(t, h, whole)
						if t.Failed() {
							t.Fatalf("with %d bytes of chunk %d lost at %d", n, i, at)
						}
					}
				}
			}
		})
	}
}

func compareLossy(t *testing.T, got, whole *Handshake) {
	t.Helper()
	for _, m := range got.Messages {
		if !slices.ContainsFunc(whole.Messages, func(w Message) bool {
			return w.From == m.From && w.Type == m.Type && w.Len == m.Len
		}) {
			t.Errorf("a message out of nothing: %+v", m)
		}
	}
	for _, r := range got.Tape.Records {
		clear := r.Type == HandshakeRecord && r.Gap
		if !clear && !slices.ContainsFunc(whole.Tape.Records, func(w Record) bool {
			return w.From == r.From && w.Type == r.Type && w.Len == r.Len
		}) {
			t.Errorf("a record out of nothing: %+v", r)
		}
	}
	if len(got.Requests) > len(whole.Requests) || len(got.Rounds) > len(whole.Rounds) {
		t.Errorf("%d requests, %d rounds out of nothing", len(got.Requests), len(got.Rounds))
	}
}
