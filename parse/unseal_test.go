package parse

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
)

// logged runs a handshake and returns what went over the wire with the
// client's key log.
func logged(t testing.TB, client, server *tls.Config) ([]Chunk, []byte) {
	t.Helper()
	var log bytes.Buffer
	client = client.Clone()
	client.KeyLogWriter = &log
	chunks := handshake(t, client, server)
	return chunks, log.Bytes()
}

// keysOf reads key logs.
func keysOf(logs ...[]byte) *Keys {
	k := NewKeys()
	for _, log := range logs {
		l := k.Log()
		l.Write(log)
		l.Flush()
	}
	return k
}

// unsealed lists what was unsealed: side, type and round of each message, and
// the alerts.
func unsealed(h *Handshake) []string {
	var out []string
	for _, m := range h.Messages {
		if m.Unsealed {
			s := fmt.Sprintf("%v %d", m.From, m.Type)
			if m.Round > 0 {
				s += fmt.Sprintf(" round %d", m.Round)
			}
			if m.Gap {
				s += " gap"
			}
			out = append(out, s)
		}
	}
	for _, a := range h.Alerts {
		if a.Unsealed {
			out = append(out, fmt.Sprintf("%v alert %d", a.From, a.Description))
		}
	}
	return out
}

// testPool holds the CA of a client certificate.
func testPool(t testing.TB, c tls.Certificate) *x509.CertPool {
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return pool
}

func TestUnseal(t *testing.T) {
	for name, configs := range testConfigs(t) {
		t.Run(name, func(t *testing.T) {
			chunks, log := logged(t, configs[0], configs[1])
			h, _ := feed(NewParser(Options{Keys: keysOf(log)}), chunks)
			if h.Keys != KeysOpened {
				t.Fatalf("keys %v", h.Keys)
			}
			asked := configs[1].ClientAuth != tls.NoClientCert
			cert := asked && len(configs[0].Certificates) > 0
			var want []string
			if configs[0].MaxVersion == tls.VersionTLS12 {
				want = []string{"opener 20", "accepter 20", "opener alert 0"}
			} else {
				want = []string{"accepter 8", "accepter 13", "accepter 11", "accepter 15", "accepter 20", "opener 11", "opener 15", "opener 20"}
				if !asked {
					want = slices.Concat(want[:1], want[2:5], want[7:])
				} else if !cert {
					want = slices.Concat(want[:6], want[7:])
				}
			}
			if got := unsealed(h); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if len(h.Requests) == 1 != asked {
				t.Errorf("requests %+v", h.Requests)
			}
			if asked && (!slices.Equal(h.Requests[0].Authorities, []string{"CN=alice"}) || h.Requests[0].Malformed != "") {
				t.Errorf("request %+v", h.Requests[0])
			}
			if h.ServerHello.ALPN != "http/1.1" {
				t.Errorf("ALPN %q", h.ServerHello.ALPN)
			}
			if len(h.ServerCerts()) != 1 || len(h.ClientCerts()) == 1 != cert {
				t.Errorf("server certificates %+v, client certificates %+v", h.ServerCerts(), h.ClientCerts())
			}
			for s, side := range h.Sides {
				if side.Unopened > 0 || side.Opened == 0 || side.Malformed != "" {
					t.Errorf("%v: %+v", Side(s), side)
				}
			}
		})
	}
}
