package capture

import (
	"time"

	"whoasked/parse"
)

// Datagrams have no numbers that answer each other as those of TCP do. One that
// comes by other tunnels than what the other end of its addresses and ports has
// sent belongs to the same connection if nothing else of its own end was captured,
// it has the shape of that protocol and comes soon, and, of QUIC, if it goes to the
// ID that the other end has given itself.

// splitWindow is how long an end may be silent before the other direction shows:
// longer than it takes to send a lost flight again a few times.
const splitWindow = 10 * time.Second

// ways is what of a session tells the way there and the way back apart; indexed by
// end of its key.
type ways struct {
	heard [2]bool
	via   [2]uint32 // valid where heard
	last  [2]parse.Names
	long  bool // the first datagram had QUIC's long header
	split bool // the two directions come by different tunnels
}

// note takes note of a datagram from end d.
func (w *ways) note(d int, via uint32, n parse.Names) {
	w.heard[d], w.via[d] = true, via
	if n != (parse.Names{}) {
		w.last[d] = n
	}
}

// answered reports whether a datagram with such names from end d answers what the
// other end has sent.
func (s *session) answered(d int, at int64, payload []byte, n parse.Names) bool {
	w := &s.ways
	long := parse.LongHeader(payload)
	if w.heard[d] || !w.heard[1-d] || w.long != long || at-s.seen > int64(splitWindow) || s.seen-at > int64(splitWindow) {
		return false
	}
	other := w.last[1-d]
	return !long || n.To == other.From || n.From == other.To
}

// otherWay finds the session of which a datagram, with a key that none has, is the
// first of the other direction; nil if there is none.
func (l *sessions) otherWay(k *key, d int, at int64, payload []byte, n parse.Names) *session {
	bare := k.bare()
	if s := l.flows[bare]; k.via != 0 && s != nil && s.answered(d, at, payload, n) {
		return s
	}
	if s := l.tunnelled[bare]; s != nil && s.answered(d, at, payload, n) {
		return s
	}
	return nil
}

// join lets a session have a second way.
func (t *Tracker) join(s *session, k *key, d int) {
	s.back, s.ways.split = *k, true
	t.sessions.flows[*k] = s
	s.ways.via[d] = k.via
	t.flows[s.conn].Via = t.nameWays(s.ways.via[s.opener], s.ways.via[1-s.opener])
}

// enter lets a session be found by its addresses and ports, and by these alone if
// it is in tunnels: of several the latest.
func (l *sessions) enter(s *session) {
	l.flows[s.key] = s
	if s.key.via != 0 {
		l.tunnelled[s.key.bare()] = s
	}
}

// leave is the reverse.
func (l *sessions) leave(s *session) {
	if l.flows[s.key] == s {
		delete(l.flows, s.key)
	}
	if s.ways.split && l.flows[s.back] == s {
		delete(l.flows, s.back)
	}
	if bare := s.key.bare(); l.tunnelled[bare] == s {
		delete(l.tunnelled, bare)
	}
}
