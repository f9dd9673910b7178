package attribute

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// session is one TLS session between a client and whoever terminates it: one
// leg, or several where hops on the way pass it through.
type session struct {
	legs []*leg // client outwards, each way point once
	few  [2]*leg
	// unordered: which leg is nearer to the client cannot be told.
	unordered bool

	inner    *session // the session that its terminator opened for it
	joined   *joinRule
	because  string
	outer    bool // it is the inner of another
	rivals   int  // other sessions that could as well be the inner
	crowded  bool // it could as well be the inner of others
	start    int64
	end      int64
	up, down int64
	tickets  int64 // see leg
}

func (s *session) first() *leg { return s.legs[0] }
func (s *session) last() *leg  { return s.legs[len(s.legs)-1] }

// asked is the answer of the session: of the leg that knows most.
func (s *session) asked() *leg {
	best := s.legs[0]
	for _, l := range s.legs[1:] {
		if l.basis > best.basis {
			best = l
		}
	}
	return best
}

// joiner puts sessions together.
type joiner struct {
	*Legs
	clocks   []clock // by capture - 1
	sessions []*session
	byClient map[netip.AddrPort][]*session // of any leg
	byEnd    map[netip.Addr]*ending        // of the last leg's server
	byEndHop map[uint16]*ending            // the same, by its configured name
	shared   map[[2]uint16]bool            // captures, in order, that show one ClientHello
	usual    map[link]*usual               // nil until it was learned
	// crossings are what was compared of TCP between two points.
	crossings map[crossingKey]*crossing
}

// Findings are those about connections none of which is a leg of another, as where
// they were all made to single endpoints.
func (l *Legs) Findings() []Finding { return newJoiner(l).findings() }

// newJoiner sorts legs into sessions.
func newJoiner(l *Legs) *joiner {
	j := &joiner{Legs: l, byEnd: make(map[netip.Addr]*ending), byEndHop: make(map[uint16]*ending), shared: make(map[[2]uint16]bool), crossings: make(map[crossingKey]*crossing)}
	order := j.byRandom()
	j.setClocks(order)
	all := make([]session, 0, l.legs.n) // one piece of memory; pointers into it stay
	for len(order) > 0 {
		group := order[:1]
		for len(group) < len(order) && j.legs.at(group[0]).carries(j.legs.at(order[len(group)])) {
			a, b := j.legs.at(group[0]).capture, j.legs.at(order[len(group)]).capture
			if a != b {
				j.shared[[2]uint16{min(a, b), max(a, b)}] = true
			}
			group = order[:len(group)+1]
		}
		order = order[len(group):]
		for len(group) > 0 {
			all = append(all, session{})
			group = j.session(&all[len(all)-1], group)
		}
	}
	j.sessions = make([]*session, len(all))
	for i := range all {
		j.sessions[i] = &all[i]
	}
	slices.SortFunc(j.sessions, func(x, y *session) int {
		return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.first().id, y.first().id))
	})
	j.index()
	return j
}

// index makes sessions findable in the ways that rules ask for.
func (j *joiner) index() {
	for _, s := range j.sessions {
		last := s.last()
		into(j.byEnd, last.server().Addr(), s)
		if last.hop != 0 {
			into(j.byEndHop, last.hop, s)
		}
	}
	if len(j.sources) == 0 {
		return
	}
	j.byClient = make(map[netip.AddrPort][]*session)
	for _, s := range j.sessions {
		for _, l := range s.legs {
			j.byClient[l.client()] = append(j.byClient[l.client()], s)
		}
	}
}

func into[K comparable](m map[K]*ending, k K, s *session) {
	if m[k] == nil {
		m[k] = new(ending)
	}
	m[k].add(s)
}

// byRandom lists all legs, those that carry one ClientHello next to each other
// and by when they were added.
func (j *joiner) byRandom() []int {
	type keyed struct {
		key uint64
		leg int
	}
	keys := make([]keyed, j.legs.n)
	for i := range keys {
		keys[i] = keyed{binary.BigEndian.Uint64(j.legs.at(i).random[:]), i}
	}
	slices.SortFunc(keys, func(x, y keyed) int { return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.leg, y.leg)) })
	order := make([]int, j.legs.n)
	for i, k := range keys {
		order[i] = k.leg
	}
	return order
}

// carries reports whether two legs carry the same ClientHello: each random is
// drawn anew (RFC 8446 §4.1.2).
func (l *leg) carries(k *leg) bool {
	return l.named && k.named && l.random != [16]byte{} && l.random == k.random
}

// answersAs reports whether nothing shows that the server answered two legs with
// the same ClientHello otherwise: a hop may try a second server with it.
func (l *leg) answersAs(k *leg) bool { return !l.hello || !k.hello || l.answer == k.answer }

// maxWayPoints bounds the legs of one session.
const maxWayPoints = 8

// session fills s with legs of one ClientHello, in order, and returns those that
// were answered otherwise than the first.
func (j *joiner) session(s *session, group []int) (rest []int) {
	s.legs = s.few[:0]
	first := j.legs.at(group[0])
	for _, n := range group {
		l := j.legs.at(n)
		if !first.answersAs(l) {
			rest = append(rest, n)
			continue
		}
		if l.hello {
			first = l
		}
		i := slices.IndexFunc(s.legs, func(k *leg) bool { return k.ends == l.ends })
		switch {
		case i < 0 && len(s.legs) < maxWayPoints:
			s.legs = append(s.legs, l)
		case i >= 0:
			j.sighted(s.legs[i], l)
			s.legs[i] = s.legs[i].better(l)
		}
	}
	if len(s.legs) > 1 {
		j.order(s)
		j.crossed(s)
	}
	s.start, s.end = j.time(s.first(), s.first().start), j.time(s.first(), s.first().end)
	for _, l := range s.legs {
		s.up, s.down, s.tickets = max(s.up, l.up), max(s.down, l.down), max(s.tickets, l.tickets)
	}
	return rest
}

// better returns the one of two sightings of a connection that knows more, made
// up from what only the other knows.
func (l *leg) better(k *leg) *leg {
	if k.basis > l.basis {
		l, k = k, l
	}
	l.id = min(l.id, k.id)
	if l.source == 0 {
		l.source = k.source
	}
	if l.target == 0 {
		l.target = k.target
	}
	if l.cert == [8]byte{} {
		l.cert = k.cert
	}
	return l
}

// order sorts legs client outwards: behind a leg comes the one whose client is
// the host that the leg leads to; else, by one clock, the earlier comes first,
// and by different clocks the one on which the answer took longer, as its wait
// holds that of the legs behind it.
func (j *joiner) order(s *session) {
	slices.SortStableFunc(s.legs, j.before)
	for i := 0; i+1 < len(s.legs); i++ {
		// What leads to this one stands in front of it.
		for k := i + 1; k < len(s.legs); k++ {
			if leadsTo(s.legs[k], s.legs[i]) && !leadsTo(s.legs[i], s.legs[k]) {
				l := s.legs[k]
				copy(s.legs[i+1:k+1], s.legs[i:k])
				s.legs[i] = l
				break
			}
		}
	}
	for i := 1; i < len(s.legs); i++ {
		a, b := s.legs[i-1], s.legs[i]
		if !leadsTo(a, b) && j.before(a, b) == 0 {
			s.unordered = true
		}
	}
}

// before compares which of two legs of a session is nearer to the client; 0 if
// that cannot be told from times.
func (j *joiner) before(a, b *leg) int {
	if j.comparable(a, b) && (a.capture == b.capture || !j.passed(a) && !j.passed(b)) {
		return cmp.Compare(j.time(a, a.start), j.time(b, b.start))
	}
	if a.delay == 0 || b.delay == 0 {
		return 0
	}
	return cmp.Compare(b.delay, a.delay)
}

// leadsTo reports whether the server of a is, by its address or its configured
// name, the client of b.
func leadsTo(a, b *leg) bool {
	return a.server().Addr() == b.client().Addr() || a.hop != 0 && a.hop == b.from
}
