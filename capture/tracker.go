package capture

import (
	"net/netip"
	"time"

	"whoasked/parse"
)

// Tracker puts TCP segments in order and hands them over as chunks; datagrams
// of protocols that carry TLS it hands over as they come.
//
// Bytes that arrive in order are passed through without a copy. Others are kept
// back, within [Limits], until the gap before them is filled or given up, which
// is when the receiver has acknowledged it and a little time has passed for
// captures that reorder; when it has not, but [Limits.GapTime] has passed; when
// the limits are reached; or when the connection ends. Chunk.Lost then tells
// the gap. A segment that acknowledges bytes which the capture has yet to show
// is kept back in the same way, so that chunks come in an order in which both
// ends can have sent them.
//
// Of overlapping copies the first wins. Copies are compared with what is held,
// and with the first 16 KiB of a direction as long as they are among the last
// 256 KiB handed over of that kind, all connections together.
//
// A connection without a SYN starts at the lowest sequence number among its
// first few segments; its opener is the end with the higher port, or, where
// both are ephemeral or both well-known, the sender of the first segment.
//
// A connection that carries no payload produces no chunk. The time of a chunk
// is when its bytes were captured, but never before the chunk preceding it on
// the connection, unless the clock of the capture was set back.
//
// A Tracker is not safe for concurrent use.
type Tracker struct {
	table
	limits  Limits
	viaName func(uint32) string
	emit    func(*parse.Chunk) bool
	chunk   parse.Chunk // the one that emit was called with last
	// withhold is told by which tuple bulk comes that nobody needs, and when it
	// is needed again; nil for nobody.
	withhold func(Tuple, bool)
	// walker keeps bulk of which only the record headers matter; nil for nobody.
	walker   Walker
	walkTold func(LeftOut)
	walks    map[int32]*walk // by flow.id<<1 and direction, of those with the flag followed
	// leftOut is what files of evidence tell to have left out, likewise.
	leftOut map[int32][]LeftOut
	stopped bool

	// tunnelled finds a flow inside of tunnels by its key without them.
	tunnelled map[key]int32

	lists   [states]list
	waiting list // linked by waitPrev and waitNext
	pool    pool
	blocks  int32 // limit of one stream
	recent  recent

	sessions sessions
	firsts   firsts

	flows   []parse.Flow // by connection number
	ids     []int32      // of flow, likewise
	numbers []int        // not in use

	clocks
	now   int64 // time of the latest segment
	swept int64 // when waiting and idle flows were last looked at
	// tick advances with every segment, and by lazy in a second: a flow is put at
	// the tail of its list only when more than lazy have passed since the last time,
	// so that most segments touch no other flow.
	tick, lazy uint32
	stats      TrackerStats
}

// NewTracker returns a Tracker that calls emit with every chunk, which is valid until
// emit returns; emit returns false to stop. viaName tells the name of a Tuple's Via other than 0.
func NewTracker(l Limits, viaName func(uint32) string, emit func(*parse.Chunk) bool) *Tracker {
	l = l.withDefaults()
	t := &Tracker{
		table:     newTable(),
		limits:    l,
		viaName:   viaName,
		emit:      emit,
		tunnelled: make(map[key]int32),
		waiting:   list{head: none, tail: none},
		sessions:  newSessions(),
		firsts:    firsts{free: none},
		pool:      newPool(l.TotalBytes),
		blocks:    int32(max(1, l.FlowBytes/blockSize)),
		lazy:      uint32(l.Flows / 8),
	}
	for i := range t.lists {
		t.lists[i] = list{head: none, tail: none}
	}
	return t
}

// Segment takes the next segment, captured at the given nanoseconds since the
// Unix epoch. The clock may jump. It returns false once the consumer stopped.
func (t *Tracker) Segment(at int64, seg *Segment) bool {
	t.stats.Segments++
	t.tick++
	if !t.Advance(at) {
		return false
	}
	var k key
	d := k.set(&seg.Tuple)
	f := t.find(&k)
	if f == nil {
		f = t.otherWay(&k, d, seg)
	}
	if f == nil {
		if seg.Flags&FlagRST != 0 {
			return true
		}
		f = t.create(&k, d, seg)
	}
	if f.ways != 0 && !f.dirs[d].is(captured) {
		t.from(f, d, k.via)
	}
	if (f.dirs[0].flags|f.dirs[1].flags)&leaping != 0 && t.leaps(f, at) {
		t.drain(f)
	}
	f.segs++
	if t.tick-f.moved > t.lazy {
		l := &t.lists[f.state]
		t.unlink(l, f)
		t.push(l, f)
		f.moved = t.tick
	}
	if a := &f.dirs[d]; a.first != none && len(seg.Payload) > 0 {
		t.firstData(a, seg)
	}
	switch a, b := &f.dirs[d], &f.dirs[1-d]; {
	case !f.busy && seg.Seq == a.next && seg.Flags&(FlagSYN|FlagFIN|FlagRST|FlagACK) == FlagACK && f.state != closed &&
		a.flags&(known|captured|blind|finished|skipped|walked) == known|captured && b.is(known) && !after(seg.Ack, b.next) && seg.Missing == 0 && len(seg.Payload) > 0:
		t.hand(f, d, at, seg.Seq, seg.Payload)
	case seg.Flags&FlagRST != 0:
		t.reset(f, d, at, seg)
	case seg.Flags&FlagSYN != 0:
		t.syn(f, d, at, seg)
	default:
		t.segment(f, d, at, seg)
	}
	f.seen = at
	return !t.stopped
}

// Advance tells that the clock of the capture has reached at without a segment,
// as on a quiet wire. It returns false once the consumer stopped.
func (t *Tracker) Advance(at int64) bool {
	t.now = at
	if uint64(at-t.swept) >= uint64(sweepEvery) { // or the clock was set back
		past := min(uint64(at-t.swept), uint64(time.Second))
		t.tick += uint32(past*uint64(t.lazy)/uint64(time.Second)) + 1
		t.swept = at
		t.sweep(at)
	}
	return !t.stopped
}

// sweep resolves what has waited long enough and ends what is idle.
func (t *Tracker) sweep(at int64) {
	for id := t.waiting.head; id != none; {
		f := t.at(id)
		id = f.waitNext
		t.review(f, at)
	}
	for s := range t.lists {
		idle := int64(t.limits.Idle)
		if state(s) == closed {
			idle = int64(t.limits.Linger)
		}
		for t.lists[s].head != none {
			f := t.at(t.lists[s].head)
			if at-f.seen < idle {
				break
			}
			t.finish(f, f.seen, parse.Idle)
			t.drop(f)
		}
	}
	t.sweepSessions(at)
}

// Flush ends all connections, in the order of their latest activity, and
// forgets them. It returns false once the consumer stopped.
func (t *Tracker) Flush(end parse.End) bool {
	for s := range t.lists {
		for t.lists[s].head != none {
			f := t.at(t.lists[s].head)
			t.finish(f, f.seen, end)
			t.drop(f)
		}
	}
	t.flushSessions(end)
	return !t.stopped
}

// create makes room for a flow and starts it with its first segment.
func (t *Tracker) create(k *key, d int, seg *Segment) *flow {
	if t.table.n >= t.limits.Flows {
		t.evict()
	}
	f := t.table.add(k)
	f.moved = t.tick
	t.push(&t.lists[young], f)
	t.noteTunnelled(f)
	t.begin(f, d, t.now, seg)
	return f
}

// evict forgets the least recently active flow, but rather one that is closed,
// and rather one without payload if those are many: a port scan must not cost
// connections.
func (t *Tracker) evict() {
	s := open
	switch {
	case t.lists[closed].n > 0:
		s = closed
	case t.lists[open].n == 0 || t.lists[young].n > t.limits.Flows/4:
		s = young
	}
	f := t.at(t.lists[s].head)
	t.finish(f, f.seen, parse.Evicted)
	t.drop(f)
}

// drop forgets a flow for good.
func (t *Tracker) drop(f *flow) {
	t.needAgain(f)
	t.forgetWalks(f)
	t.forgetLeaps(f)
	t.firsts.putBoth(f)
	t.unlink(&t.lists[f.state], f)
	t.forgetTunnelled(f)
	t.table.remove(f)
}

// move puts a flow in another state.
func (t *Tracker) move(f *flow, s state) {
	t.unlink(&t.lists[f.state], f)
	f.state = s
	t.push(&t.lists[s], f)
	f.moved = t.tick
}

// wait puts a flow in or takes it from the list of those that are looked at
// from time to time, the longest waiting first.
func (t *Tracker) wait(f *flow, on bool) {
	if on == f.busy {
		return
	}
	f.busy = on
	l := &t.waiting
	if on {
		f.waitPrev, f.waitNext = l.tail, none
		if l.tail == none {
			l.head = f.id
		} else {
			t.at(l.tail).waitNext = f.id
		}
		l.tail = f.id
		return
	}
	if f.waitPrev == none {
		l.head = f.waitNext
	} else {
		t.at(f.waitPrev).waitNext = f.waitNext
	}
	if f.waitNext == none {
		l.tail = f.waitPrev
	} else {
		t.at(f.waitNext).waitPrev = f.waitPrev
	}
}

// newNumber returns a connection number that is not in use.
func (t *Tracker) newNumber() int {
	if n := len(t.numbers); n > 0 {
		number := t.numbers[n-1]
		t.numbers = t.numbers[:n-1]
		t.ids[number] = none
		return number
	}
	t.flows = append(t.flows, parse.Flow{})
	t.ids = append(t.ids, none)
	return len(t.flows) - 1
}

// number makes a connection known to the consumer.
func (t *Tracker) number(f *flow) {
	f.conn = int32(t.newNumber())
	t.ids[f.conn] = f.id
	pf := &t.flows[f.conn]
	*pf = parse.Flow{Via: t.viaOf(f)}
	tuple := f.key.tuple(int(f.opener))
	pf.Addrs = [2]netip.AddrPort{tuple.SrcAddr(), tuple.DstAddr()}
	t.move(f, open)
	t.stats.Connections++
	if f.midstream {
		t.stats.Midstream++
	}
	for d := range f.dirs {
		if f.dirs[d].is(finished) { // closed before the other side sent anything
			t.tell(f, d, f.dirs[d].closeAt, said{fin: true})
		}
	}
}

// said is what a chunk tells beside what is known of its connection.
type said struct {
	data   []byte
	walked int
	fin    bool
	end    parse.End
}

// tell hands a chunk over, completed with what is known of the connection. A
// connection without a number has nothing to tell.
func (t *Tracker) tell(f *flow, d int, at int64, what said) {
	if f.conn == none || t.stopped {
		return
	}
	// Bytes kept back come late. Much later is a clock that was set back.
	if at < f.told && f.told-at <= int64(t.limits.GapTime)+int64(time.Second) {
		at = f.told
	}
	f.told = at
	s, ch := &f.dirs[d], &t.chunk // of which every field is set, as it was another's
	ch.Conn = int(f.conn)
	ch.Flow = t.flows[f.conn]
	ch.Data, ch.Walked, ch.Fin, ch.End = what.data, what.walked, what.fin, what.end
	ch.Opening, ch.Skipped = nil, 0
	ch.From = parse.Side(d) ^ parse.Side(f.opener)
	ch.Midstream = f.midstream
	ch.Time = time.Unix(0, at-t.skew(s.epoch)).UTC()
	if s.first != none && len(ch.Data) > 0 {
		ch.Opening = t.introduce(s)
	}
	ch.Lost, ch.Conflict = int(s.lost), int(s.conflict)
	s.lost, s.conflict = 0, 0
	t.stopped = !t.emit(ch)
}

// Emit changes whom chunks are handed to.
func (t *Tracker) Emit(emit func(*parse.Chunk) bool) { t.emit = emit }

// Waiting reports whether something is kept back that only time may free.
func (t *Tracker) Waiting() bool { return t.waiting.head != none }
