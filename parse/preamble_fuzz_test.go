package parse

import (
	"reflect"
	"testing"
)

// FuzzPreamble lets foreign bytes stand in front of TLS: the split makes no
// difference, memory stays bounded, and no reply reader of the table breaks.
func FuzzPreamble(f *testing.F) {
	for _, tt := range preambleTests {
		var script []byte
		for _, line := range tt.talk {
			from := byte(0)
			if line[0] == 'S' {
				from = 1
			}
			for data := line[2:]; len(data) > 0; {
				n := min(len(data), 255)
				script = append(append(script, from, byte(n)), data[:n]...)
				data = data[n:]
			}
			if len(script) > 4000 {
				break
			}
		}
		f.Add(script, uint8(2))
	}
	f.Add(append([]byte("\x00\x1a"+tdsPrelogin+"\x01\x1a"), tdsReply(1)...), uint8(3))
	tls := afterPreamble(f)
	p := NewParser(Options{})
	f.Fuzz(func(t *testing.T, script []byte, size uint8) {
		var chunks []Chunk
		var said []byte
		for len(script) >= 2 && len(chunks) < 200 {
			op, n := script[0], int(script[1])
			script = script[2:]
			ch := Chunk{Flow: testFlow, From: Side(op & 1), Time: testStart, Midstream: op&0x80 != 0}
			if op&2 != 0 {
				ch.Lost = n
			} else {
				n = min(n, len(script))
				ch.Data, script = script[:n], script[n:]
				said = append(said, ch.Data...)
			}
			chunks = append(chunks, ch)
		}
		c := p.NewConn()
		for _, ch := range chunks {
			c.Feed(ch)
			if l := c.heard; l != nil && (cap(l.ears[0].buf) > 2*maxHeard || cap(l.ears[1].buf) > 2*maxHeard || len(l.layers) > maxLayers) {
				t.Fatal("a bound is exceeded")
			}
		}
		chunks = append(chunks, tls...)
		h, events := feed(p, chunks)
		again, same := feed(p, resplit(chunks, func() int { return 1 + int(size) }))
		if !reflect.DeepEqual(h, again) || !reflect.DeepEqual(events, same) {
			t.Fatalf("another split gives other facts: %q %q %v, %q %q %v", h.Preamble, h.Target, h.Proxied, again.Preamble, again.Target, again.Proxied)
		}
		for _, row := range preambles {
			for _, s := range row.Steps {
				if s.Await == nil {
					continue
				}
				if n, r := s.Await(said); n > len(said) || r == ReplyPending && n != 0 {
					t.Fatalf("%s: %v, %d of %d bytes", row.Name, r, n, len(said))
				}
			}
		}
	})
}
