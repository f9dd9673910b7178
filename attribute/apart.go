package attribute

import (
	"fmt"
	"net/netip"
	"slices"
)

// Apart is two captures that show sessions under the same names, and of which
// none could be joined.
type Apart struct {
	Captures [2]string
	// Sessions counts those of the second capture under names that the first one
	// shows, too.
	Sessions int
	// Reason says why they were not joined, Hint what would help.
	Reason, Hint string
}

// maxApart bounds how many captures are held against each other.
const maxApart = 16

// apart lists pairs of captures that nothing was joined of.
func (j *joiner) apart() []Apart {
	n := len(j.captures.texts)
	if n < 2 || n > maxApart {
		return nil
	}
	joined := j.together()
	type end struct {
		server netip.AddrPort
		sni    uint32
	}
	ends := make([]map[end]bool, n+1)
	names := make([]map[uint32]bool, n+1)
	for i := range names {
		names[i], ends[i] = make(map[uint32]bool), make(map[end]bool)
	}
	for _, s := range j.sessions {
		for _, l := range s.legs {
			if l.sni != 0 {
				names[l.capture][l.sni], ends[l.capture][end{l.server(), l.sni}] = true, true
			}
		}
	}
	var out []Apart
	for b := uint16(2); int(b) <= n; b++ {
		for a := uint16(1); a < b; a++ {
			if joined[[2]uint16{a, b}] {
				continue
			}
			pair := Apart{Captures: [2]string{j.captures.text(a), j.captures.text(b)}}
			meet, ambiguous := false, 0
			same := false // both were made in front of one hop: nothing is to be joined
			for _, s := range j.sessions {
				l := s.first()
				if l.capture != a && l.capture != b || !names[a][l.sni] || !names[b][l.sni] {
					continue
				}
				if l.capture == b {
					pair.Sessions++
				}
				if s.crowded || s.rivals > 0 {
					ambiguous++
				}
				same = same || ends[a+b-l.capture][end{l.server(), l.sni}]
				meet = meet || j.meets(s, a+b-l.capture)
			}
			if pair.Sessions > 0 && (meet || !same) {
				pair.explain(meet, ambiguous)
				out = append(out, pair)
			}
		}
	}
	return out
}

// together tells which pairs of captures, in order, have a leg or a way in common.
func (j *joiner) together() map[[2]uint16]bool {
	out := j.shared
	mark := func(a, b uint16) { out[[2]uint16{min(a, b), max(a, b)}] = true }
	for _, s := range j.sessions {
		for _, l := range s.legs[1:] {
			mark(s.legs[0].capture, l.capture)
		}
		if s.inner != nil {
			mark(s.last().capture, s.inner.first().capture)
		}
	}
	return out
}

// meets reports whether another capture shows a session that ends where s begins.
func (j *joiner) meets(s *session, other uint16) bool {
	l := s.first()
	for _, e := range []*ending{j.byEnd[l.client().Addr()], j.byEndHop[l.from]} {
		if e == nil {
			continue
		}
		for i := range e {
			if slices.ContainsFunc(e[i].sessions[:min(len(e[i].sessions), maxRivals)], func(o *session) bool {
				return o.last().capture == other && o.last().sni == l.sni
			}) {
				return true
			}
		}
	}
	return false
}

func (p *Apart) explain(meet bool, ambiguous int) {
	switch {
	case !meet:
		p.Reason = "they share no connection and no ClientHello, and no server of the one is a client of the other by its address"
		p.Hint = "if a hop with several addresses stands between them, list all of them under its name in hops:"
	case ambiguous > 0:
		p.Reason = fmt.Sprintf("%s could belong to several others equally well", plural(ambiguous, "session"))
		p.Hint = "capture at a quiet time, or have the hop between them send a PROXY header"
	default:
		p.Reason = "none fits another in time and volume, as of a hop that keeps its connections open for several clients or answers from a cache, or of clocks that differ"
		p.Hint = "capture both at the same time and from a restart of the hop, or have it send a PROXY header"
	}
}
