package capture

// segment takes a segment without RST and SYN.
func (t *Tracker) segment(f *flow, d int, at int64, seg *Segment) {
	a, b := &f.dirs[d], &f.dirs[1-d]
	if f.state == closed {
		return
	}
	a.clear(blind)
	a.set(captured)
	pc := piece{at: at, seq: seg.Seq, ack: b.next, data: seg.Payload, missing: uint32(min(max(seg.Missing, 0), maxBehind))}
	if seg.Flags&FlagACK != 0 {
		b.acknowledge(seg.Ack)
		pc.ack = seg.Ack
	}
	if !a.is(known) {
		a.set(known)
		a.start, a.next, a.peerAck, a.forgiven = seg.Seq, seg.Seq, seg.Seq, seg.Seq
	}
	if f.conn == none && !f.settling && pc.len() > 0 && a.head == none && !a.is(sawSYN|delivered) {
		// Its SYN may follow, or an earlier segment.
		f.settling, f.told, f.segs = true, at, 1
		t.wait(f, true)
	}
	end := seg.Seq + pc.len()
	switch {
	case a.is(skipped):
		t.pass(f, d, end)
	case a.is(walked) && (pc.len() > 0 || seg.Flags&FlagFIN != 0) && !t.catchUp(f, d, at, seg.Seq, end, seg.Flags&FlagFIN != 0):
		// It was kept, or known, already.
	case pc.len() > 0 && !keepAlive(a, seg):
		t.place(f, d, &pc)
	case pc.len() > 0:
		end = seg.Seq // the byte is none
	}
	if seg.Flags&FlagFIN != 0 && f.state != closed {
		t.close(f, d, at, end, seg, closing)
	}
	if f.busy || a.lost > 0 || b.lost > 0 || a.missing() || b.missing() {
		t.review(f, at)
	}
}

// keepAlive recognises a probe that carries a byte: it repeats the last
// sequence number, with any content (RFC 9293 §3.8.4). To take it for data would
// invent a byte where the last one was not captured.
func keepAlive(a *stream, seg *Segment) bool {
	return len(seg.Payload)+seg.Missing == 1 && seg.Flags&(FlagPSH|FlagFIN) == 0 &&
		(seg.Seq+1 == a.next || seg.Seq+1 == a.peerAck)
}

// place hands over the payload of a segment, or keeps it back.
func (t *Tracker) place(f *flow, d int, pc *piece) {
	a, b := &f.dirs[d], &f.dirs[1-d]
	for pc.len() > 0 && f.state != closed && !t.stopped {
		if a.is(skipped) { // since room was made for it
			t.pass(f, d, pc.seq+pc.len())
			break
		}
		if !t.current(f, a, pc) {
			return
		}
		if pc.seq == a.next && a.head == none && !f.settling && !b.blocked(pc.ack) {
			t.advance(f, d, pc)
			break
		}
		if pc.seq != a.next {
			t.stats.OutOfOrder++
		}
		before, conflict := a.blocks, a.conflict
		done := t.pool.insert(a, pc, t.blocks)
		t.stats.ConflictBytes += int64(a.conflict - conflict)
		t.wait(f, true)
		if done {
			if a.blocks == before && pc.missing == 0 {
				t.again(f, pc.at)
			}
			break
		}
		t.makeRoom(f, d)
	}
	t.drain(f)
}

// current trims what was handed over before and reports whether anything
// plausible is left.
func (t *Tracker) current(f *flow, a *stream, pc *piece) bool {
	n := pc.seq - a.next
	if int32(n) >= 0 && n <= maxAhead {
		a.strays = 0
		return !a.is(finished) && withinEnd(a, pc)
	}
	if !a.is(delivered|sawSYN) && -n <= earlier {
		a.start, a.next = pc.seq, pc.seq
		return true
	}
	if int32(n) < 0 && -n <= maxBehind {
		a.strays = 0
		t.repeated(f, a, pc)
		return pc.len() > 0 && !a.is(finished)
	}
	return t.stray(a, pc)
}

// withinEnd cuts what lies behind a FIN and reports whether anything is left.
func withinEnd(a *stream, pc *piece) bool {
	room := a.closeSeq - pc.seq
	switch {
	case !a.is(closing) || int32(room) >= 0 && pc.len() <= room:
		return true
	case a.is(byReset): // who goes on sending was not reset
		a.clear(closing | byReset)
		return true
	case int32(room) <= 0:
		return false
	}
	cut(pc, room)
	return true
}

// cut keeps the first n bytes of a piece.
func cut(pc *piece, n uint32) {
	if k := uint32(len(pc.data)); n < k {
		pc.data, pc.missing = pc.data[:n], 0
	} else {
		pc.missing = n - k
	}
}

// repeated trims bytes that were handed over before.
func (t *Tracker) repeated(f *flow, a *stream, pc *piece) {
	n := min(a.next-pc.seq, pc.len())
	old := pc.data[:min(n, uint32(len(pc.data)))]
	diff := t.recent.conflicts(a, pc.seq, old)
	a.conflict += diff
	t.stats.ConflictBytes += int64(diff)
	if n == pc.len() {
		t.again(f, pc.at)
	}
	pc.skip(n)
}

// again counts a segment that brought nothing new. A copy made by the capture
// follows at once, a retransmission after a round trip.
func (t *Tracker) again(f *flow, at int64) {
	if at >= f.seen && at-f.seen < duplicateTime {
		t.stats.Duplicates++
	} else {
		t.stats.Retransmitted++
	}
}

// stray takes a segment far from everything. If others continue it, the
// capture lost more than a window, and the stream goes on here.
func (t *Tracker) stray(a *stream, pc *piece) bool {
	t.stats.Strays++
	if a.head != none || a.is(closing|finished) {
		return false
	}
	if pc.seq != a.closeSeq {
		a.strays = 0
	}
	a.strays++
	a.closeSeq = pc.seq + pc.len()
	if a.strays < strayRun {
		return false
	}
	t.lose(a, pc.seq-a.next)
	a.next, a.peerAck, a.forgiven = pc.seq, pc.seq, pc.seq
	return true
}

// lose gives n bytes up.
func (t *Tracker) lose(a *stream, n uint32) {
	if n == 0 {
		return
	}
	a.set(delivered) // the beginning cannot move back before what was given up
	a.lose(n)
	t.stats.LostBytes += int64(n)
	t.stats.Gaps++
}

// advance hands a piece over that begins at next.
func (t *Tracker) advance(f *flow, d int, pc *piece) {
	a := &f.dirs[d]
	if len(pc.data) > 0 {
		t.hand(f, d, pc.at, pc.seq, pc.data)
	} else if f.conn == none {
		t.number(f)
	}
	if pc.missing > 0 {
		a.next += pc.missing
		a.set(delivered)
		a.clear(waiting)
		t.stats.CutBytes += int64(pc.missing)
		if a.is(skipped) {
			return // since its data was handed over
		}
		a.lose(pc.missing)
		t.tell(f, d, pc.at, said{})
	}
}

// hand hands over data that begins at next.
func (t *Tracker) hand(f *flow, d int, at int64, seq uint32, data []byte) {
	a := &f.dirs[d]
	if f.conn == none {
		t.number(f)
		if a.is(skipped) { // by a consumer who was told of the other side's end
			t.pass(f, d, seq+uint32(len(data)))
			return
		}
	}
	t.recent.add(a, seq, data)
	a.next += uint32(len(data))
	a.set(delivered)
	a.clear(waiting)
	t.tell(f, d, at, said{data: data})
}

// close takes note that the stream of end d ends at seq.
func (t *Tracker) close(f *flow, d int, at int64, seq uint32, seg *Segment, how uint16) {
	a, b := &f.dirs[d], &f.dirs[1-d]
	if how == closing && a.is(skipped) && !a.is(closing|finished) {
		a.next = seq // where it stands is not known
	}
	if how == closing && (a.is(closing|finished) || after(a.next, seq) || seq-a.next > maxAhead || !a.endsBefore(&t.pool, seq)) {
		return
	}
	a.set(how)
	a.closeSeq, a.closeAck, a.closeAt = seq, b.next, at
	if seg.Flags&FlagACK != 0 {
		a.closeAck = seg.Ack
	}
	t.wait(f, true)
	t.drain(f)
}

// endsBefore tells whether nothing is held behind seq.
func (s *stream) endsBefore(p *pool, seq uint32) bool {
	return s.tail == none || !after(p.runs[s.tail].end(), seq)
}
