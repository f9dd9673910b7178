package parse

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"reflect"
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

// TestCompressed: records that a compression method was agreed for are told as
// not supported, though there is a secret (RFC 3749).
func TestCompressed(t *testing.T) {
	configs := testConfigs(t)["1.2 asked empty"]
	chunks, log := logged(t, configs[0], configs[1])
	const deflate = 1
	patched := false
	for i := range chunks {
		ch := &chunks[i]
		if at := headerLen + 4 + 2 + 32; !patched && ch.From == Accepter && len(ch.Data) > at && ch.Data[headerLen] == byte(TypeServerHello) {
			ch.Data = bytes.Clone(ch.Data)
			ch.Data[at+1+int(ch.Data[at])+2] = deflate
			patched = true
		}
	}
	h, _ := feed(NewParser(Options{Keys: keysOf(log)}), chunks)
	if !patched || h.Keys != KeysUnsupported || h.Sides[0].Opened+h.Sides[1].Opened > 0 {
		t.Errorf("patched %v, keys %v", patched, h.Keys)
	}
	if h, _ := feed(NewParser(Options{Keys: NewKeys()}), chunks); h.Keys != KeysNone {
		t.Errorf("without a secret: keys %v", h.Keys)
	}
}

// TestUnsealSplits: cutting the same bytes differently changes no fact.
func TestUnsealSplits(t *testing.T) {
	for name, configs := range testConfigs(t) {
		t.Run(name, func(t *testing.T) {
			chunks, log := logged(t, configs[0], configs[1])
			p := NewParser(Options{Keys: keysOf(log)})
			wantH, want := feed(p, chunks)
			if wantH.Keys != KeysOpened {
				t.Fatal("not unsealed")
			}
			for n := 1; n < 30; n++ {
				gotH, got := feed(p, resplit(chunks, func() int { return n }))
				if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(gotH, wantH) {
					t.Fatalf("pieces of %d: facts differ\n%+v\n%+v", n, got, want)
				}
			}
		})
	}
}

// TestUnsealEveryByteLost drops every byte, and runs of bytes: messages may go
// missing, but what comes behind them says so, and none appears that was not
// there.
func TestUnsealEveryByteLost(t *testing.T) {
	for name, configs := range testConfigs(t) {
		t.Run(name, func(t *testing.T) {
			chunks, log := logged(t, configs[0], configs[1])
			p := NewParser(Options{Keys: keysOf(log)})
			whole, _ := feed(p, chunks)
			for i, ch := range chunks {
				for at := 0; at < len(ch.Data); at += 3 {
					for _, n := range []int{1, 40, 300, len(ch.Data) - at} {
						if at+n > len(ch.Data) {
							continue
						}
						first, second := ch, ch
						first.Data, first.Fin, first.End = ch.Data[:at], false, Open
						second.Data, second.Lost = ch.Data[at+n:], n
						h, _ := feed(p, slices.Concat(chunks[:i], []Chunk{first, second}, chunks[i+1:]))
						if compareOpened(t, h, whole); t.Failed() {
							t.Fatalf("with %d bytes of chunk %d lost at %d: %q\n%+v", n, i, at, unsealed(h), h.Sides)
						}
					}
				}
			}
		})
	}
}

// compareOpened demands that the unsealed messages of either side are some of
// the whole connection's, in order, and that a gap is told wherever one is
// missing in front of another.
func compareOpened(t *testing.T, got, whole *Handshake) {
	t.Helper()
	for side := range got.Sides {
		var all []Message
		for _, m := range whole.Messages {
			if m.Unsealed && m.From == Side(side) {
				all = append(all, m)
			}
		}
		for _, m := range got.Messages {
			if !m.Unsealed || m.From != Side(side) {
				continue
			}
			skipped := 0
			for len(all) > 0 && (all[0].Type != m.Type || all[0].Len != m.Len || all[0].Round != m.Round) {
				all = all[1:]
				skipped++
			}
			if len(all) == 0 {
				t.Errorf("a message out of nothing: %+v", m)
				return
			}
			all = all[1:]
			if skipped > 0 && !m.Gap {
				t.Errorf("%d messages are missing in front of %+v", skipped, m)
			}
		}
		if f := got.Sides[side]; len(all) > 0 && f.Unopened == 0 && f.Hidden == 0 && got.Keys == KeysOpened && f.Opened > 0 {
			t.Errorf("%d messages are missing at the end of %v, and nothing says so", len(all), Side(side))
		}
	}
}
