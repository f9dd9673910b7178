package capture

import (
	"encoding/binary"
	"fmt"
	"testing"

	"whoasked/parse"
)

// FuzzTracker makes segments of its input, eight bytes each, the byte at a
// sequence number being its low bits: whatever comes out must continue what came
// before it in the same direction, losses counted.
func FuzzTracker(f *testing.F) {
	for _, c := range fuzzSeeds() {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var chk checker
		type place struct {
			conn int
			from parse.Side
		}
		next := make(map[place]byte)
		trk := NewTracker(Limits{Flows: 4, FlowBytes: 4 * blockSize, TotalBytes: 10 * blockSize}, nil, func(ch *parse.Chunk) bool {
			if err := chk.check(*ch); err != nil {
				t.Fatal(err)
			}
			p := place{ch.Conn, ch.From}
			if want, ok := next[p]; ok && len(ch.Data) > 0 && ch.Data[0] != want+byte(ch.Lost) {
				t.Fatalf("%+v: byte %d, want %d + %d lost", p, ch.Data[0], want, ch.Lost)
			}
			for i := 1; i < len(ch.Data); i++ {
				if ch.Data[i] != ch.Data[i-1]+1 {
					t.Fatalf("%+v: bytes out of order", p)
				}
			}
			if n := len(ch.Data); n > 0 {
				next[p] = ch.Data[n-1] + 1
			} else if b, ok := next[p]; ok {
				next[p] = b + byte(ch.Lost)
			}
			if ch.Conflict > 0 {
				t.Fatalf("%+v: conflict", p)
			}
			if ch.End != parse.Open {
				delete(next, place{ch.Conn, parse.Opener})
				delete(next, place{ch.Conn, parse.Accepter})
			}
			return true
		})
		feedFuzz(t, trk, in)
		if len(chk.open) > 0 {
			t.Fatalf("connections without an end: %v", fmt.Sprint(chk.open))
		}
	})
}

// FuzzSkip is FuzzTracker with a consumer that has seen enough of a direction, or
// of the other, every now and then: nothing more comes of it.
func FuzzSkip(f *testing.F) {
	for _, c := range fuzzSeeds() {
		f.Add(c, byte(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, every byte) {
		type place struct {
			conn int
			from parse.Side
		}
		skipped := make(map[place]bool)
		trk := NewTracker(Limits{Flows: 4, FlowBytes: 2 * blockSize, TotalBytes: 3 * blockSize}, nil, nil)
		trk.Withhold(func(Tuple, bool) {})
		n := 0
		trk.Emit(func(ch *parse.Chunk) bool {
			if skipped[place{ch.Conn, ch.From}] && (len(ch.Data) > 0 || ch.Lost > 0) {
				t.Fatalf("%+v was skipped", ch)
			}
			if ch.End != parse.Open {
				delete(skipped, place{ch.Conn, parse.Opener})
				delete(skipped, place{ch.Conn, parse.Accepter})
				return true
			}
			if n++; n%(int(every)+1) == 0 {
				from := ch.From ^ parse.Side(n/2%2)
				trk.Skip(ch.Conn, from)
				skipped[place{ch.Conn, from}] = true
			}
			return true
		})
		feedFuzz(t, trk, in)
	})
}

// feedFuzz takes a tracker through segments of eight bytes each to their end.
func feedFuzz(t *testing.T, trk *Tracker, in []byte) {
	var seg Segment
	at := int64(1e18)
	for ; len(in) >= 8; in = in[8:] {
		at += fuzzSegment(&seg, in)
		trk.Segment(at, &seg)
		checkSound(t, trk)
	}
	trk.Flush(parse.CaptureEnd)
	checkEmpty(t, trk)
}

// fuzzSegment makes a segment of eight bytes and returns the time before it.
func fuzzSegment(seg *Segment, in []byte) (wait int64) {
	*seg = Segment{Tuple: numbered(int(in[0] & 7)), Flags: in[1] & 0x1f}
	seg.Seq = 0xffff8000 + uint32(binary.BigEndian.Uint16(in[2:]))
	seg.Ack = 0xffff8000 + uint32(binary.BigEndian.Uint16(in[4:]))
	if in[0]&8 != 0 {
		seg.Tuple = seg.Tuple.Reverse()
	}
	seg.Via = uint32(in[0] >> 6)
	if in[1]&0x20 != 0 { // far away
		seg.Seq += 1 << 30
	}
	if in[1]&0x40 != 0 {
		seg.Missing = int(in[6])
	}
	first := seg.Seq
	if seg.Flags&FlagSYN != 0 {
		first++
	}
	n := int(in[6])
	if in[1]&0x80 != 0 {
		n *= 40
	}
	if n > 1 || seg.Flags&FlagPSH != 0 { // a byte alone may be a keep-alive probe
		seg.Payload = make([]byte, n)
		for i := range seg.Payload {
			seg.Payload[i] = byte(first + uint32(i))
		}
	}
	wait = int64(in[7]&0x7f) * 2e5
	if in[7]&0x80 != 0 {
		wait *= 1000
	}
	if in[0]&0x10 != 0 {
		wait = -wait
	}
	return wait
}

// fuzzSeeds returns conversations in the fuzz target's terms.
func fuzzSeeds() [][]byte {
	step := func(side, flags byte, seq, ack uint16, n, wait byte) []byte {
		b := []byte{side << 3, flags, 0, 0, 0, 0, n, wait}
		binary.BigEndian.PutUint16(b[2:], seq)
		binary.BigEndian.PutUint16(b[4:], ack)
		return b
	}
	join := func(steps ...[]byte) (all []byte) {
		for _, s := range steps {
			all = append(all, s...)
		}
		return all
	}
	const (
		syn, ack, psh, fin, rst = FlagSYN, FlagACK, FlagACK | FlagPSH, FlagACK | FlagFIN, FlagRST
		many                    = 0x80
	)
	open := join(step(0, syn, 100, 0, 0, 1), step(1, syn|ack, 500, 101, 0, 1), step(0, ack, 101, 501, 0, 1))
	return [][]byte{
		join(open, step(0, psh, 101, 501, 20, 1), step(1, psh, 501, 121, 30, 1), step(0, fin, 121, 531, 0, 1), step(1, fin, 531, 122, 0, 1)),
		join(open, step(0, psh, 121, 501, 20, 1), step(1, ack, 501, 141, 0, 1), step(0, psh, 101, 501, 20, 1), step(1, rst, 501, 0, 0, 1)),
		join(open, step(0, psh, 121, 501, 20, 1), step(1, psh, 501, 141, 9, 100), step(1, ack, 510, 141, 0, 100), step(0, psh, 141, 510, 5, 255)),
		join(step(0, psh, 300, 900, 20, 1), step(0, psh, 250, 900, 50, 1), step(1, psh, 900, 320, 10, 100), step(0, ack, 320, 910, 0, 100)),
		join(open, step(0, psh|many, 1000, 501, 255, 1), step(0, psh|many, 20000, 501, 255, 1), step(1, psh|many, 501, 30000, 255, 1)),
		join(open, step(0, psh|0x40, 101, 501, 20, 1), step(0, psh|0x40, 121, 501, 40, 1), step(0, syn, 4000, 0, 5, 1), step(1, syn|ack, 7000, 4001, 0, 1)),
		join(step(8, syn, 100, 0, 0, 1), step(17, syn|ack, 500, 101, 0, 1), step(8, psh, 101, 501, 20, 1), step(17, psh, 501, 121, 30, 1), step(9, ack, 531, 121, 0, 1)),
		join(step(0, syn, 32760, 0, 0, 1), step(1, syn|ack, 32767, 32761, 0, 1), step(0, psh, 32780, 32768, 20, 1), step(0, psh, 32761, 32768, 19, 1)),
	}
}
