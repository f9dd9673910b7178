package parse

import (
	"crypto/tls"
	"math/rand/v2"
	"reflect"
	"testing"
)

// sieved leaves out of chunks what a Sieve lets it and returns how much.
func sieved(chunks []Chunk) (out []Chunk, left int) {
	var sieves [2]Sieve
	var skipped [2]int
	for _, ch := range chunks {
		for data := ch.Data; len(data) > 0; {
			n, skip := sieves[ch.From].Next(data)
			if skip {
				skipped[ch.From] += n
				left += n
			} else {
				piece := ch
				piece.Data, piece.Skipped, piece.Fin, piece.End = data[:n], skipped[ch.From], false, Open
				skipped[ch.From] = 0
				out = append(out, piece)
			}
			data = data[n:]
		}
		if ch.Fin || ch.End != Open {
			ch.Data, ch.Skipped = nil, skipped[ch.From]
			skipped[ch.From] = 0
			out = append(out, ch)
		}
	}
	return out, left
}

// TestSieveChangesNoFact: what a Sieve lets a source leave out is bulk alone.
func TestSieveChangesNoFact(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	p := NewParser(Options{})
	for name, configs := range testConfigs(t) {
		chunks := handshake(t, configs[0], configs[1])
		for from := range 2 { // bulk in front of the end
			bulk := append([]byte{23, 3, 3, 0x40, 0x00}, make([]byte, 0x4000)...)
			ch := chunks[len(chunks)-3]
			ch.From, ch.Data = Side(from), append(bulk, bulk...)
			chunks = append(chunks[:len(chunks)-2:len(chunks)-2], append([]Chunk{ch}, chunks[len(chunks)-2:]...)...)
		}
		want, _ := feed(p, chunks)
		for range 20 {
			cut, left := sieved(resplit(chunks, func() int { return 1 + rnd.IntN(3000) }))
			if got, _ := feed(p, cut); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: other facts behind the sieve:\n%+v\n%+v", name, got, want)
			}
			if left < 4*0x4000 {
				t.Errorf("%s: only %d bytes left out", name, left)
			}
		}
	}
}

// TestSieveWithKeys: bodies that are not looked at any more may be left out with
// keys, too, and nothing else is opened for it.
func TestSieveWithKeys(t *testing.T) {
	for name, configs := range testConfigs(t) {
		chunks, log := logged(t, configs[0], configs[1])
		p := NewParser(Options{Keys: keysOf(log)})
		want, _ := feed(p, chunks)
		c := p.NewConn()
		var sieves [2]Sieve
		var skipped, left [2]int
		for _, ch := range chunks {
			whole := c.Bodies()
			for data := ch.Data; len(data) > 0; {
				n, skip := sieves[ch.From].Next(data)
				if skip && !whole {
					skipped[ch.From] += n
					left[ch.From] += n
				} else {
					piece := ch
					piece.Data, piece.Skipped, piece.Fin, piece.End = data[:n], skipped[ch.From], false, Open
					skipped[ch.From] = 0
					c.Feed(piece)
				}
				data = data[n:]
			}
			if ch.Fin || ch.End != Open {
				ch.Data, ch.Skipped = nil, skipped[ch.From]
				c.Feed(ch)
			}
		}
		if got := c.Handshake(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: other facts behind the sieve:\n%+v\n%+v", name, got, want)
		}
		if tls12 := configs[0].MaxVersion == tls.VersionTLS12; tls12 != (left[Accepter] > 0) || left[Opener] > 0 {
			t.Errorf("%s: %d bytes left out", name, left)
		}
	}
}

func FuzzSieve(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x02\x01\x00\x17\x03\x03\x00\x03abc\x17\x03\x03\x00\x00\x15\x03\x03\x00\x02\x01\x00"), uint8(4))
	f.Add([]byte("\x16\x03\x01\x00\x02\x01\x00\x17\x03\x03\x00\x03abcGET / HTTP/1.1\x17\x03\x03\x00\x03abc"), uint8(1))
	p := NewParser(Options{})
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		whole := []Chunk{{Flow: testFlow, Time: testStart, Data: data, Fin: true}}
		want, _ := feed(p, whole)
		cut, _ := sieved(resplit(whole, func() int { return 1 + int(size) }))
		if got, _ := feed(p, cut); !reflect.DeepEqual(got, want) {
			t.Fatalf("other facts behind the sieve:\n%+v\n%+v", got, want)
		}
	})
}
