package attribute

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// PathHop is one endpoint on a Path, with the leg that leads to it.
type PathHop struct {
	Connection uint64 // Connection.ID
	Server     netip.AddrPort
	Name       string // configured name, empty for none
	Asked      Answer // No for a hop that passes TLS through
	// Passes: the hop does not end TLS, it passes what it gets to the next.
	Passes bool
	// Alike: it asks just as one behind it does, and may only pass TLS through.
	Alike bool
	Place Place // of who asked; valid iff Asked == Yes
	// JoinedBy is the rule that joined the leg to the one before, empty for the
	// first; Evidence says what it saw.
	JoinedBy, Evidence string
	Signs              []Sign
}

// Path is the way of one connection through several hops, client outwards.
type Path struct {
	ID     int // from 1, in order of time
	Start  time.Time
	Client netip.AddrPort
	SNI    string
	Hops   []PathHop // at least two
	// Asker is the endpoint that asked, nearest to the client if several did; not
	// valid if nobody did or it cannot be told.
	Asker     netip.AddrPort
	AskerName string
	When      When
	// Place says whether Asker itself asked or what may stand behind it, and
	// PlaceBecause how that is known, empty for AtOrBehind.
	Place        Place
	PlaceBecause string
	// Reaches says whether the client at the beginning gets the request: only who
	// ends its TLS session can send it one.
	Reaches Answer
	// Joins is how sure the weakest join is: "certain", "likely", "possible" where
	// clocks could not be compared, or "ambiguous", where Doubt says what cannot be
	// told apart. Confidence is that of the whole way: at most "likely" where who
	// asked may stand behind Asker.
	Confidence, Joins, Doubt string
	// Probed: each hop was asked directly, and their order is that of the settings.
	Probed bool
}

// Chain writes a path in one line, such as "198.18.0.10 → appgw (passes through)
// → apim (ASKED)".
func (p *Path) Chain() string {
	var b strings.Builder
	b.WriteString(p.Client.Addr().String())
	for i := range p.Hops {
		h := &p.Hops[i]
		b.WriteString(" → ")
		if h.Name != "" {
			b.WriteString(h.Name)
		} else {
			b.WriteString(h.Server.String())
		}
		switch {
		case h.Passes:
			b.WriteString(" (passes through)")
		case h.Alike:
			b.WriteString(" (passes through or asks alike)")
		case h.Asked == Yes:
			b.WriteString([...]string{" (ASKED, or behind it)", " (ASKED)", " (declared to pass through; ASKED behind it)"}[h.Place])
		case h.Asked == No:
			b.WriteString(" (did not ask)")
		default:
			b.WriteString(" (cannot be told)")
		}
	}
	return b.String()
}

// Forward says of an endpoint that it passes TLS through.
type Forward struct {
	Server netip.AddrPort
	SNI    string
	To     netip.AddrPort
	ToName string
	Asked  int // connections passed on in which To asked
	Count  int
}

// Clock says how far a capture's clock is ahead of the first one's.
type Clock struct {
	Capture string
	Offset  time.Duration
	By      int // connections seen by both; 0 if it could not be compared
	// Passed: none was, and By counts those whose ClientHello was passed on.
	Passed bool
}

// Joined is what joining legs came to.
type Joined struct {
	Paths    []Path // in order of time
	Forwards []Forward
	Clocks   []Clock // of the second capture on
	// Ambiguous counts sessions that fit several others equally well.
	Ambiguous int
	// Findings say why only sometimes.
	Findings []Finding

	// Apart are captures that nothing was joined of.
	Apart []Apart

	ended map[endpoint]endings
	signs signed
}

// Join joins all legs added. It looks at nothing but them, and may be called
// once.
func (l *Legs) Join() *Joined {
	j := newJoiner(l)
	j.join()
	groups := j.answering()
	j.machines(groups)
	out := &Joined{Findings: j.findings(), ended: j.ended(), Apart: j.apart(), signs: j.signs(groups)}
	forwards := make(map[endpoint]int)
	for _, s := range j.sessions {
		if s.crowded || s.rivals > 0 {
			out.Ambiguous++
		}
		j.forwards(out, forwards, s)
		if s.outer || s.inner == nil && len(s.legs) < 2 {
			continue
		}
		p := j.path(s)
		p.ID = len(out.Paths) + 1
		for i := range p.Hops {
			p.Hops[i].Signs = out.signs[p.Hops[i].Server]
		}
		out.Paths = append(out.Paths, p)
	}
	for i, c := range j.clocks {
		if i > 0 {
			out.Clocks = append(out.Clocks, Clock{l.captures.texts[i], time.Duration(c.offset), c.by, c.passed})
		}
	}
	return out
}

// maxHops bounds a path, whatever leads to what.
const maxHops = 16

// path follows a session inwards.
func (j *joiner) path(first *session) Path {
	out := first.first()
	p := Path{
		Start: at(out.start), Client: out.client(), SNI: j.names.text(out.sni), Joins: "certain",
	}
	joined, because := "", ""
	for s := first; s != nil && len(p.Hops) < maxHops; s = s.inner {
		answer := s.asked()
		place, why := j.place(s)
		if s.unordered {
			p.Joins = "ambiguous"
			p.Doubt = "the legs share one ClientHello, but which of them is nearer to the client cannot be told"
		}
		for i, l := range s.legs {
			h := PathHop{
				Connection: l.id, Server: l.server(), Name: j.hops.text(l.hop),
				Asked: answer.asked, Passes: i+1 < len(s.legs) && !s.unordered, JoinedBy: joined, Evidence: because,
			}
			switch {
			case h.Passes:
				h.Asked = No
			case h.Asked == Yes && !s.unordered:
				h.Place = place
			}
			p.Hops = append(p.Hops, h)
			joined, because = "same-client-hello", fmt.Sprintf("both legs carry the ClientHello with random %x…", l.random[:6])
		}
		if answer.asked == Yes && !p.Asker.IsValid() && !s.unordered {
			p.Asker, p.AskerName, p.When = s.last().server(), j.hops.text(s.last().hop), answer.when
			p.Place, p.PlaceBecause = place, why
			p.Reaches = No
			if s == first && out.from == 0 {
				p.Reaches = Yes
			}
		}
		if s.inner != nil {
			joined, because = s.joined.name, s.because
			p.Joins = weaker(p.Joins, s.joined.confidence)
			if j.unclocked(s) {
				p.Joins = weaker(p.Joins, "possible")
				because += "; the clocks of the two captures are taken to agree"
			}
		}
	}
	if out.from != 0 && p.Reaches == No && first.asked().asked == Yes {
		p.Reaches = Unknown // its client is itself a hop: what stands before was not captured
	}
	p.Confidence = p.Joins
	if p.Asker.IsValid() && p.Place == AtOrBehind {
		p.Confidence = weaker(p.Joins, "likely")
	}
	return p
}

// unclocked reports whether what joins a session to its inner one rests on clocks
// that were not compared.
func (j *joiner) unclocked(s *session) bool {
	return s.joined.timed && !j.comparable(s.last(), s.inner.first())
}

// weaker returns the weaker of two confidences.
func weaker(a, b string) string {
	order := []string{"ambiguous", "possible", "likely", "certain"}
	return order[min(slices.Index(order, a), slices.Index(order, b))]
}

// forwards notes which endpoints of a session pass TLS through.
func (j *joiner) forwards(out *Joined, at map[endpoint]int, s *session) {
	if s.unordered {
		return
	}
	last := s.last()
	for _, l := range s.legs[:len(s.legs)-1] {
		k := endpoint{l.server(), j.names.text(l.sni)}
		i, known := at[k]
		if !known {
			i = len(out.Forwards)
			at[k] = i
			out.Forwards = append(out.Forwards, Forward{Server: l.server(), SNI: k.sni, To: last.server(), ToName: j.hops.text(last.hop)})
		}
		f := &out.Forwards[i]
		f.Count++
		if s.asked().asked == Yes {
			f.Asked++
		}
	}
}

// Mark notes in askers which of them only passed on what was asked, and where
// those are that did not.
func (j *Joined) Mark(askers []Asker) {
	at := make(map[endpoint]*Asker, len(askers))
	for i := range askers {
		at[endpoint{askers[i].Addr, askers[i].SNI}] = &askers[i]
	}
	for _, f := range j.Forwards {
		if a := at[endpoint{f.Server, f.SNI}]; a != nil && f.Asked > 0 {
			a.Passes, a.PassesTo, a.PassesToName = f.Asked, f.To, f.ToName
		}
	}
	for i := range askers {
		askers[i].locate(j)
		askers[i].Signs = j.signs[askers[i].Addr]
	}
}
