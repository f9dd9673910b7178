package capture

import "whoasked/parse"

// Of a stream of TLS records of which nothing but record types matters any more, a
// source may be able to keep the bulk from coming: it walks the records by itself
// and lets pass what is none of application data, with all behind it.

// Walker is what such a source does with the segments of a tuple, that is, with one
// direction of a connection. Segments with SYN, FIN or RST always pass.
type Walker interface {
	// Seek has it look for record headers in what comes from now on, and walk on from
	// there. With quiet it keeps segments without payload; the highest acknowledgment
	// so far is ack.
	Seek(t *Tuple, quiet bool, ack uint32) error
	// Permit has it keep application data as soon as it is, or while it still is, in a
	// run of which it is known that what it took for a record header was one.
	Permit(t *Tuple, run uint32) error
	// Quiet has it keep segments without payload, and nothing else.
	Quiet(t *Tuple, ack uint32) error
	// Stand tells where it is; false if it knows nothing of the tuple.
	Stand(t *Tuple) (WalkStand, bool)
	// Forget has it let pass all.
	Forget(t *Tuple)
}

// WalkMode is what a Walker does with segments.
type WalkMode uint8

const (
	WalkRests   WalkMode = iota // it passes what has payload
	WalkSeeks                   // it passes, and looks for something like a record header
	WalkFollows                 // it passes, and walks from there on
	WalkKeeps                   // it keeps what ends at or before the next header
	WalkCuts                    // likewise; a segment that ends within the next header has passed
	WalkLapsed                  // it passes all since it met what is no application data, or since FIN or RST
	WalkEnded                   // it passes all since another connection began
)

// WalkStand is where a Walker is. Whatever it has kept ends at or before Next, and it
// found nothing but application data in the records between where it began to keep
// and there.
type WalkStand struct {
	Mode WalkMode
	Run  uint32 // changes whenever it begins to follow
	Next uint32 // sequence number of the next record header
	Ack  uint32 // highest acknowledgment in what it has kept
}

// walk is what is told to a Walker of one direction.
type walk struct {
	told    bool // it knows of the tuple
	quiet   bool // of that, only that segments without payload are to be kept
	aimed   bool // target is where it took a record for to begin, in run
	target  uint32
	run     uint32
	polled  uint32 // the header at which it was asked last
	polls   int
	mark    uint32 // the header at which it was last caught up with
	resting bool   // nothing is tried before from
	from    uint32
	lapses  uint8
}

// Bounds of trying, in bytes of the stream and in records.
const (
	walkAfter   = 64 << 10 // behind a lapse, twice as much for each one before
	walkRetry   = 1 << 20
	maxLapses   = 5
	maxPolls    = 64
	unknownLoss = 1 << 16 // stands for a loss of unknown size: more than any record
)

// Walk has the bulk of streams that are followed kept by w; nil for by nobody. What was
// kept in front of a segment that comes is told to told, while that is taken; nil for
// nobody.
func (t *Tracker) Walk(w Walker, told func(LeftOut)) { t.walker, t.walkTold = w, told }

// Follow tells, while a chunk with data of that side is handed over, that of what
// more the side sends only records matter that are none of application data, and that
// the next record header stands rest bytes behind the chunk. It is to be called with
// each chunk of which that holds. What a source then keeps to itself is told in
// [parse.Chunk.Walked].
func (t *Tracker) Follow(conn int, from parse.Side, rest int) {
	f := t.flowOf(conn)
	if t.walker == nil || f == nil {
		return
	}
	d := int(from) ^ int(f.opener)
	a := &f.dirs[d]
	if a.is(skipped|walked|closing|finished) || a.head != none || a.lost > 0 || f.settling || f.via(d) != 0 {
		return
	}
	w := t.walkOf(f, d)
	p := a.next + uint32(rest)
	switch {
	case w.resting && !after(a.next, w.from):
	case !w.told || w.quiet:
		t.seek(f, d, w, p)
	case w.aimed:
		w.aimed = !after(p, w.target)
		t.permit(f, d, w, p)
	case p != w.polled:
		t.poll(f, d, w, p)
	}
}

// flowOf returns the flow of an open connection, nil for none.
func (t *Tracker) flowOf(conn int) *flow {
	if conn >= len(t.ids) || t.ids[conn] == none {
		return nil // of datagrams, or never there
	}
	if f := t.at(t.ids[conn]); int(f.conn) == conn {
		return f
	}
	return nil // over already
}

// walkOf returns what there is of a direction.
func (t *Tracker) walkOf(f *flow, d int) *walk {
	at := f.id<<1 | int32(d)
	w := t.walks[at]
	if w == nil {
		if t.walks == nil {
			t.walks = make(map[int32]*walk)
		}
		w = &walk{}
		t.walks[at] = w
		f.dirs[d].set(followed)
	}
	return w
}

// seek begins, at the header p.
func (t *Tracker) seek(f *flow, d int, w *walk, p uint32) {
	tuple := f.tuple(d)
	ack := f.dirs[1-d].peerAck
	if s, ok := t.walker.Stand(&tuple); w.quiet && ok && after(s.Ack, ack) {
		ack = s.Ack
	}
	w.resting, w.quiet, w.aimed, w.polls, w.polled = false, false, false, 0, p
	if w.told = t.walker.Seek(&tuple, f.dirs[1-d].is(walked), ack) == nil; !w.told {
		w.rest(&f.dirs[d], walkRetry)
	}
}

func (w *walk) rest(a *stream, n uint32) { w.resting, w.from = true, a.next+n }

// poll asks, at each record header, what was taken for one.
func (t *Tracker) poll(f *flow, d int, w *walk, p uint32) {
	tuple := f.tuple(d)
	w.polled = p
	if w.polls++; w.polls > maxPolls {
		t.walker.Forget(&tuple)
		w.told = false
		w.rest(&f.dirs[d], walkRetry)
		return
	}
	if s, ok := t.walker.Stand(&tuple); ok && s.Mode == WalkFollows {
		w.aimed, w.target, w.run = true, s.Next, s.Run
		t.permit(f, d, w, p)
	}
}

// permit allows what is taken for a header to be used if it is that, p being the next
// one.
func (t *Tracker) permit(f *flow, d int, w *walk, p uint32) {
	if !w.aimed || p != w.target {
		return
	}
	w.aimed = false
	tuple := f.tuple(d)
	if t.walker.Permit(&tuple, w.run) != nil {
		return
	}
	w.mark = p
	f.dirs[d].set(walked)
	// The other direction's acknowledgments of what is kept tell nothing.
	back := f.tuple(1 - d)
	if b := &f.dirs[1-d]; !b.is(skipped) && back.Via == 0 {
		if o := t.walkOf(f, 1-d); !o.told && t.walker.Quiet(&back, f.dirs[d].peerAck) == nil {
			o.told, o.quiet = true, true
		}
	}
}

// catchUp finds out what was kept of a direction when a segment came that ends at end,
// with a FIN or RST if last is set. It reports whether the segment brings anything new.
func (t *Tracker) catchUp(f *flow, d int, at int64, seq, end uint32, last bool) bool {
	a := &f.dirs[d]
	w := t.walkOf(f, d)
	tuple := f.tuple(d)
	s, ok := t.walker.Stand(&tuple)
	switch {
	case !ok:
		t.unwalk(f, d, w)
		t.lose(a, unknownLoss)
		a.jump(seq)
		return true
	case s.Mode < WalkFollows, s.Mode == WalkFollows && (s.Run != w.run || last || after(seq, a.next)):
		// It keeps nothing yet, and cannot be waited for while something is missing.
		t.unwalk(f, d, w)
		return true
	case s.Mode == WalkFollows:
		return true
	case int32(end-s.Next) <= 0:
		if last {
			t.unwalk(f, d, w)
			a.jump(end)
		}
		return false
	}
	lapsed := last || s.Mode >= WalkLapsed
	if s.Next != w.mark {
		n := s.Next - a.next
		if s.Next-w.mark > walkRetry {
			w.lapses = 0
		}
		w.mark = s.Next
		for a.head != none {
			t.pool.put(t.pool.pop(a))
		}
		if t.walkTold != nil {
			t.walkTold(LeftOut{Src: tuple.SrcAddr(), From: a.next, To: s.Next})
		}
		a.jump(s.Next)
		t.tell(f, d, at, said{walked: int(n)})
	}
	if lapsed {
		t.unwalk(f, d, w)
	}
	return lapsed || !after(seq, a.next)
}

// jump goes on at another place, whatever lies between.
func (s *stream) jump(to uint32) {
	s.next, s.peerAck, s.forgiven = to, to, to
	s.claims = 0
	s.clear(waiting | acked)
}

// unwalk has all of a direction come again.
func (t *Tracker) unwalk(f *flow, d int, w *walk) {
	a := &f.dirs[d]
	a.clear(walked)
	t.recall(f, d, w)
	w.rest(a, walkAfter<<w.lapses)
	w.lapses = min(w.lapses+1, maxLapses)
	if !f.dirs[1-d].is(followed) {
		return
	}
	if o := t.walkOf(f, 1-d); o.quiet {
		t.recall(f, 1-d, o)
	}
}

func (t *Tracker) recall(f *flow, d int, w *walk) {
	if w.told {
		tuple := f.tuple(d)
		t.walker.Forget(&tuple)
	}
	w.told, w.quiet, w.aimed = false, false, false
}

// endWalks accounts for what was kept of a connection that ends, before what else of it
// is missing is counted.
func (t *Tracker) endWalks(f *flow) {
	for d := range f.dirs {
		a := &f.dirs[d]
		if !a.is(walked) {
			continue
		}
		w := t.walkOf(f, d)
		tuple := f.tuple(d)
		s, ok := t.walker.Stand(&tuple)
		switch {
		case !ok, s.Mode == WalkLapsed && s.Next != w.mark:
			// What passed did not come to us, or nobody knows.
			t.lose(a, unknownLoss)
			a.jump(a.next)
		case s.Mode >= WalkKeeps && s.Next != w.mark:
			a.jump(s.Next)
		}
	}
	for d := range f.dirs {
		a, b := &f.dirs[d], &f.dirs[1-d]
		a.clear(walked)
		if !b.is(followed) || a.is(skipped) {
			continue
		}
		tuple := f.tuple(1 - d)
		if s, ok := t.walker.Stand(&tuple); ok && after(s.Ack, a.peerAck) && s.Ack-a.next <= maxAhead {
			a.peerAck = s.Ack
		}
	}
}

// forgetWalks has nothing of a flow kept any more.
func (t *Tracker) forgetWalks(f *flow) {
	for d := range f.dirs {
		t.forgetWalk(f, d)
	}
}

func (t *Tracker) forgetWalk(f *flow, d int) {
	a := &f.dirs[d]
	if !a.is(followed) {
		return
	}
	t.recall(f, d, t.walkOf(f, d))
	a.clear(followed | walked)
	delete(t.walks, f.id<<1|int32(d))
}
