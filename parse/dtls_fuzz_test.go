package parse

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// dtlsSealer makes the records of both sides of a DTLS 1.2 connection that begins
// with hellos in the clear. It takes what it seals for hellos to derive the keys
// of the next epoch from, as the ends would.
type dtlsSealer struct {
	hello  hello12
	master []byte
	sides  [2]struct {
		epoch uint16
		seq   uint64
		keys  *aead12 // nil in the first epoch, and where the suite has none
	}
	log []byte
}

var suitesDTLS = []CipherSuite{0xc02b, 0xc02c, 0xc0ac, 0xcca9}

func newDTLSSealer(suite CipherSuite) (s *dtlsSealer, hellos []Chunk) {
	s = &dtlsSealer{master: bytes.Repeat([]byte{0x4d}, 48)}
	body := cat2(0xfefd, bytes.Repeat([]byte{7}, 32), []byte{0})
	client := slices.Concat(body, []byte{0}, cat2(2, cat2(uint16(suite), []byte{1, 0})))
	server := slices.Concat(body, cat2(uint16(suite), []byte{0}))
	return s, []Chunk{
		s.record(Opener, HandshakeRecord, dtlsMsg(TypeClientHello, 0, client)),
		s.record(Accepter, HandshakeRecord, dtlsMsg(TypeServerHello, 0, server)),
	}
}

// cat2 is a number of two bytes in front of others.
func cat2(n uint16, more ...[]byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, n), slices.Concat(more...)...)
}

// dtlsMsg is a handshake message in one fragment.
func dtlsMsg(typ HandshakeType, seq uint16, body []byte) []byte {
	size := []byte{byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}
	return slices.Concat([]byte{byte(typ)}, size, cat2(seq), []byte{0, 0, 0}, size, body)
}

// learn reads what a hello says about keys.
func (s *dtlsSealer) learn(content []byte) {
	const random, header = 12 + 2, 12 + 2 + 32
	if len(content) < header+1 {
		return
	}
	b := [32]byte(content[random:])
	switch HandshakeType(content[0]) {
	case TypeClientHello:
		s.hello = hello12{client: b}
		s.log = fmt.Appendf(s.log, "CLIENT_RANDOM %x %x\n", b, s.master)
	case TypeServerHello:
		if at := header + 1 + int(content[header]); at+2 <= len(content) {
			s.hello.server, s.hello.version, s.hello.complete = b, TLS12, true
			s.hello.suite = CipherSuite(binary.BigEndian.Uint16(content[at:]))
		}
	}
}

// record seals a record under the keys of its side's epoch.
func (s *dtlsSealer) record(from Side, typ ContentType, content []byte) Chunk {
	if typ == HandshakeRecord {
		s.learn(content)
	}
	side := &s.sides[from]
	number := uint64(side.epoch)<<48 | side.seq
	side.seq++
	body := content
	if a := side.keys; a != nil {
		nonce := slices.Concat(a.fixed[:4], binary.BigEndian.AppendUint64(nil, number))
		body = nonce[4:]
		if !a.explicit {
			nonce, body = slices.Clone(a.fixed), nil
			for i, b := range binary.BigEndian.AppendUint64(nil, number) {
				nonce[4+i] ^= b
			}
		}
		body = a.Seal(slices.Clone(body), nonce, content, additional12(number, [headerLen]byte{byte(typ), 0xfe, 0xfd}, len(content)))
	}
	flow := testFlow
	flow.Proto = UDP
	data := slices.Concat([]byte{byte(typ), 0xfe, 0xfd}, binary.BigEndian.AppendUint64(nil, number), cat2(uint16(len(body))), body)
	return Chunk{Flow: flow, From: from, Time: testStart, Data: data}
}

// change sends a ChangeCipherSpec and goes on to the next epoch.
func (s *dtlsSealer) change(from Side) Chunk {
	ch := s.record(from, ChangeCipherSpec, []byte{1})
	side := &s.sides[from]
	side.epoch, side.seq, side.keys = side.epoch+1, 0, nil
	if s.hello.complete {
		side.keys, _ = newOpener12(s.hello, s.master, from == Opener).(*aead12)
	}
	return ch
}

// Bits of the operations in a script for FuzzUnsealDTLS.
const (
	opClient = 1 << iota
	opChange // keys, in front of the record
	opLose
	opSpoil
	opSwap // with the record before
	opJoin // in one datagram with the record before
)

// playDTLS makes the datagrams of a script: operation, content type, length in two
// bytes, content.
func playDTLS(script []byte, suite CipherSuite, rng *rand.Rand) ([]Chunk, *Keys) {
	s, chunks := newDTLSSealer(suite)
	chunks = append(chunks, s.change(Accepter), s.change(Opener))
	for len(script) >= 4 && len(chunks) < 200 {
		op, typ, n := script[0], script[1], min(int(binary.BigEndian.Uint16(script[2:])), len(script)-4)
		content := script[4 : 4+n]
		script = script[4+n:]
		from := Accepter
		if op&opClient != 0 {
			from = Opener
		}
		if op&opChange != 0 {
			chunks = append(chunks, s.change(from))
		}
		ch := s.record(from, ContentType(typ), content)
		last := &chunks[len(chunks)-1]
		switch {
		case op&opLose != 0:
			continue
		case op&opSpoil != 0:
			ch.Data[rng.IntN(len(ch.Data))] ^= 1 << rng.IntN(8)
		case op&opJoin != 0 && last.From == from:
			last.Data = append(last.Data, ch.Data...)
			continue
		}
		chunks = append(chunks, ch)
		if i := len(chunks) - 1; op&opSwap != 0 {
			chunks[i-1], chunks[i] = chunks[i], chunks[i-1]
		}
	}
	return chunks, keysOf(s.log)
}

// TestUnsealDTLS: what the fuzz target seals is opened, of each suite and in each
// epoch.
func TestUnsealDTLS(t *testing.T) {
	op := func(op, typ byte, content []byte) []byte {
		return slices.Concat([]byte{op, typ}, cat2(uint16(len(content)), content))
	}
	finished, second := make([]byte, 12), bytes.Repeat([]byte{8}, 32)
	for _, suite := range suitesDTLS {
		hello := cat2(0xfefd, second, []byte{0})
		script := slices.Concat(
			op(opClient, 22, dtlsMsg(TypeFinished, 3, finished)), op(0, 22, dtlsMsg(TypeFinished, 4, finished)),
			op(opClient, 22, dtlsMsg(TypeClientHello, 0, slices.Concat(hello, []byte{0}, cat2(2, cat2(uint16(suite), []byte{1, 0}))))),
			op(0, 22, dtlsMsg(TypeServerHello, 0, slices.Concat(hello, cat2(uint16(suite), []byte{0})))),
			op(0, 22, dtlsMsg(TypeCertificateRequest, 1, slices.Concat([]byte{1, 64}, cat2(2, cat2(0x0403)), cat2(0)))),
			op(opClient|opChange, 22, dtlsMsg(TypeFinished, 2, finished)), op(opChange, 22, dtlsMsg(TypeFinished, 2, finished)),
			op(0, 21, []byte{1, 0}),
		)
		chunks, keys := playDTLS(script, suite, rand.New(rand.NewPCG(1, 2)))
		h, _ := feed(NewParser(Options{Keys: keys}), chunks)
		got := unsealed(h)
		want := []string{"opener 20", "accepter 20", "opener 1 round 1", "accepter 2 round 1", "accepter 13 round 1", "opener 20 round 1", "accepter 20 round 1", "accepter alert 0"}
		if !slices.Equal(got, want) || h.Keys != KeysOpened || len(h.Requests) != 1 || h.Sides[0].Unopened+h.Sides[1].Unopened > 0 {
			t.Errorf("%v: %q, keys %v, %d requests", suite, got, h.Keys, len(h.Requests))
		}
	}
}

// FuzzUnsealDTLS feeds foreign contents sealed with good keys in records of DTLS,
// lost, spoilt and out of turn: no harm, bounds hold, and neither to see each
// datagram twice nor to cut them at their records makes a difference. The seeds
// are what recordings of OpenSSL hold.
func FuzzUnsealDTLS(f *testing.F) {
	f.Fuzz(func(t *testing.T, script []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		chunks, keys := playDTLS(script, suitesDTLS[rng.IntN(len(suitesDTLS))], rng)
		p := NewParser(Options{Keys: keys})
		facts := func(chunks []Chunk) []any {
			c := p.NewConn()
			for _, ch := range chunks {
				c.Feed(ch)
				checkDatagrams(t, c)
			}
			h := c.Handshake()
			c.Feed(Chunk{Flow: chunks[0].Flow, Time: testStart, End: Idle})
			if len(h.Messages) > MaxMessages || len(h.Requests) > MaxRequests || len(h.Alerts) > MaxAlerts || len(h.Rounds) > MaxRounds || len(h.Tape.Records) > MaxTape {
				t.Fatal("a bound is exceeded")
			}
			return []any{h.Messages, h.Requests, h.Alerts, h.Rounds, h.Tape, h.Keys, h.ClientHello, h.ServerHello, h.Client, h.ClientKnown}
		}
		whole := facts(chunks)
		var twice, apart []Chunk
		for _, ch := range chunks {
			twice = append(twice, ch, ch)
			apart = append(apart, recordsApart(ch)...)
		}
		if again := facts(twice); !reflect.DeepEqual(again, whole) {
			t.Fatalf("seen twice, there are other facts:\n%+v\n%+v", again, whole)
		}
		if again := facts(apart); !reflect.DeepEqual(again, whole) {
			t.Fatalf("record by record, there are other facts:\n%+v\n%+v", again, whole)
		}
	})
}

// recordsApart cuts a datagram into one for each record.
func recordsApart(ch Chunk) (out []Chunk) {
	rest := ch.Data
	for len(rest) > 0 {
		b := rest
		_, after, ok := readDTLSRecord(b)
		if !ok {
			after = nil
		}
		one := ch
		one.Data, rest = b[:len(b)-len(after)], after
		out = append(out, one)
	}
	return out
}
