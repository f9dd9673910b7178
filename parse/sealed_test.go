package parse

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// TestCCM: example 3 of SP 800-38C appendix C, whose nonce is as long as those
// of TLS.
func TestCCM(t *testing.T) {
	run := func(from, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(from + i)
		}
		return b
	}
	c := newCCM8x12(run(0x40, 16), nil).(*aead12).AEAD
	nonce, aad, plain := run(0x10, 12), run(0, 20), run(0x20, 24)
	sealed := c.Seal(nil, nonce, plain, aad)
	if got := hex.EncodeToString(sealed); got != "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951" {
		t.Errorf("sealed to %s", got)
	}
	if got, err := c.Open(nil, nonce, sealed, aad); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened to %x, %v", got, err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := c.Open(nil, nonce, bad, aad); err == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
	}
}

// sealer makes the records of one side of a TLS 1.3 connection.
type sealer struct {
	from  Side
	suite CipherSuite
	keys  *opener13
	seq   uint64
}

func newSealer(from Side, suite CipherSuite, secret []byte) *sealer {
	return &sealer{from: from, suite: suite, keys: newOpener13(suite, TLS13, secret)}
}

// record seals content with padding.
func (s *sealer) record(typ ContentType, padding int, content ...byte) Chunk {
	inner := append(append(slices.Clone(content), byte(typ)), make([]byte, padding)...)
	n := len(inner) + s.keys.aead.Overhead()
	hdr := []byte{byte(ApplicationData), 3, 3, byte(n >> 8), byte(n)}
	nonce := s.keys.nonce(s.seq)
	s.seq++
	return Chunk{Flow: testFlow, From: s.from, Time: testStart, Data: s.keys.aead.Seal(hdr, nonce[:], inner, hdr)}
}

// update changes the keys, as behind a KeyUpdate.
func (s *sealer) update() { s.keys, s.seq = s.keys.next(s.suite, TLS13), 0 }

// change goes on to another secret.
func (s *sealer) change(secret []byte) { s.keys, s.seq = newOpener13(s.suite, TLS13, secret), 0 }

// msg makes a handshake message.
func msg(t HandshakeType, body ...byte) []byte {
	return append([]byte{byte(t), byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

// scene is a TLS 1.3 connection made by hand.
type scene struct {
	suite          CipherSuite
	chunks         []Chunk
	client, server *sealer
	secrets        [4][]byte // handshake and traffic, of the client and of the server
	log            []byte
}

// newScene makes the hellos.
func newScene(suite CipherSuite, pha bool) *scene {
	s := &scene{suite: suite}
	labels := []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"}
	random := bytes.Repeat([]byte{7}, 32)
	for i, l := range labels {
		s.secrets[i] = bytes.Repeat([]byte{byte(0x30 + i)}, hash13(suite)().Size())
		s.log = fmt.Appendf(s.log, "%s %x %x\n", l, random, s.secrets[i])
	}
	s.client, s.server = newSealer(Opener, suite, s.secrets[0]), newSealer(Accepter, suite, s.secrets[2])
	hello := func(t HandshakeType, from Side) {
		var b cryptobyte.Builder
		b.AddUint16(0x0303)
		b.AddBytes(random)
		b.AddUint8(0)
		if t == TypeClientHello {
			b.AddUint16(2)
			b.AddUint16(uint16(suite))
			b.AddBytes([]byte{1, 0})
		} else {
			b.AddUint16(uint16(suite))
			b.AddUint8(0)
		}
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			if t == TypeClientHello {
				b.AddBytes([]byte{0, 43, 0, 3, 2, 3, 4})
				if pha {
					b.AddBytes([]byte{0, 49, 0, 0})
				}
			} else {
				b.AddBytes([]byte{0, 43, 0, 2, 3, 4})
			}
		})
		m := msg(t, b.BytesOrPanic()...)
		s.add(Chunk{Flow: testFlow, From: from, Time: testStart, Data: append([]byte{22, 3, 3, byte(len(m) >> 8), byte(len(m))}, m...)})
	}
	hello(TypeClientHello, Opener)
	hello(TypeServerHello, Accepter)
	return s
}

func (s *scene) add(c ...Chunk) { s.chunks = append(s.chunks, c...) }

// request is a CertificateRequest with a context.
func request(context ...byte) []byte {
	return msg(TypeCertificateRequest, append(append([]byte{byte(len(context))}, context...), 0, 8, 0, 13, 0, 4, 0, 2, 4, 3)...)
}

// handshake makes both sealed flights; nobody asks.
func (s *scene) handshake() {
	s.add(s.server.record(HandshakeRecord, 0, slices.Concat(msg(TypeEncryptedExtensions, 0, 0), msg(TypeFinished, make([]byte, 32)...))...))
	s.server.change(s.secrets[3])
	s.add(s.client.record(HandshakeRecord, 0, msg(TypeFinished, make([]byte, 32)...)...))
	s.client.change(s.secrets[1])
}

var suites13 = []CipherSuite{0x1301, 0x1302, 0x1303, 0x1304, 0x1305}

// TestPostHandshake: padding, key updates on either side and requests behind
// the handshake, under every suite.
func TestPostHandshake(t *testing.T) {
	for _, suite := range suites13 {
		t.Run(suite.String(), func(t *testing.T) {
			s := newScene(suite, true)
			s.handshake()
			for i := range 5 { // padding over several blocks of the key stream
				s.add(s.client.record(ApplicationData, 70*i, make([]byte, 10+i)...), s.server.record(ApplicationData, 13*i, make([]byte, 1000)...))
			}
			s.add(s.server.record(HandshakeRecord, 100, msg(TypeNewSessionTicket, make([]byte, 50)...)...))
			s.add(s.server.record(HandshakeRecord, 0, msg(TypeKeyUpdate, 1)...))
			s.server.update()
			s.add(s.client.record(HandshakeRecord, 3, msg(TypeKeyUpdate, 0)...))
			s.client.update()
			// A message over two records, and two of them in the last.
			ask := slices.Concat(request(1, 2, 3), request(9))
			s.add(s.server.record(HandshakeRecord, 0, ask[:7]...), s.server.record(HandshakeRecord, 33, ask[7:]...))
			s.add(s.client.record(HandshakeRecord, 0, slices.Concat(msg(TypeCertificate, 3, 1, 2, 3, 0, 0, 0), msg(TypeFinished, make([]byte, 32)...))...))
			s.add(s.client.record(HandshakeRecord, 0, slices.Concat(msg(TypeCertificate, 1, 9, 0, 0, 0), msg(TypeFinished, make([]byte, 32)...))...))
			s.add(s.server.record(AlertRecord, 5, 2, 116))
			h, _ := feed(NewParser(Options{Keys: keysOf(s.log)}), s.chunks)
			want := []string{"accepter 8", "accepter 20", "opener 20", "accepter 4", "accepter 24", "opener 24",
				"accepter 13 round 1", "accepter 13 round 2", "opener 11 round 1", "opener 20 round 1", "opener 11 round 2", "opener 20 round 2", "accepter alert 116"}
			if got := unsealed(h); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if len(h.Requests) != 2 || len(h.Requests[0].Context) != 3 || !h.Requests[1].Unsealed {
				t.Errorf("requests %+v", h.Requests)
			}
			if h.Sides[0].Unopened+h.Sides[1].Unopened > 0 {
				t.Errorf("%+v", h.Sides)
			}
		})
	}
}

// TestResynchronise: behind lost records the sequence number is searched, up to
// a bound, also over a change of keys.
func TestResynchronise(t *testing.T) {
	for _, suite := range suites13 {
		for _, lost := range []int{1, 30, 60, lossWindow + 5, 400} {
			for _, update := range []bool{false, true} {
				s := newScene(suite, true)
				s.handshake()
				s.add(s.server.record(ApplicationData, 0, 1, 2, 3))
				gone := 0
				for i := range lost {
					if update && i == lost/2 {
						gone += len(s.server.record(HandshakeRecord, 0, msg(TypeKeyUpdate, 0)...).Data)
						s.server.update()
					}
					gone += len(s.server.record(ApplicationData, 0, make([]byte, 100)...).Data)
				}
				// The record by which the boundary is found again stays closed.
				after := s.server.record(ApplicationData, 0, 1, 2, 3)
				after.Lost = gone
				s.add(after, s.server.record(HandshakeRecord, 0, request(1)...), s.server.record(ApplicationData, 0, 1), s.server.record(AlertRecord, 0, 1, 0))
				h, _ := feed(NewParser(Options{Keys: keysOf(s.log)}), s.chunks)
				got := unsealed(h)
				found := slices.Contains(got, "accepter 13 round 1 gap") && slices.Contains(got, "accepter alert 0")
				within := lost <= lossWindow // a change of keys begins anew
				if found != within && !update || update && found != (lost <= 2*lossWindow) {
					t.Errorf("%v, %d records lost, update %v: %q", suite, lost, update, got)
				}
				if !found && h.Sides[Accepter].Unopened == 0 {
					t.Errorf("%v, %d records lost: nothing says that some stayed closed", suite, lost)
				}
			}
		}
	}
}

// TestLateKeys: with Growing, secrets may come behind the records that they
// open; what passed is kept for a while.
func TestLateKeys(t *testing.T) {
	for name, configs := range testConfigs(t) {
		t.Run(name, func(t *testing.T) {
			chunks, log := logged(t, configs[0], configs[1])
			whole, _ := feed(NewParser(Options{Keys: keysOf(log)}), chunks)
			for at := range chunks {
				k := NewKeys()
				k.Growing = true
				p := NewParser(Options{Keys: k})
				c := p.NewConn()
				for i, ch := range chunks {
					if i == at {
						l := k.Log()
						l.Write(log)
					}
					c.Feed(ch)
				}
				got, want := unsealed(c.Handshake()), unsealed(whole)
				slices.Sort(got) // late ones come in another order
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("in front of chunk %d of %d: got  %q\nwant %q", at, len(chunks), got, want)
				}
				p.Recycle(c)
				if p.heldBytes != 0 {
					t.Fatalf("%d bytes are still held", p.heldBytes)
				}
			}
			// Never: what is kept is bounded, and given back.
			k := NewKeys()
			k.Growing = true
			p := NewParser(Options{Keys: k})
			c := p.NewConn()
			for _, ch := range chunks {
				c.Feed(ch)
				if p.heldBytes > 2*maxHeldBytes {
					t.Fatalf("%d bytes held", p.heldBytes)
				}
			}
			p.Recycle(c)
			if p.heldBytes != 0 {
				t.Fatalf("%d bytes are still held", p.heldBytes)
			}
		})
	}
}

// TestResumed12: the secrets of a resumed session are those of the connection
// that made it, of which alone the log tells.
func TestResumed12(t *testing.T) {
	for _, configs := range testConfigs(t) {
		if configs[0].MaxVersion != tls.VersionTLS12 {
			continue
		}
		client, server := configs[0].Clone(), configs[1]
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		first, log := logged(t, client, server)
		second, more := logged(t, client, server)
		third, _ := logged(t, client, server)
		if bytes.Contains(more, []byte("CLIENT_RANDOM")) && !bytes.Equal(bytes.Fields(log)[2], bytes.Fields(more)[2]) {
			t.Fatal("the session was not resumed")
		}
		p := NewParser(Options{Keys: keysOf(log)})
		for i, chunks := range [][]Chunk{first, second, third} {
			h, _ := feed(p, chunks)
			if h.Keys != KeysOpened || len(unsealed(h)) != 3 {
				t.Errorf("connection %d: state %d, %q", i+1, h.Keys, unsealed(h))
			}
		}
		// The same by session id, which a log can name instead of the random.
		h, _ := feed(NewParser(Options{}), second)
		if id := h.ServerHello.SessionID; len(id) > 0 {
			k := keysOf(fmt.Appendf(nil, "RSA Session-ID:%x Master-Key:%s\n", id, bytes.Fields(log)[2]))
			if h, _ := feed(NewParser(Options{Keys: k}), second); h.Keys != KeysOpened {
				t.Errorf("by session id: state %d", h.Keys)
			}
		}
	}
}

// TestWrongKeys: secrets that do not fit are no harm and cost a bounded search.
func TestWrongKeys(t *testing.T) {
	s := newScene(0x1301, true)
	s.handshake()
	for range 2000 {
		s.add(s.server.record(ApplicationData, 0, make([]byte, 1000)...))
	}
	var log strings.Builder
	for i := range maxCandidates {
		fmt.Fprintf(&log, "SERVER_HANDSHAKE_TRAFFIC_SECRET %x %064x\n", bytes.Repeat([]byte{7}, 32), i)
	}
	p := NewParser(Options{Keys: keysOf([]byte(log.String()))})
	c := p.NewConn()
	for _, ch := range s.chunks {
		c.Feed(ch)
	}
	h := c.Handshake()
	if h.Keys != KeysFailed || len(unsealed(h)) > 0 || !c.un.dirs[Accepter].done {
		t.Errorf("state %d, %q, done %v", h.Keys, unsealed(h), c.un.dirs[Accepter].done)
	}
	if c.un.spent > maxTrial+1<<16 {
		t.Errorf("%d bytes tried", c.un.spent)
	}
}

// tunnelScript is a script of FuzzUnseal in which a handshake begins in a tunnel.
func tunnelScript() (script []byte) {
	step := func(op byte, t ContentType, content ...byte) {
		script = append(append(script, op, byte(t), byte(len(content))), content...)
	}
	finished := msg(TypeFinished, make([]byte, 32)...)
	step(4, HandshakeRecord, slices.Concat(msg(TypeEncryptedExtensions, 0, 0), finished)...)
	step(5, HandshakeRecord, finished...)
	step(1, ApplicationData, []byte("CONNECT www.contoso.test:443 HTTP/1.1\r\n\r\n")...)
	step(0, ApplicationData, []byte("HTTP/1.1 200 OK\r\n\r\n")...)
	for _, ch := range newScene(0x1301, false).chunks {
		step(byte(ch.From.Other()), ApplicationData, ch.Data...)
	}
	return script
}

// TestTunnelScript: the seed does what it is for.
func TestTunnelScript(t *testing.T) {
	s := newScene(0x1301, true)
	for script := tunnelScript(); len(script) > 0; {
		side, op, n := s.server, script[0], int(script[2])
		if op&1 != 0 {
			side = s.client
		}
		s.add(side.record(ContentType(script[1]), 0, script[3:3+n]...))
		if op&4 != 0 {
			side.change(s.secrets[1+2*(1-op&1)])
		}
		script = script[3+n:]
	}
	h, _ := feed(NewParser(Options{Keys: keysOf(s.log)}), s.chunks)
	if h.Inner == nil || h.Inner.ClientHello == nil || h.Inner.ServerHello == nil || h.Inner.Preamble != "http-connect" {
		t.Errorf("inside: %+v", h.Inner)
	}
}

// FuzzUnseal feeds foreign contents sealed with good keys, records lost,
// repeated and spoilt in between: no harm, the split makes no difference, and
// bounds hold.
func FuzzUnseal(f *testing.F) {
	f.Add([]byte("\x00\x16\x08\x08\x00\x00\x02\x00\x00\x14\x00\x00"), uint8(3), uint64(1))
	f.Add(append([]byte{2, 22, 60}, request(1, 2, 3)...), uint8(7), uint64(2))
	f.Add(tunnelScript(), uint8(9), uint64(3))
	f.Fuzz(func(t *testing.T, script []byte, size uint8, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := newScene(suites13[rng.IntN(len(suites13))], seed&1 == 0)
		for len(script) >= 3 && len(s.chunks) < 100 {
			op, typ, n := script[0], script[1], min(int(script[2]), len(script)-3)
			content := script[3 : 3+n]
			script = script[3+n:]
			side := s.server
			if op&1 != 0 {
				side = s.client
			}
			ch := side.record(ContentType(typ), int(op>>4), content...)
			switch {
			case op&2 != 0:
				side.update()
			case op&4 != 0:
				side.change(s.secrets[1+2*(1-op&1)])
			case op&8 != 0 && rng.IntN(3) == 0:
				ch.Data[len(ch.Data)-1] ^= 1
			}
			if op&14 == 14 {
				ch.Data, ch.Lost = nil, len(ch.Data)
			}
			s.add(ch)
		}
		p := NewParser(Options{Keys: keysOf(s.log)})
		h, events := feed(p, s.chunks)
		again, same := feed(p, resplit(s.chunks, func() int { return 1 + int(size) }))
		if !reflect.DeepEqual(h, again) || !reflect.DeepEqual(events, same) {
			t.Fatal("another split gives other facts")
		}
		if len(h.Messages) > MaxMessages || len(h.Requests) > MaxRequests || len(h.Alerts) > MaxAlerts {
			t.Fatal("a bound is exceeded")
		}
	})
}
