package capture

import (
	"encoding/binary"
	"runtime"
	"testing"

	"whoasked/parse"
)

// numbered returns the addresses of the nth of many flows.
func numbered(n int) Tuple {
	t := tupleOf(clientAddr, serverAddr)
	binary.BigEndian.PutUint16(t.Src[14:], uint16(n>>8))
	t.SrcPort = uint16(20000 + n)
	return t
}

// BenchmarkTrackerBulk is one segment of 1448 bytes in order, of a flow that
// differs from the one before.
func BenchmarkTrackerBulk(b *testing.B) {
	for _, bb := range []struct {
		name  string
		flows int
		run   int // segments of a flow in a row
	}{{"1flow", 1, 1}, {"1000flows", 1000, 1}, {"30000flows", 30000, 1}, {"30000flows-runs", 30000, 8}} {
		b.Run(bb.name, func(b *testing.B) {
			var total int
			trk := NewTracker(Limits{}, nil, func(ch *parse.Chunk) bool { total += len(ch.Data); return true })
			segs := make([]Segment, bb.flows)
			payload := make([]byte, 1448)
			for i := range segs {
				t := numbered(i)
				trk.Segment(1, &Segment{Tuple: t, Seq: 99, Flags: FlagSYN})
				trk.Segment(1, &Segment{Tuple: t.Reverse(), Seq: 499, Ack: 100, Flags: FlagSYN | FlagACK})
				segs[i] = Segment{Tuple: t, Seq: 100, Ack: 500, Flags: FlagACK, Payload: payload}
				for range 12 { // past what is remembered of the start
					trk.Segment(1, &segs[i])
					segs[i].Seq += 1448
				}
			}
			b.ReportAllocs()
			b.SetBytes(1448)
			at := int64(2)
			for i := 0; b.Loop(); i++ {
				s := &segs[i/bb.run%len(segs)]
				trk.Segment(at, s)
				s.Seq += 1448
				at += 2000
			}
			if trk.Stats().Gaps > 0 || trk.Stats().Evicted > 0 {
				b.Fatal(trk.Stats())
			}
		})
	}
}

// BenchmarkTrackerShort is a connection of 10 segments, from SYN to FIN.
func BenchmarkTrackerShort(b *testing.B) {
	trk := NewTracker(Limits{}, nil, func(*parse.Chunk) bool { return true })
	payload := make([]byte, 1200)
	n := 0
	play := func(at int64) {
		c := numbered(n % 65536)
		n++
		s := c.Reverse()
		isn := uint32(n) * 7919
		for i, seg := range [...]Segment{
			{Tuple: c, Seq: isn, Flags: FlagSYN},
			{Tuple: s, Seq: 499, Ack: isn + 1, Flags: FlagSYN | FlagACK},
			{Tuple: c, Seq: isn + 1, Ack: 500, Flags: FlagACK},
			{Tuple: c, Seq: isn + 1, Ack: 500, Flags: FlagACK, Payload: payload[:300]},
			{Tuple: s, Seq: 500, Ack: isn + 301, Flags: FlagACK, Payload: payload},
			{Tuple: c, Seq: isn + 301, Ack: 1700, Flags: FlagACK, Payload: payload[:100]},
			{Tuple: s, Seq: 1700, Ack: isn + 401, Flags: FlagACK, Payload: payload},
			{Tuple: c, Seq: isn + 401, Ack: 2900, Flags: FlagACK | FlagFIN},
			{Tuple: s, Seq: 2900, Ack: isn + 402, Flags: FlagACK | FlagFIN},
			{Tuple: c, Seq: isn + 402, Ack: 2901, Flags: FlagACK},
		} {
			trk.Segment(at+int64(i)*1000, &seg)
		}
	}
	for i := range 40000 {
		play(int64(i) * 10000)
	}
	b.ReportAllocs()
	for b.Loop() {
		play(int64(n) * 10000)
	}
	if trk.Stats().Gaps > 0 {
		b.Fatal(trk.Stats())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/segment")
}

// BenchmarkTrackerReordered is a segment of a flow in which every second one
// comes before its turn.
func BenchmarkTrackerReordered(b *testing.B) {
	trk := NewTracker(Limits{}, nil, func(*parse.Chunk) bool { return true })
	t := numbered(0)
	trk.Segment(1, &Segment{Tuple: t, Seq: 99, Flags: FlagSYN})
	trk.Segment(1, &Segment{Tuple: t.Reverse(), Seq: 499, Ack: 100, Flags: FlagSYN | FlagACK})
	seg := Segment{Tuple: t, Ack: 500, Flags: FlagACK, Payload: make([]byte, 1448)}
	next, at := uint32(100), int64(2)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		seg.Seq = next + 1448
		if i%2 == 1 {
			seg.Seq = next
			next += 2 * 1448
		}
		trk.Segment(at, &seg)
		at += 2000
	}
	if trk.Stats().Gaps > 0 {
		b.Fatal(trk.Stats())
	}
}

// What a Tracker with its table full of open connections costs must stay small.
func TestTrackerMemory(t *testing.T) {
	const flows, perFlow = 32768, 384
	before := heap()
	trk := NewTracker(Limits{}, nil, func(*parse.Chunk) bool { return true })
	for i := range flows + 1000 {
		trk.Segment(int64(i), &Segment{Tuple: numbered(i), Seq: 99, Flags: FlagSYN, Payload: []byte("x")})
	}
	used := heap() - before
	if n := trk.Stats().Evicted; n != 1000 {
		t.Errorf("%d connections evicted, want 1000", n)
	}
	if used > flows*perFlow {
		t.Errorf("%d open flows cost %d bytes each, want at most %d", flows, used/flows, perFlow)
	}
	t.Logf("%d bytes a flow, %.1f MiB", used/flows, float64(used)/(1<<20))
	runtime.KeepAlive(trk)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
