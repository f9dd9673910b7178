package attribute

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// FactorValue is one value of a Finding's factor: asked in so many of so many
// full handshakes.
type FactorValue struct {
	Value     string
	Asked, Of int
}

// Finding is what tells asked from not asked where both occur.
type Finding struct {
	SNI    string // the name it is about
	Factor string // "server", "backend", "certificate", "alpn", "version", "client", "time", "resumption", "run"
	Values []FactorValue
	// Explains is by how much knowing the factor betters a guess, from 0 to 1: the
	// share of wrong guesses that it makes right (Goodman and Kruskal's lambda).
	Explains float64
	// At is when the answer changed; factor "time" only.
	At time.Time
	// Server and Offered are what a finding of the factor "run" is about: an
	// endpoint, and kinds of connection if not all are meant.
	Server  netip.AddrPort
	Offered []string
	Text    string
}

// A factor is a row: how sessions differ that may tell asked from not asked.
type factor struct {
	name  string
	title string // "the …"
	value func(*joiner, *session) string
}

// factors is in order of preference: of two that explain as much the first is
// told. Whether a certificate was asked for is not among what they look at.
var factors = []factor{
	{"server", "server address", func(_ *joiner, s *session) string { return s.first().server.String() }},
	{"backend", "endpoint behind what passes TLS through", func(_ *joiner, s *session) string { return s.last().server.String() }},
	{"certificate", "server's certificate", func(_ *joiner, s *session) string {
		if s.last().cert == [8]byte{} {
			return ""
		}
		return fmt.Sprintf("%x…", s.last().cert)
	}},
	{"alpn", "application protocol", func(j *joiner, s *session) string { return cmp.Or(j.names.text(s.first().alpn), "none") }},
	{"version", "TLS version", func(_ *joiner, s *session) string { return s.first().version.String() }},
	{"client", "client", func(_ *joiner, s *session) string { return s.first().client.Addr().String() }},
}

// Bounds of the search for findings.
const (
	// maxSample is how many sessions of a name are looked at, evenly spread.
	maxSample = 256
	// shuffles is how often labels are shuffled to see what chance does; a factor
	// stands only if no shuffle does as well, and few factors were tried: the
	// chance of a false finding about a name is about 1 in 1,000.
	shuffles   = 9999
	maxChance  = 0.001
	leastShare = 0.5 // a factor explains at least this much
	maxNames   = 256
	maxValues  = 8 // of a factor that are told
)

// findings looks at each name that was asked in some full handshakes and not in
// others.
func (j *joiner) findings() []Finding {
	byName := make(map[uint32][]*session)
	var names []uint32
	for _, s := range j.sessions {
		l := s.first()
		if s.outer || l.sni == 0 || s.asked().asked == Unknown {
			continue
		}
		if byName[l.sni] == nil {
			if len(names) == maxNames {
				continue
			}
			names = append(names, l.sni)
		}
		byName[l.sni] = append(byName[l.sni], s)
	}
	var out []Finding
	for _, n := range names {
		rest, full, resumed, asked := splitResumed(byName[n])
		name := j.names.text(n)
		if f, ok := j.best(name, rest); ok {
			out = append(out, f)
		}
		if f, ok := resumption(name, full, resumed, asked); ok {
			out = append(out, f)
		}
	}
	return out
}

// splitResumed sorts out the sessions that were resumed and not asked. resumed and
// asked count only what ended at an endpoint that does ask, and full its full
// handshakes: of one that never asks, resuming hides nothing.
func splitResumed(all []*session) (rest []*session, full, resumed, asked int) {
	asks := make(map[netip.AddrPort]bool)
	for _, s := range all {
		if s.asked().asked == Yes {
			asks[s.last().server] = true
		}
	}
	for _, s := range all {
		a, counts := s.asked(), asks[s.last().server]
		if a.resumed && a.asked == No {
			if counts {
				resumed++
			}
			continue
		}
		rest = append(rest, s)
		if counts {
			full++
		}
		if a.asked == Yes {
			asked++
		}
	}
	return rest, full, resumed, asked
}

// resumption is no matter of chance: a resumed session cannot be asked in its
// handshake (RFC 8446 §4.3.2).
func resumption(name string, full, resumed, asked int) (Finding, bool) {
	if resumed == 0 || asked == 0 {
		return Finding{}, false
	}
	quiet := full - asked + resumed
	return Finding{
		SNI: name, Factor: "resumption", Explains: float64(resumed) / float64(quiet),
		Values: []FactorValue{{"full handshake", asked, full}, {"resumed", 0, resumed}},
		Text:   resumptionText(name, resumed, quiet),
	}, true
}

func resumptionText(name string, resumed, quiet int) string {
	of := fmt.Sprintf("%d of the %d connections that were not asked", resumed, quiet)
	switch {
	case quiet == 1:
		of = "the one connection that was not asked"
	case resumed == quiet:
		of = fmt.Sprintf("all %d connections that were not asked", quiet)
	}
	return name + ": " + of + " had resumed a session, and a resumed session cannot be asked"
}

// sample is sessions with their labels.
type sample struct {
	sessions []*session
	asked    []bool
	yes      int
	counts   []int // scratch of lambda
}

// best finds the factor that explains most, if any does better than chance.
func (j *joiner) best(name string, all []*session) (Finding, bool) {
	s := newSample(all)
	if s.yes == 0 || s.yes == len(s.asked) {
		return Finding{}, false
	}
	var tried []Finding
	var classes [][]int
	for _, f := range factors {
		class, values := j.classify(f, s)
		if len(values) < 2 || f.name == "backend" && slices.Equal(class, firstOf(classes)) {
			continue
		}
		tried = append(tried, Finding{SNI: name, Factor: f.name, Values: values, Explains: s.lambda(class, len(values))})
		classes = append(classes, class)
	}
	at, split := s.change()
	tests := len(tried) + 1
	best := -1
	for i := range tried {
		if tried[i].Explains >= leastShare && (best < 0 || tried[i].Explains > tried[best].Explains) {
			best = i
		}
	}
	switch {
	case best >= 0 && tried[best].Explains >= split && s.beatsChance(tests, len(tried[best].Values), tried[best].Explains, func(x *sample) float64 {
		return x.lambda(classes[best], len(tried[best].Values))
	}):
		f := tried[best]
		f.tell()
		return f, true
	case split >= leastShare && s.beatsChance(tests, 2, split, func(x *sample) float64 { _, e := x.change(); return e }):
		return s.changed(name, at, split), true
	}
	return Finding{}, false
}

func firstOf(classes [][]int) []int {
	if len(classes) == 0 {
		return nil
	}
	return classes[0]
}

// newSample takes at most maxSample sessions, evenly spread over time.
func newSample(all []*session) *sample {
	s := &sample{}
	step := max(1, (len(all)+maxSample-1)/maxSample)
	for i := 0; i < len(all); i += step {
		yes := all[i].asked().asked == Yes
		s.sessions = append(s.sessions, all[i])
		s.asked = append(s.asked, yes)
		if yes {
			s.yes++
		}
	}
	return s
}

// classify numbers the values of a factor; sessions without one are class -1.
func (j *joiner) classify(f factor, s *sample) (class []int, values []FactorValue) {
	at := make(map[string]int)
	for i, x := range s.sessions {
		v := f.value(j, x)
		if v == "" {
			class = append(class, -1)
			continue
		}
		k, known := at[v]
		if !known {
			k = len(values)
			at[v] = k
			values = append(values, FactorValue{Value: v})
		}
		class = append(class, k)
		values[k].Of++
		if s.asked[i] {
			values[k].Asked++
		}
	}
	return class, values
}

// lambda is by how much knowing the class betters a guess.
func (s *sample) lambda(class []int, n int) float64 {
	if len(s.counts) < 2*(n+1) {
		s.counts = make([]int, 2*(n+1))
	}
	yes, all := s.counts[:n+1], s.counts[n+1:2*(n+1)]
	clear(yes)
	clear(all)
	for i, k := range class {
		all[k+1]++
		if s.asked[i] {
			yes[k+1]++
		}
	}
	right := 0
	for k := range all {
		right += max(yes[k], all[k]-yes[k])
	}
	return s.betters(right)
}

func (s *sample) betters(right int) float64 {
	guess := max(s.yes, len(s.asked)-s.yes)
	return float64(right-guess) / float64(len(s.asked)-guess)
}

// change finds where in time the answer changes, and how much that explains. at
// is the first session behind it.
func (s *sample) change() (at int, explains float64) {
	before, best := 0, 0 // asked before i
	for i := 1; i < len(s.asked); i++ {
		if s.asked[i-1] {
			before++
		}
		after := s.yes - before
		right := max(before+len(s.asked)-i-after, i-before+after)
		if right > best {
			best, at = right, i
		}
	}
	return at, s.betters(best)
}

// beatsChance reports whether shuffled labels never do as well, given how many
// factors were tried. classes is how many values the factor has.
func (s *sample) beatsChance(tests, classes int, got float64, measure func(*sample) float64) bool {
	if got == 1 && s.unlikely(classes) < maxChance/float64(tests) {
		return true // no need to try
	}
	allowed := int(maxChance/float64(tests)*(shuffles+1)) - 1
	x := &sample{sessions: s.sessions, asked: slices.Clone(s.asked), yes: s.yes}
	rng := rand.New(rand.NewPCG(1, uint64(len(s.asked)))) // the same capture gives the same answer
	hits := 0
	for range shuffles {
		rng.Shuffle(len(x.asked), func(i, k int) { x.asked[i], x.asked[k] = x.asked[k], x.asked[i] })
		if measure(x) >= got {
			if hits++; hits > allowed {
				return false
			}
		}
	}
	return true
}

// unlikely bounds the chance that classes which differ by chance alone separate
// the labels without a mistake: of all ways to lay out so many yes among so many,
// no more than 2^classes are the same throughout each class.
func (s *sample) unlikely(classes int) float64 {
	n, k := float64(len(s.asked)), float64(s.yes)
	lgamma := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
	ways := lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1)
	return math.Exp(float64(classes)*math.Ln2 - ways)
}

// tell sorts the values and puts the finding into words.
func (f *Finding) tell() {
	slices.SortStableFunc(f.Values, func(x, y FactorValue) int {
		return cmp.Or(cmp.Compare(float64(y.Asked)/float64(y.Of), float64(x.Asked)/float64(x.Of)), cmp.Compare(y.Of, x.Of))
	})
	title := ""
	for _, row := range factors {
		if row.name == f.Factor {
			title = row.title
		}
	}
	f.Text = fmt.Sprintf("%s: the %s tells who is asked: ", f.SNI, title)
	for i, v := range f.Values {
		if i == maxValues {
			f.Text += fmt.Sprintf(" and %d more", len(f.Values)-i)
			break
		}
		if i > 0 {
			f.Text += ", "
		}
		f.Text += fmt.Sprintf("%s in %d of %d", v.Value, v.Asked, v.Of)
	}
	f.Values = f.Values[:min(len(f.Values), 4*maxValues)]
}

// changed is a finding about time.
func (s *sample) changed(name string, at int, explains float64) Finding {
	before, after := FactorValue{Value: "before", Of: at}, FactorValue{Value: "from then on", Of: len(s.asked) - at}
	for i, yes := range s.asked {
		switch {
		case yes && i < at:
			before.Asked++
		case yes:
			after.Asked++
		}
	}
	when := s.sessions[at].first().start
	f := Finding{
		SNI: name, Factor: "time", Explains: explains, Values: []FactorValue{before, after},
		At: time.Unix(0, when).UTC(),
	}
	f.Text = fmt.Sprintf("%s: the answer changed at %s UTC: asked in %d of %d before, in %d of %d from then on",
		name, f.At.Format("15:04:05"), before.Asked, before.Of, after.Asked, after.Of)
	return f
}
