package capture

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"whoasked/parse"
)

// recorder notes chunks as "conn data end".
type recorder []string

func (r *recorder) emit(ch *parse.Chunk) bool {
	*r = append(*r, fmt.Sprintf("%d %s %v", ch.Conn, ch.Data, ch.End))
	return true
}

func opening(n int) *Segment {
	return &Segment{Tuple: numbered(n), Seq: 99, Flags: FlagSYN, Payload: fmt.Appendf(nil, "%d", n)}
}

func TestTrackerEvictsLeastRecent(t *testing.T) {
	var got recorder
	trk := NewTracker(Limits{Flows: 3}, nil, got.emit)
	for i, n := range []int{0, 1, 2, 0, 3} { // the second 0 only shows that it lives
		trk.Segment(int64(i), opening(n))
	}
	trk.Flush(parse.CaptureEnd)
	want := []string{"0 0 open", "1 1 open", "2 2 open", "1  evicted", "1 3 open", "2  capture-end", "0  capture-end", "1  capture-end"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if n := trk.Stats().Evicted; n != 1 {
		t.Errorf("%d evicted, want 1", n)
	}
}

func TestTrackerEvictsClosedFirst(t *testing.T) {
	var got recorder
	trk := NewTracker(Limits{Flows: 2}, nil, got.emit)
	trk.Segment(1, opening(0))
	trk.Segment(2, opening(1))
	trk.Segment(3, &Segment{Tuple: numbered(1), Seq: 101, Flags: FlagRST})
	trk.Segment(4, opening(2))
	want := []string{"0 0 open", "1 1 open", "1  rst", "1 2 open"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A port scan costs neither chunks nor the connections that carry data.
func TestTrackerScan(t *testing.T) {
	var got recorder
	trk := NewTracker(Limits{Flows: 100}, nil, got.emit)
	for i := range 50 {
		trk.Segment(1, opening(i))
	}
	got = nil
	for i := range 10000 {
		trk.Segment(2, &Segment{Tuple: numbered(1000 + i), Seq: 99, Flags: FlagSYN})
		trk.Segment(2, &Segment{Tuple: numbered(1000 + i).Reverse(), Ack: 100, Flags: FlagRST | FlagACK})
		trk.Segment(2, &Segment{Tuple: numbered(20000 + i), Seq: 99, Flags: FlagSYN})
	}
	if len(got) > 0 {
		t.Errorf("%d chunks, the first %q", len(got), got[0])
	}
	if n := trk.Stats().Evicted; n != 0 {
		t.Errorf("%d connections evicted", n)
	}
	if n := trk.Stats().HalfOpen; n < 10000-100 || n > 10000 {
		t.Errorf("%d of 10000 half-open connections are said to be given up, at most 100 can be there", n)
	}
	checkSound(t, trk)
}

// Buffers are bounded for one direction and in all; who waited longest pays.
func TestTrackerBuffers(t *testing.T) {
	const flows, perFlow, total = 20, 8, 40
	var got recorder
	trk := NewTracker(Limits{FlowBytes: perFlow * blockSize, TotalBytes: total * blockSize}, nil, got.emit)
	at := int64(0)
	for i := range flows {
		trk.Segment(at, opening(i))
	}
	got = nil
	for round := range 6 {
		for i := range flows {
			at++
			trk.Segment(at, &Segment{Tuple: numbered(i), Seq: 1000 + uint32(2*round), Ack: 500, Flags: FlagACK | FlagPSH, Payload: []byte("y")})
			checkSound(t, trk)
		}
	}
	if trk.pool.used != total {
		t.Errorf("%d blocks in use, want all %d", trk.pool.used, total)
	}
	if len(got) == 0 || got[0] != "0 y open" {
		t.Errorf("first to be handed over: %q, want that of connection 0", got[:min(1, len(got))])
	}
	if trk.Stats().LimitGaps == 0 {
		t.Error("full buffers were not counted")
	}
}

// A segment larger than all buffers still comes through whole.
func TestTrackerHugeSegment(t *testing.T) {
	for _, lost := range []uint32{0, 5} {
		n, lostBytes := 0, 0
		trk := NewTracker(Limits{FlowBytes: 4096, TotalBytes: 4096}, nil, func(ch *parse.Chunk) bool {
			n += len(ch.Data)
			lostBytes += ch.Lost
			return true
		})
		trk.Segment(1, &Segment{Tuple: numbered(0), Seq: 99, Flags: FlagSYN})
		trk.Segment(2, &Segment{Tuple: numbered(0), Seq: 100 + lost, Flags: FlagPSH, Payload: make([]byte, 300000)})
		trk.Flush(parse.CaptureEnd)
		if n != 300000 || lostBytes != int(lost) {
			t.Errorf("%d bytes, %d lost, want 300000 and %d", n, lostBytes, lost)
		}
		checkEmpty(t, trk)
	}
}

func TestTrackerIdle(t *testing.T) {
	var ended []time.Time
	trk := NewTracker(Limits{Idle: time.Minute}, nil, func(ch *parse.Chunk) bool {
		if ch.End == parse.Idle {
			ended = append(ended, ch.Time)
		}
		return true
	})
	sec := int64(time.Second)
	trk.Segment(1*sec, opening(0))
	trk.Segment(2*sec, opening(1))
	trk.Segment(40*sec, &Segment{Tuple: numbered(0).Reverse(), Seq: 500, Ack: 101, Flags: FlagACK}) // alive
	trk.Segment(63*sec, opening(2))
	trk.Advance(101 * sec)
	want := []time.Time{time.Unix(2, 0).UTC(), time.Unix(40, 0).UTC()}
	if !slices.Equal(ended, want) {
		t.Errorf("ended %v, want %v", ended, want)
	}
}

// Addresses and ports are remembered for a while after the end, but not for ever.
func TestTrackerLinger(t *testing.T) {
	trk := NewTracker(Limits{Linger: 10 * time.Second}, nil, func(*parse.Chunk) bool { return true })
	sec := int64(time.Second)
	trk.Segment(1*sec, opening(0))
	trk.Segment(1*sec, &Segment{Tuple: numbered(0), Seq: 101, Flags: FlagRST})
	trk.Segment(5*sec, &Segment{Tuple: numbered(0), Seq: 101, Ack: 1, Flags: FlagACK})
	if trk.table.n != 1 {
		t.Errorf("%d flows remembered after 4 s, want 1", trk.table.n)
	}
	trk.Advance(16 * sec)
	if trk.table.n != 0 {
		t.Errorf("%d flows remembered after 15 s, want none", trk.table.n)
	}
}

// The table must find what it holds while it grows, and forget what was removed.
func TestTable(t *testing.T) {
	tab := newTable()
	const n = 5000
	flows := make([]*flow, n)
	for i := range n {
		tuple := numbered(i)
		k, _ := keyOf(&tuple)
		flows[i] = tab.add(&k)
	}
	for i := 0; i < n; i += 3 {
		tab.remove(flows[i])
	}
	for i := range n {
		tuple := numbered(i).Reverse()
		k, end := keyOf(&tuple)
		want := flows[i]
		if i%3 == 0 {
			want = nil
		}
		if got := tab.find(&k); got != want {
			t.Fatalf("flow %d: found %p, want %p", i, got, want)
		}
		if k.port(end) != tuple.SrcPort || k.addr(1-end) != tuple.Dst {
			t.Fatalf("flow %d: key %+v does not give %+v back", i, k, tuple)
		}
	}
}

// checkSound checks the inner order of a Tracker.
func checkSound(t *testing.T, trk *Tracker) {
	t.Helper()
	if trk.table.n > trk.limits.Flows || trk.pool.used > trk.pool.max {
		t.Fatalf("beyond the limits: %d flows, %d blocks", trk.table.n, trk.pool.used)
	}
	blocks, flows := 0, 0
	for s, l := range trk.lists {
		n := 0
		for id := l.head; id != none; id = trk.at(id).next {
			f := trk.at(id)
			n++
			if f.state != state(s) || (f.state == open) != (f.conn != none) {
				t.Fatalf("flow %d with number %d and state %d in list %d", id, f.conn, f.state, s)
			}
			blocks += checkStreams(t, trk, f)
			if back := f.backKey(); trk.find(&f.key) != f || f.ways != 0 && trk.find(&back) != f {
				t.Fatalf("flow %d is not found", id)
			}
		}
		if n != l.n {
			t.Fatalf("list %d holds %d flows, not %d", s, n, l.n)
		}
		flows += n
	}
	if flows != trk.table.n || blocks != trk.pool.used {
		t.Fatalf("%d flows in lists, %d in the table; %d blocks held, %d in use", flows, trk.table.n, blocks, trk.pool.used)
	}
	used := 0
	for _, s := range trk.slots {
		if s.id != none {
			used++
		}
	}
	if used != trk.n+trk.more || 2*used > len(trk.slots) {
		t.Fatalf("%d slots of %d in use for %d flows, of which %d have two", used, len(trk.slots), trk.n, trk.more)
	}
	for k, id := range trk.tunnelled {
		if f := trk.at(id); f.key.ends != k.ends || f.key.ports != k.ports || f.key.via == 0 || k.via != 0 {
			t.Fatalf("flow %d by another key", id)
		}
	}
	for id := trk.waiting.head; id != none; id = trk.at(id).waitNext {
		if !trk.at(id).busy {
			t.Fatalf("flow %d waits for nothing", id)
		}
	}
}

func checkStreams(t *testing.T, trk *Tracker, f *flow) (blocks int) {
	t.Helper()
	for d := range f.dirs {
		a := &f.dirs[d]
		if !f.busy && (a.head != none || f.state != closed && a.missing()) {
			t.Fatalf("flow %d waits, but is not marked so", f.id)
		}
		if a.is(skipped) && a.head != none {
			t.Fatalf("flow %d keeps what nobody needs", f.id)
		}
		if a.lost > 0 && f.conn != none {
			t.Fatalf("flow %d: %d lost bytes not told", f.id, a.lost)
		}
		n, prev := int32(0), int32(none)
		for i := a.head; i != none; i = trk.pool.runs[i].next {
			h := &trk.pool.runs[i]
			if h.prev != prev || int32(h.n)+int32(h.missing) == 0 {
				t.Fatalf("flow %d: run %+v behind %d", f.id, h, prev)
			}
			if prev != none && after(trk.pool.runs[prev].end(), h.seq) || i == a.head && (h.seq != a.headSeq || after(a.next, h.seq)) {
				t.Fatalf("flow %d: run at %d, next %d, headSeq %d", f.id, h.seq, a.next, a.headSeq)
			}
			prev = i
			n++
		}
		if n != a.blocks || n > trk.blocks || prev != a.tail {
			t.Fatalf("flow %d: %d runs, counted %d of at most %d", f.id, n, a.blocks, trk.blocks)
		}
		blocks += int(n)
	}
	return blocks
}
