package capture

import "whoasked/parse"

// drain hands over everything that is due, each direction in order and the
// directions in an order in which both ends can have sent it.
func (t *Tracker) drain(f *flow) {
	for f.busy && !f.settling && f.state != closed && !t.stopped {
		d := t.due(f)
		if d < 0 {
			return
		}
		if f.dirs[1-d].lost > 0 { // given up just now: this may answer it
			t.tell(f, 1-d, f.told, said{})
		}
		if f.dirs[d].head == none {
			t.reachEnd(f, d)
			continue
		}
		t.shift(f, d)
	}
}

// shift hands over the first run held of a direction.
func (t *Tracker) shift(f *flow, d int) {
	a := &f.dirs[d]
	i := t.pool.pop(a)
	h := &t.pool.runs[i]
	t.advance(f, d, &piece{at: h.at, seq: h.seq, data: t.pool.data(i), missing: h.missing})
	t.pool.put(i)
}

// due returns the direction whose turn it is, or a negative number.
func (t *Tracker) due(f *flow) int {
	ok0, at0, ack0 := t.ready(f, 0)
	ok1, at1, ack1 := t.ready(f, 1)
	switch {
	case !ok0 && !ok1:
		return -1
	case !ok1:
		return 0
	case !ok0:
		return 1
	}
	// Both can go on: what is acknowledged goes first, then what came first.
	needs0, needs1 := after(ack0, f.dirs[1].next), after(ack1, f.dirs[0].next)
	if needs0 != needs1 {
		if needs0 {
			return 1
		}
		return 0
	}
	if at1 < at0 {
		return 1
	}
	return 0
}

// ready tells whether direction d has something to hand over that nothing
// holds up, when it was captured, and what it acknowledges.
func (t *Tracker) ready(f *flow, d int) (ok bool, at int64, ack uint32) {
	a, b := &f.dirs[d], &f.dirs[1-d]
	switch {
	case a.head != none:
		h := &t.pool.runs[a.head]
		return h.seq == a.next && !b.blocked(h.ack), h.at, h.ack
	case a.is(closing):
		return a.closeSeq == a.next && !b.blocked(a.closeAck), a.closeAt, a.closeAck
	}
	return false, 0, 0
}

// reachEnd takes the FIN or RST that is due in direction d.
func (t *Tracker) reachEnd(f *flow, d int) {
	a := &f.dirs[d]
	a.clear(closing)
	if a.is(byReset) {
		t.end(f, d, a.closeAt, said{end: parse.RST})
		return
	}
	a.next++
	a.set(finished | delivered)
	if f.dirs[1-d].is(finished) {
		t.end(f, d, a.closeAt, said{fin: true, end: parse.FIN})
		return
	}
	t.tell(f, d, a.closeAt, said{fin: true})
}

// finish ends a connection from outside of it, unless what is held shows that
// it was over.
func (t *Tracker) finish(f *flow, at int64, end parse.End) {
	t.release(f)
	if f.state == closed {
		return
	}
	switch {
	case f.conn != none && end == parse.Evicted:
		t.stats.Evicted++
	case f.conn != none && end == parse.Reused:
		t.stats.Reused++
	case end == parse.Evicted:
		t.stats.HalfOpen++
	}
	t.end(f, int(f.opener), at, said{end: end})
}

// end tells the last chunk of a connection, sent by end d, and closes the flow.
func (t *Tracker) end(f *flow, d int, at int64, last said) {
	t.spill(f)
	if f.conn != none {
		t.endWalks(f)
		t.leaps(f, at)
		a, b := &f.dirs[d], &f.dirs[1-d]
		t.loseTail(a)
		t.loseTail(b)
		if !a.is(captured) || !b.is(captured) {
			t.stats.OneSided++
		}
		if b.lost > 0 || b.conflict > 0 {
			t.tell(f, 1-d, at, said{})
		}
		t.tell(f, d, at, last)
		t.numbers = append(t.numbers, int(f.conn))
		f.conn = none
	}
	t.wait(f, false)
	t.forgetWalks(f)
	t.firsts.putBoth(f)
	f.settling = false
	t.move(f, closed)
}

// spill hands over what is held, in the order of capture, whatever is missing.
func (t *Tracker) spill(f *flow) {
	for {
		a, b := &f.dirs[0], &f.dirs[1]
		d := 0
		switch {
		case a.head == none && b.head == none:
			return
		case a.head == none || b.head != none && t.pool.runs[b.head].at < t.pool.runs[a.head].at:
			d, a = 1, b
		}
		t.lose(a, a.headSeq-a.next)
		a.next = a.headSeq
		t.shift(f, d)
	}
}

// loseTail accounts for bytes behind everything captured that the peer has
// acknowledged. A single one may be a FIN that was not captured.
func (t *Tracker) loseTail(s *stream) {
	if n := s.peerAck - s.next; s.is(known) && !s.is(skipped) && !s.is(finished) && n > 1 && n <= maxAhead {
		t.lose(s, n)
	}
}
