package capture

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"whoasked/parse"
)

// conversation is a connection as both ends sent it, and as it was captured.
type conversation struct {
	rng     *rand.Rand
	streams [2][]byte // by parse.Side
	isn     [2]uint32
	packets []packet
}

type packet struct {
	Segment
	from parse.Side
	off  int // of the payload in its stream
}

// converse makes up a connection: up to 40 turns of up to 6 kB, with
// acknowledgments in between, from SYN to FIN.
func converse(rng *rand.Rand) *conversation {
	c := &conversation{rng: rng}
	for side := range c.isn {
		c.isn[side] = rng.Uint32()
		if rng.IntN(2) == 0 {
			c.isn[side] = -uint32(rng.IntN(8000)) // wraps soon
		}
	}
	c.send(parse.Opener, FlagSYN, nil)
	c.send(parse.Accepter, FlagSYN|FlagACK, nil)
	c.send(parse.Opener, FlagACK, nil)
	for range 1 + rng.IntN(40) {
		from := parse.Side(rng.IntN(2))
		data := make([]byte, 1+rng.IntN(6000))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		for len(data) > 0 {
			n := min(len(data), 1+rng.IntN(1448))
			c.send(from, FlagACK|FlagPSH, data[:n])
			data = data[n:]
			if rng.IntN(3) == 0 {
				c.send(from.Other(), FlagACK, nil)
			}
		}
	}
	c.send(parse.Opener, FlagACK|FlagFIN, nil)
	c.send(parse.Accepter, FlagACK|FlagFIN, nil)
	c.send(parse.Opener, FlagACK, nil)
	return c
}

// send appends a packet as the end would send it now.
func (c *conversation) send(from parse.Side, flags uint8, data []byte) {
	p := packet{from: from, off: len(c.streams[from])}
	p.Tuple = tupleOf(clientAddr, serverAddr)
	if from == parse.Accepter {
		p.Tuple = p.Tuple.Reverse()
	}
	p.Flags = flags
	p.Seq = c.next(from)
	if flags&FlagSYN != 0 {
		p.Seq = c.isn[from]
	}
	if flags&FlagACK != 0 {
		p.Ack = c.next(from.Other())
	}
	p.Payload = data
	c.streams[from] = append(c.streams[from], data...)
	c.packets = append(c.packets, p)
}

// next is the next sequence number of a side, its FIN counted.
func (c *conversation) next(side parse.Side) uint32 {
	n := c.isn[side] + 1 + uint32(len(c.streams[side]))
	for _, p := range c.packets {
		if p.from == side && p.Flags&FlagFIN != 0 {
			n++
		}
	}
	return n
}

// reorder lets every packet be captured up to window places late.
func (c *conversation) reorder(window int) {
	type place struct {
		p   packet
		key float64
	}
	places := make([]place, len(c.packets))
	for i, p := range c.packets {
		places[i] = place{p, float64(i) + c.rng.Float64()*float64(window)}
	}
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.key, b.key) })
	for i := range places {
		c.packets[i] = places[i].p
	}
}

// repeat inserts copies of packets up to 20 places behind them, and of runs of
// bytes cut in another way.
func (c *conversation) repeat() {
	var out []packet
	late := make(map[int][]packet)
	for i, p := range c.packets {
		out = append(out, p)
		out = append(out, late[i]...)
		if c.rng.IntN(3) == 0 {
			q := p
			if n := len(c.streams[p.from]); len(p.Payload) > 0 {
				from := max(0, p.off-c.rng.IntN(2000))
				to := min(n, p.off+len(p.Payload)+c.rng.IntN(2)*c.rng.IntN(2000))
				q.off, q.Seq, q.Payload = from, p.Seq-uint32(p.off-from), c.streams[p.from][from:to]
			}
			late[i+c.rng.IntN(20)] = append(late[i+c.rng.IntN(20)], q)
		}
	}
	c.packets = out
}

// lose takes one of n packets out, those that open the connection excepted.
func (c *conversation) lose(n int) {
	c.packets = slices.DeleteFunc(c.packets, func(p packet) bool { return p.Flags&FlagSYN == 0 && c.rng.IntN(n) == 0 })
}

// captured tells which bytes of a stream are in some packet.
func (c *conversation) captured(side parse.Side) []bool {
	have := make([]bool, len(c.streams[side]))
	for _, p := range c.packets {
		if p.from == side {
			for i := range p.Payload {
				have[p.off+i] = true
			}
		}
	}
	return have
}

// track plays the packets, gap apart, and compares what comes out with what
// went in: at every offset either the byte that was sent, or a loss.
func (c *conversation) track(l Limits, gap time.Duration) (got [2][]bool, ends []parse.End, err error) {
	var off [2]int
	for side := range got {
		got[side] = make([]bool, len(c.streams[side]))
	}
	var chk checker
	fail := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	trk := NewTracker(l, nil, func(ch *parse.Chunk) bool {
		if err := chk.check(*ch); err != nil {
			fail("%w", err)
		}
		off[ch.From] += ch.Lost
		o, want := off[ch.From], c.streams[ch.From]
		if o+len(ch.Data) > len(want) && len(ch.Data) > 0 || !bytes.Equal(ch.Data, want[o:o+len(ch.Data)]) {
			fail("%v: wrong bytes at offset %d", ch.From, o)
			return false
		}
		for i := range ch.Data {
			got[ch.From][o+i] = true
		}
		off[ch.From] += len(ch.Data)
		if ch.Fin && off[ch.From] != len(want) {
			fail("%v: FIN at offset %d of %d", ch.From, off[ch.From], len(want))
		}
		if ch.Conflict > 0 {
			fail("%v: conflict", ch.From)
		}
		if ch.End != parse.Open {
			ends = append(ends, ch.End)
		}
		return true
	})
	at := int64(1e18)
	for i := range c.packets {
		at += int64(gap)
		seg := c.packets[i].Segment
		trk.Segment(at, &seg)
	}
	trk.Flush(parse.CaptureEnd)
	if trk.pool.used != 0 || trk.table.n != 0 {
		fail("left: %d blocks, %d flows", trk.pool.used, trk.table.n)
	}
	return got, ends, err
}

func TestTrackerProperties(t *testing.T) {
	const gap = 10 * time.Microsecond
	tests := []struct {
		name string
		gap  time.Duration
		do   func(*conversation)
		// whole: nothing may be lost, and the end is FIN. Otherwise what was
		// captured must come out, and nothing else be called lost.
		whole bool
	}{
		{"as sent", gap, func(c *conversation) {}, true},
		{"reordered", gap, func(c *conversation) { c.reorder(8) }, true},
		{"reordered, slow", 2 * time.Millisecond, func(c *conversation) { c.reorder(2) }, true},
		{"repeated", gap, func(c *conversation) { c.repeat() }, true},
		{"repeated and reordered", gap, func(c *conversation) { c.repeat(); c.reorder(8) }, true},
		{"lossy", gap, func(c *conversation) { c.lose(10) }, false},
		{"lossy, slow", 5 * time.Millisecond, func(c *conversation) { c.lose(10) }, false},
		{"very lossy", gap, func(c *conversation) { c.lose(2) }, false},
		{"lossy and reordered", gap, func(c *conversation) { c.lose(10); c.reorder(8) }, false},
		{"all at once", gap, func(c *conversation) { c.repeat(); c.lose(5); c.reorder(8) }, false},
		{"one direction", gap, func(c *conversation) {
			from := parse.Side(c.rng.IntN(2))
			c.packets = slices.DeleteFunc(c.packets, func(p packet) bool { return p.from == from })
		}, false},
		{"without SYN", gap, func(c *conversation) { c.packets = c.packets[2:] }, true},
		{"without SYN, reordered", gap, func(c *conversation) { c.packets = c.packets[3:]; c.reorder(4) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(60) {
				c := converse(rand.New(rand.NewPCG(seed, 1)))
				tt.do(c)
				got, ends, err := c.track(Limits{}, tt.gap)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				for side := range got {
					if want := c.captured(parse.Side(side)); !slices.Equal(got[side], want) {
						t.Fatalf("seed %d: %v: %d bytes handed over, %d captured", seed, parse.Side(side), count(got[side]), count(want))
					}
					if n := len(got[side]); tt.whole && count(got[side]) != n {
						t.Fatalf("seed %d: %v: %d of %d bytes", seed, parse.Side(side), count(got[side]), n)
					}
				}
				if tt.whole && !slices.Equal(ends, []parse.End{parse.FIN}) {
					t.Fatalf("seed %d: ended %v", seed, ends)
				}
			}
		})
	}
}

// With room for next to nothing, bytes may be lost but never be wrong.
func TestTrackerPropertiesTight(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		c := converse(rng)
		c.repeat()
		c.lose(5)
		opening := slices.Clone(c.packets[:2]) // else offsets mean nothing
		c.packets = c.packets[2:]
		c.reorder(1 + rng.IntN(60))
		c.packets = append(opening, c.packets...)
		l := Limits{FlowBytes: blockSize * (1 + rng.IntN(4)), TotalBytes: blockSize * (1 + rng.IntN(6))}
		if _, _, err := c.track(l, time.Duration(rng.IntN(5e6))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func count(b []bool) (n int) {
	for _, v := range b {
		if v {
			n++
		}
	}
	return n
}
