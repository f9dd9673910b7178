package capture

import "whoasked/parse"

// begin starts a connection, the first segment of which end d sent, in a flow
// that is new or whose former connection is over.
func (t *Tracker) begin(f *flow, d int, at int64, seg *Segment) {
	t.needAgain(f)
	t.forgetWalks(f)
	t.forgetLeaps(f)
	t.firsts.putBoth(f)
	fresh := stream{head: none, tail: none, first: none, epoch: t.epoch}
	f.dirs = [2]stream{fresh, fresh}
	f.ways &= split
	t.from(f, d, seg.Via)
	f.seen, f.told, f.segs = at, at, 0
	f.opener = uint8(d)
	f.midstream, f.settling = false, false
	if seg.Flags&FlagSYN == 0 {
		f.midstream, f.settling = true, true
		f.opener = uint8(guessOpener(&f.key, d))
	}
	if f.state != young {
		t.move(f, young)
	}
	t.wait(f, f.settling)
}

// guessOpener names the end that opened a connection whose SYN was not
// captured; first sent the first segment that was.
func guessOpener(k *key, first int) int {
	own, other := k.port(first), k.port(1-first)
	const wellKnown, ephemeral = 1024, 32768
	bothKnown := own < wellKnown && other < wellKnown
	bothEphemeral := own >= ephemeral && other >= ephemeral
	if bothKnown || bothEphemeral || own >= other {
		return first
	}
	return 1 - first
}

// syn takes a segment with SYN, with or without ACK.
func (t *Tracker) syn(f *flow, d int, at int64, seg *Segment) {
	a, b := &f.dirs[d], &f.dirs[1-d]
	reply := seg.Flags&FlagACK != 0
	again := a.is(sawSYN) && a.start == seg.Seq+1
	if again && f.state == closed || !again && outdated(a, b, seg) {
		return
	}
	if !again {
		if f.state == closed || !fits(a, b, seg) {
			t.finish(f, at, parse.Reused)
			t.begin(f, d, at, seg)
		}
		t.adopt(f, d, seg)
	}
	t.opened(f, d, at, seg)
	a.clear(blind)
	a.set(captured)
	if reply {
		b.acknowledge(seg.Ack)
	}
	if len(seg.Payload)+seg.Missing > 0 { // TCP Fast Open, RFC 7413
		rest := *seg
		rest.Seq++
		rest.Flags &^= FlagSYN
		t.segment(f, d, at, &rest)
		return
	}
	t.drain(f)
	t.review(f, at)
}

// acknowledgesSYN tells whether ack answers the SYN of s, and at most the data
// that came with it.
func (s *stream) acknowledgesSYN(ack uint32) bool {
	return s.is(sawSYN) && ack-s.start <= min(s.next-s.start, earlier)
}

// outdated recognises another SYN-ACK to the same SYN, by a server behind a load
// balancer perhaps, after the client has settled for one.
func outdated(a, b *stream, seg *Segment) bool {
	return seg.Flags&FlagACK != 0 && a.is(sawSYN) && (a.is(delivered) || a.claims > 0) && b.acknowledgesSYN(seg.Ack)
}

// fits tells whether a SYN with a number new to its direction, a, may belong to
// the connection that is there: it comes late, or it is the peer's own.
func fits(a, b *stream, seg *Segment) bool {
	first := seg.Seq + 1
	reply := seg.Flags&FlagACK != 0
	switch {
	case a.is(sawSYN):
		// A SYN-ACK may change its mind, a SYN begins another connection.
		if !reply || a.is(delivered) || a.head != none {
			return false
		}
	case a.is(known) && a.start != first:
		// A start that only an acknowledgment or the first segment told may move
		// back, as long as nothing was handed over.
		if a.is(delivered) || a.start-first > earlier {
			return false
		}
	}
	switch {
	case !reply || !b.is(known):
		return true
	case b.is(sawSYN):
		return b.acknowledgesSYN(seg.Ack)
	}
	return seg.Ack-b.start <= earlier || b.start-seg.Ack <= earlier
}

// adopt takes over what a SYN tells about a connection it fits.
func (t *Tracker) adopt(f *flow, d int, seg *Segment) {
	a, b := &f.dirs[d], &f.dirs[1-d]
	reply := seg.Flags&FlagACK != 0
	if f.conn == none {
		if reply && !a.is(sawSYN) {
			f.opener = uint8(1 - d)
		} else if !b.is(sawSYN) {
			f.opener = uint8(d)
		}
		f.midstream = false
		f.settling = f.settling && !reply && b.is(known) && !b.is(sawSYN)
	}
	first := seg.Seq + 1
	if !a.is(delivered) {
		a.start, a.next = first, first
	}
	if !a.is(known) {
		a.peerAck, a.forgiven = first, first
	}
	a.set(known | sawSYN)
	if reply && !b.is(sawSYN|delivered) {
		// The SYN it answers was not captured, or comes later; this tells as well
		// where that stream starts.
		if !b.is(known) || after(b.start, seg.Ack) {
			b.start, b.next = seg.Ack, seg.Ack
		}
		if !b.is(known) {
			b.peerAck, b.forgiven = seg.Ack, seg.Ack
		}
		b.set(known | sawSYN)
	}
}

// reset takes a segment with RST.
func (t *Tracker) reset(f *flow, d int, at int64, seg *Segment) {
	a, b := &f.dirs[d], &f.dirs[1-d]
	if f.state == closed {
		return
	}
	seq := seg.Seq
	if a.is(skipped) {
		a.next = seq // where it stands is not known
	}
	if a.is(walked) {
		t.catchUp(f, d, at, seq, seq, true)
	}
	if n := seq - a.next; !a.is(known) || n > resetWindow && -n > resetWindow {
		// The answer to a SYN, or from an end not captured, has no number to go by
		// but what it acknowledges (RFC 9293 §3.5.2).
		n = seg.Ack - b.next
		if a.is(known) && a.is(delivered|sawSYN) || seg.Flags&FlagACK == 0 || !b.is(known) || n > resetWindow && -n > resetWindow {
			t.stats.Strays++
			return
		}
		seq = a.next
	}
	a.set(captured)
	if after(a.next, seq) {
		seq = a.next
	}
	t.close(f, d, at, seq, seg, closing|byReset)
	t.review(f, at)
}
