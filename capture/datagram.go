package capture

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"whoasked/parse"
)

// sessions is the part of a Tracker that follows connections made of datagrams:
// QUIC and DTLS over UDP, and EAP in link-layer frames or in RADIUS. A session
// begins with a datagram that has the shape of one of these protocols, and has
// no end but silence, or the final EAP packet.
type sessions struct {
	flows map[key]*session
	// tunnelled is those in tunnels by their keys without.
	tunnelled map[key]*session
	// last was found before; packets come in runs. eapol is the latest one over
	// link-layer frames.
	last, eapol *session
	// least and most are the ends of a list by activity.
	least, most *session
	n           int
	radius      radius
}

// session is a connection made of datagrams.
type session struct {
	key    key // UDP and EAPOL
	back   key // of the other direction; valid iff ways.split
	ways   ways
	conn   int
	opener uint8 // end of key, or 0
	// midstream: the first datagram captured is not the first one sent.
	midstream bool
	seen      int64
	told      int64
	epoch     uint8       // as of a flow
	radius    radiusNames // RADIUS
	// names are the latest ones of the connection, to tell the next one on the
	// same flow from it.
	names  [6]uint64
	naming int

	before, behind *session // in the list by activity
}

func newSessions() sessions {
	return sessions{flows: make(map[key]*session), tunnelled: make(map[key]*session), radius: newRadius()}
}

// Datagram takes the next UDP datagram, captured at the given nanoseconds since
// the Unix epoch, and hands it over if it belongs to a connection that is
// followed or begins one. It returns false once the consumer stopped.
func (t *Tracker) Datagram(at int64, seg *Segment) bool {
	t.stats.Datagrams++
	if !t.Advance(at) {
		return false
	}
	if radiusPort(seg.SrcPort) || radiusPort(seg.DstPort) {
		if t.radiusDatagram(at, seg) {
			return !t.stopped
		}
	}
	k, d := keyOf(&seg.Tuple)
	s := t.sessions.find(&k)
	var names parse.Names
	if s != nil && parse.MayName(seg.Payload) {
		names = parse.NamesIn(seg.Payload)
		if s.begunAgain(names, d) {
			t.endSession(s, s.seen, parse.Reused)
			s = nil
		}
	}
	if s == nil {
		if s = t.beginSession(&k, d, at, seg); s == nil {
			return !t.stopped
		}
		names = parse.NamesIn(seg.Payload)
		s.begunAgain(names, d)
	}
	s.ways.note(d, seg.Via, names)
	return t.handDatagram(s, at, parse.Side(d)^parse.Side(s.opener), seg)
}

// beginSession finds or opens the session of a datagram from end d with a key that
// none has, nil if it has the shape of nothing that is followed.
func (t *Tracker) beginSession(k *key, d int, at int64, seg *Segment) *session {
	opening := parse.OpeningOf(seg.Payload)
	if opening == parse.NoOpening {
		if seg.SrcPort == quicPort || seg.DstPort == quicPort {
			t.stats.Unfollowed++
		}
		return nil
	}
	if s := t.sessions.otherWay(k, d, at, seg.Payload, parse.NamesIn(seg.Payload)); s != nil {
		t.join(s, k, d)
		return s
	}
	midstream := opening == parse.Underway
	opener := d
	if midstream {
		opener = guessOpener(k, d)
	}
	s := t.openSession(parse.UDP, &session{key: *k, opener: uint8(opener), midstream: midstream}, k.tuple(opener))
	s.ways.long = parse.LongHeader(seg.Payload)
	t.sessions.enter(s)
	return s
}

// begunAgain takes note of the names that end d used, and reports whether they
// begin another connection.
func (s *session) begunAgain(n parse.Names, d int) bool {
	known := func(name uint64) bool { return slices.Contains(s.names[:], name) }
	if n.Fresh && (n.Mutual || d == int(s.opener)) {
		if known(n.To) {
			return false
		}
		again := s.naming > 0 || n.Mutual
		s.name(n.To)
		return again
	}
	if n.From != 0 && d != int(s.opener) && !known(n.From) {
		s.name(n.From)
	}
	return false
}

func (s *session) name(name uint64) {
	s.names[s.naming%len(s.names)] = name
	s.naming++
}

// quicPort is where QUIC is expected that has no recognisable beginning.
const quicPort = 443

// EAPOL takes the next EAP packet of a link-layer frame; otherwise it is like
// Datagram. A supplicant is known by its address; what is sent to it may go to
// the group address of its port instead (IEEE 802.1X-2020 §11.1.1).
func (t *Tracker) EAPOL(at int64, seg *Segment) bool {
	if !t.Advance(at) {
		return false
	}
	request, ok := parse.EAPRequest(seg.Payload)
	if !ok {
		return true
	}
	k := key{via: seg.Via}
	peer, authenticator, side := seg.Src, seg.Dst, parse.Opener
	if request {
		peer, authenticator, side = seg.Dst, seg.Src, parse.Accepter
	}
	k.ends[0] = [2]uint64{binary.BigEndian.Uint64(peer[:]), binary.BigEndian.Uint64(peer[8:])}
	s := t.sessions.find(&k)
	if s == nil && request && isGroup(&peer) {
		s = t.sessions.eapol
	}
	if s == nil {
		// Only a packet that names both ends tells who asks.
		if !parse.OpensEAP(seg.Payload) || isGroup(&peer) || isGroup(&authenticator) {
			return true
		}
		s = t.openSession(parse.EAPOL, &session{key: k}, Tuple{Src: peer, Dst: authenticator, Via: seg.Via})
		t.sessions.flows[k] = s
	}
	t.sessions.eapol = s
	return t.handEAP(s, at, side, seg)
}

// isGroup tells a group address by its lowest bit in the first byte.
func isGroup(a *[16]byte) bool { return a[10]&1 != 0 }

// handEAP hands an EAP packet over, and ends the session behind the last one of
// its authentication.
func (t *Tracker) handEAP(s *session, at int64, from parse.Side, seg *Segment) bool {
	if !t.handDatagram(s, at, from, seg) {
		return false
	}
	if parse.EndsEAP(seg.Payload) {
		t.endSession(s, at, parse.FIN)
	}
	return !t.stopped
}

// openSession begins a session; tuple is from its opener.
func (t *Tracker) openSession(p parse.Proto, s *session, tuple Tuple) *session {
	if t.sessions.n >= t.limits.Flows {
		t.stats.Evicted++
		t.endSession(t.sessions.least, t.sessions.least.seen, parse.Evicted)
	}
	s.conn, s.epoch = t.newNumber(), t.epoch
	pf := &t.flows[s.conn]
	*pf = parse.Flow{Proto: p, Addrs: [2]netip.AddrPort{tuple.SrcAddr(), tuple.DstAddr()}}
	if tuple.Via != 0 && t.viaName != nil {
		pf.Via = t.viaName(tuple.Via)
	}
	t.stats.Sessions++
	t.sessions.n++
	t.sessions.push(s)
	return s
}

// handDatagram hands one datagram over.
func (t *Tracker) handDatagram(s *session, at int64, from parse.Side, seg *Segment) bool {
	if t.sessions.most != s {
		t.sessions.unlink(s)
		t.sessions.push(s)
	}
	s.seen = at
	if seg.Missing > 0 {
		t.stats.CutBytes += int64(seg.Missing)
	}
	t.tellSession(s, at, parse.Chunk{From: from, Data: seg.Payload, Lost: seg.Missing})
	return !t.stopped
}

func (t *Tracker) tellSession(s *session, at int64, ch parse.Chunk) {
	if t.stopped {
		return
	}
	s.told = at
	ch.Conn, ch.Flow, ch.Midstream = s.conn, t.flows[s.conn], s.midstream
	ch.Time = time.Unix(0, at-t.skew(s.epoch)).UTC()
	t.chunk = ch
	t.stopped = !t.emit(&t.chunk)
}

// endSession ends a session and forgets it.
func (t *Tracker) endSession(s *session, at int64, end parse.End) {
	t.tellSession(s, at, parse.Chunk{End: end})
	t.numbers = append(t.numbers, s.conn)
	t.sessions.forget(s)
}

// sweepSessions ends those that have been silent for long.
func (t *Tracker) sweepSessions(at int64) {
	for s := t.sessions.least; s != nil && at-s.seen >= int64(t.limits.Idle); s = t.sessions.least {
		t.endSession(s, s.seen, parse.Idle)
	}
}

// flushSessions ends all.
func (t *Tracker) flushSessions(end parse.End) {
	for s := t.sessions.least; s != nil; s = t.sessions.least {
		t.endSession(s, s.seen, end)
	}
}

func (l *sessions) find(k *key) *session {
	if l.last != nil && (l.last.key == *k || l.last.ways.split && l.last.back == *k) {
		return l.last
	}
	if len(l.flows) == 0 {
		return nil
	}
	s := l.flows[*k]
	if s != nil {
		l.last = s
	}
	return s
}

func (l *sessions) push(s *session) {
	s.before, s.behind = l.most, nil
	if l.most == nil {
		l.least = s
	} else {
		l.most.behind = s
	}
	l.most = s
}

func (l *sessions) unlink(s *session) {
	if s.before == nil {
		l.least = s.behind
	} else {
		s.before.behind = s.behind
	}
	if s.behind == nil {
		l.most = s.before
	} else {
		s.behind.before = s.before
	}
}

func (l *sessions) forget(s *session) {
	l.unlink(s)
	l.n--
	if l.last == s {
		l.last = nil
	}
	if l.eapol == s {
		l.eapol = nil
	}
	l.leave(s)
	l.radius.forget(s)
}
