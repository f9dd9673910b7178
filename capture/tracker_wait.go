package capture

// review gives up what has been waited for long enough, and decides whether the
// flow still has to wait for something.
func (t *Tracker) review(f *flow, at int64) {
	if f.state == closed {
		return
	}
	if f.settling && patient(int64(f.segs), at-f.told) {
		t.settle(f)
	}
	for again := true; again && f.state != closed && !t.stopped; {
		again = false
		for d := range f.dirs {
			if !f.settling && t.overdue(f, &f.dirs[d], at) {
				t.giveUp(f, d)
				again = true
				break
			}
		}
	}
	if f.state == closed {
		return
	}
	busy := f.settling
	for d := range f.dirs {
		a := &f.dirs[d]
		busy = busy || a.head != none || a.is(closing) || a.missing()
		if a.lost > 0 {
			t.tell(f, d, at, said{})
		}
	}
	t.wait(f, busy)
}

// patient tells whether segments and time passed are allowance enough for a
// capture that reorders.
func patient(segments, age int64) bool {
	return segments >= ackSegments && age >= ackTime || segments >= ackSegmentsMax || age >= ackTimeMax
}

// overdue tells whether the bytes missing at next are to be given up, and keeps
// the time they are waited for.
func (t *Tracker) overdue(f *flow, a *stream, at int64) bool {
	if !a.missing() {
		a.clear(waiting)
		return false
	}
	ack := a.is(byReset) // whoever reset will send nothing again
	switch {
	case a.head != none:
		ack = ack || !after(a.headSeq, a.peerAck)
	case a.is(closing):
		ack = ack || !after(a.closeSeq, a.peerAck)
	default:
		ack = true
	}
	if !a.is(waiting) || ack != a.is(acked) || at < a.waitAt {
		a.waitAt, a.waitSeg = at, f.segs
		a.set(waiting)
		a.clear(acked)
		if ack {
			a.set(acked)
		}
		return false
	}
	if ack {
		return patient(int64(f.segs-a.waitSeg), at-a.waitAt)
	}
	return at-a.waitAt >= int64(t.limits.GapTime)
}

// giveUp lets go of the first bytes that direction d misses.
func (t *Tracker) giveUp(f *flow, d int) {
	a := &f.dirs[d]
	if t.leap(f, d, f.told) {
		t.drain(f)
		return
	}
	to := a.next
	switch {
	case a.head != none:
		to = a.headSeq
	case a.is(closing):
		if to = a.closeSeq; a.is(byReset) {
			// The number of a RST may be a guess; only the peer tells what was sent.
			if to = a.next; after(a.peerAck, to) && !after(a.peerAck, a.closeSeq) {
				to = a.peerAck
			}
			a.closeSeq = to
		}
	default:
		// Nothing but acknowledgments tells of the bytes. One alone may be forged,
		// and one byte may be a FIN.
		if a.claims > 1 && a.peerAck-a.next > 1 {
			to = a.peerAck
		}
		a.forgiven = a.peerAck
		a.set(blind)
	}
	to = t.untilLeap(f, d, to)
	t.lose(a, to-a.next)
	a.next = to
	a.clear(waiting)
	t.drain(f)
}

// settle fixes where directions begin whose SYN was not captured.
func (t *Tracker) settle(f *flow) {
	f.settling = false
	for d := range f.dirs {
		if a := &f.dirs[d]; a.head != none && !a.is(sawSYN|delivered) {
			a.start, a.next = a.headSeq, a.headSeq
		}
	}
	t.drain(f)
}

// release hands over all that a connection keeps back, giving up what is
// missing.
func (t *Tracker) release(f *flow) {
	if f.settling {
		t.settle(f)
	}
	t.drain(f)
	for f.state != closed && !t.stopped {
		switch {
		case f.dirs[0].missing():
			t.giveUp(f, 0)
		case f.dirs[1].missing():
			t.giveUp(f, 1)
		default:
			return
		}
	}
}

// makeRoom frees buffers for direction d of a flow.
func (t *Tracker) makeRoom(f *flow, d int) {
	t.stats.LimitGaps++
	a := &f.dirs[d]
	if a.blocks < t.blocks && t.pool.used >= t.pool.max {
		// The flow that has waited longest, which may be this one.
		v := t.at(t.waiting.head)
		for v.dirs[0].head == none && v.dirs[1].head == none {
			v = t.at(v.waitNext) // what it waits for takes no room
		}
		t.release(v)
		t.review(v, t.now)
		return
	}
	switch {
	case f.settling:
		t.settle(f)
	case a.missing():
		t.giveUp(f, d)
	default:
		t.release(f)
	}
}
