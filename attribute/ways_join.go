package attribute

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Pair is two endpoints that ask alike: the one in front passes TLS through to
// the other, or both are set up alike. A session that is begun Behind and
// resumed in Front tells.
type Pair struct {
	Target, SNI   string
	Front, Behind netip.AddrPort
}

// maxPairs bounds the pairs that are to be told apart.
const maxPairs = 32

// Pairs lists what Carried would help with.
func (w *Ways) Pairs() []Pair {
	var out []Pair
	for _, way := range w.ways {
		for _, points := range way.chains() {
			for i, p := range points {
				for _, q := range points[i+1:] {
					if p.answer() != Yes || q.answer() != Yes || !p.alike(q) || len(out) == maxPairs {
						continue
					}
					out = append(out, Pair{way.target, way.sni, p.asking().server, q.asking().server})
				}
			}
		}
	}
	return out
}

// asking is an endpoint of the point that asked, or the first one.
func (p *point) asking() *reached {
	return &p.servers[max(0, slices.IndexFunc(p.servers, func(r reached) bool { return r.asked > 0 }))]
}

// chains lists the ways inwards from where the target's name leads to: the
// points behind are those that the settings list after it.
func (way *probedWay) chains() [][]*point {
	var out [][]*point
	for _, front := range way.points {
		if !front.front {
			continue
		}
		chain := []*point{front}
		for _, p := range way.points {
			if p != front && p.place > front.place && len(chain) < maxHops {
				chain = append(chain, p)
			}
		}
		slices.SortStableFunc(chain[1:], func(a, b *point) int { return cmp.Compare(a.place, b.place) })
		if len(chain) > 1 {
			out = append(out, chain)
		}
	}
	return out
}

// Join tells the ways, who asks on them and who only passes TLS through.
func (w *Ways) Join() *Joined {
	out := new(Joined)
	for _, way := range w.ways {
		for _, points := range way.chains() {
			p := w.path(out, way, points)
			p.ID = len(out.Paths) + 1
			out.Paths = append(out.Paths, p)
		}
	}
	return out
}

// path walks inwards to the endpoint that ends TLS for the client.
func (w *Ways) path(out *Joined, way *probedWay, points []*point) Path {
	p := Path{Start: points[0].start, Client: points[0].client, SNI: way.sni, Confidence: "possible", Probed: true}
	for i, q := range points {
		h := PathHop{Connection: q.asking().connection, Server: q.asking().server, Name: q.hop, Asked: q.answer(), Evidence: q.says()}
		if i > 0 {
			h.JoinedBy = "configured"
		}
		p.Hops = append(p.Hops, h)
	}
	end := 0
	for end+1 < len(points) {
		next, how := w.passes(way, points, end)
		if next == 0 {
			break
		}
		h := &p.Hops[end]
		h.Passes, h.Asked, h.Evidence = true, No, h.Evidence+"; "+how
		p.Confidence = "likely"
		for _, r := range points[end].servers {
			to := points[next].asking()
			out.Forwards = append(out.Forwards, Forward{
				Server: r.server, SNI: way.sni, To: to.server, ToName: points[next].hop, Asked: r.asked, Count: r.asked + r.not + r.unknown,
			})
		}
		end = next
	}
	w.decide(&p, way, points, end)
	w.locate(&p, way.sni, points)
	return p
}

// locate tells of each hop that asked whether it did itself. One that shows
// something else than every hop configured behind it does.
func (w *Ways) locate(p *Path, sni string, points []*point) {
	for i := range p.Hops {
		h := &p.Hops[i]
		if h.Asked != Yes {
			continue
		}
		why := ""
		same := func(q *point) bool { return !points[i].differs(q) }
		if i+1 < len(points) && !slices.ContainsFunc(points[i+1:], same) {
			h.Place, why = At, "it shows another certificate or request than what is configured behind it"
		} else {
			h.Place, why = w.hops.place(h.Name, sni)
		}
		if h.Server == p.Asker {
			p.Place, p.PlaceBecause = h.Place, why
		}
	}
}

// passes tells whether a point passes TLS through, to which and how that is
// known; 0 for none.
func (w *Ways) passes(way *probedWay, points []*point, i int) (next int, how string) {
	for k := i + 1; k < len(points); k++ {
		for _, c := range way.carried {
			if points[i].has(c.to) >= 0 && points[k].has(c.from) >= 0 {
				return k, fmt.Sprintf("a session begun at %s was resumed through it (%s): one endpoint ends TLS for both", points[k].name(), c.version)
			}
		}
	}
	if a := points[i].answer(); w.declared(points[i], way.sni) == DeclaredPassthrough &&
		a != Unknown && a == points[i+1].answer() && !points[i].differs(points[i+1]) {
		return i + 1, "declared to pass TLS through, and it shows what " + points[i+1].name() + " shows"
	}
	return 0, ""
}

func (w *Ways) declared(p *point, sni string) Declared {
	if p.place < 0 {
		return NotDeclared
	}
	d, _ := w.hops[p.place].declares(sni)
	return d
}

// decide tells who asked, given the point that ends TLS for the client as far as
// is known.
func (w *Ways) decide(p *Path, way *probedWay, points []*point, end int) {
	q := points[end]
	passthrough := w.declared(q, way.sni) == DeclaredPassthrough && end+1 < len(points)
	switch answer := q.answer(); {
	case answer == Unknown:
		p.doubt("what " + q.name() + " wants cannot be told: " + q.says())
	case passthrough && points[end+1].answer() == Unknown:
		p.doubt(fmt.Sprintf("%s is declared to pass TLS through, and of %s nothing is known: %s", q.name(), points[end+1].name(), points[end+1].says()))
	case passthrough:
		p.doubt(fmt.Sprintf("%s is declared to pass TLS through, but shows something else than %s", q.name(), points[end+1].name()))
	case answer == Yes:
		for _, r := range points[end+1:] {
			if r.answer() == Yes && q.alike(r) {
				p.Hops[end].Alike = true
				p.doubt(fmt.Sprintf("%s shows the same certificate and request as %s: it passes TLS through, or is set up alike. "+
					"Declare it (declared: passthrough), or capture between them", q.name(), r.name()))
				return
			}
		}
		p.asked(q, Yes)
	default:
		for _, r := range points[end+1:] {
			asked, told, _ := r.counts()
			switch {
			case asked > 0 && asked < told:
				p.doubt(fmt.Sprintf("%s asked in %d of %d full handshakes, so that %s may not have met what asks behind it", r.name(), asked, told, q.name()))
				return
			case asked > 0:
				p.asked(r, No) // of the hop in front of it, which ends TLS
				return
			}
		}
	}
}

func (p *Path) doubt(text string) { p.Confidence, p.Doubt = "ambiguous", text }

func (p *Path) asked(q *point, reaches Answer) {
	p.Asker, p.AskerName, p.When, p.Reaches = q.asking().server, q.hop, q.when, reaches
}
