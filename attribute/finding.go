package attribute

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	SNI string // the name it is about; empty for factor "sni"
	// Factor is the name of a row of factors, or "time", "capture", "resumption",
	// "path", "sni", "run".
	Factor string
	Values []FactorValue
	// Also are factors that tell asked from not asked as well as this one: which of
	// them decides, the connections do not show.
	Also []string
	// Explains is by how much knowing the factor betters a guess, from 0 to 1: the
	// share of wrong guesses that it makes right (Goodman and Kruskal's lambda).
	Explains float64
	// At is when the answer changed; factor "time" only.
	At time.Time
	// Server is the endpoint that a finding of the factor "run" or "sni" is about;
	// Offered, of "run", are kinds of connection if not all are meant.
	Server  netip.AddrPort
	Offered []string
	Text    string
}

// A factor is a row: how sessions differ that may tell asked from not asked.
type factor struct {
	name  string
	title string // "the …"
	// follows are factors whose values bring those of this one along, so that it
	// says nothing more where they explain as much.
	follows []string
	value   func(*joiner, *session) string // empty where it is not known
}

// factors is in order of preference: of those that explain as much the first is
// told, and the others are named beside it. Whether a certificate was asked for
// is not among what they look at: so the request itself is none of them.
var factors = []factor{
	{"server", "server address", nil, func(_ *joiner, s *session) string { return s.first().server().String() }},
	{"backend", "endpoint behind what passes TLS through", []string{"server"}, func(_ *joiner, s *session) string { return s.last().server().String() }},
	{"certificate", "server's certificate", []string{"server", "backend"}, func(_ *joiner, s *session) string {
		if s.last().cert == [8]byte{} {
			return ""
		}
		return fmt.Sprintf("%x…", s.last().cert)
	}},
	{"clock", "server's TCP timestamp clock", []string{"server", "backend", "certificate"}, func(_ *joiner, s *session) string {
		if s.last().machine == 0 || !s.last().is(openedAlone) {
			return ""
		}
		return fmt.Sprintf("clock %d", s.last().machine)
	}},
	{"hop-limit", "hop limit of the server's SYN-ACK", []string{"server", "backend", "certificate", "clock"}, func(_ *joiner, s *session) string {
		if !s.last().is(openedSYNACK | openedAlone) {
			return ""
		}
		return fmt.Sprint(s.last().ttl[ofServer])
	}},
	{"alpn", "application protocol", nil, func(j *joiner, s *session) string { return cmp.Or(j.names.text(s.first().alpn), "none") }},
	{"version", "TLS version", nil, func(_ *joiner, s *session) string { return s.first().version.String() }},
	{"client", "client", nil, func(_ *joiner, s *session) string { return s.first().client().Addr().String() }},
	{"ja4", "client's software (JA4 of its ClientHello)", nil, func(j *joiner, s *session) string { return j.clientPrints.text(s.first().clientPrint) }},
	{"ja3s", "server's software (JA3S of its ServerHello)", []string{"server", "backend", "alpn", "version"}, func(j *joiner, s *session) string {
		return j.serverPrints.text(s.last().serverPrint)
	}},
}

// captured is the last row, behind time: two captures of different days or places are
// no roll-out.
var captured = factor{"capture", "capture", []string{"server", "backend", "client"}, func(j *joiner, s *session) string {
	return j.captures.text(s.first().capture)
}}

// Bounds of the search for findings.
const (
	// maxSample is how many sessions of a name are looked at, evenly spread.
	maxSample = 256
	// maxChance is the greatest chance of a false finding about a name. It is shared
	// among all that is tried for it: the more factors, the less is left for each.
	maxChance = 0.0005
	// shuffles is how often labels are shuffled at least to see what chance does.
	shuffles   = 9999
	leastShare = 0.5 // a factor explains at least this much
	maxNames   = 256
	maxValues  = 5 // of a factor that are told in words
)

// findings looks at each name that was asked in some full handshakes and not in
// others, and at each address that clients without a name came to.
func (j *joiner) findings() []Finding {
	var names grouped[uint32]
	var servers grouped[netip.AddrPort]
	nameless := make(map[netip.AddrPort]bool)
	for _, s := range j.sessions {
		switch l := s.first(); {
		case s.outer || s.asked().asked == Unknown:
		case l.sni != 0:
			names.add(l.sni, s)
		case len(nameless) < maxNames:
			nameless[l.server()] = true
		}
	}
	for _, s := range j.sessions {
		if a := s.asked(); len(nameless) > 0 && !s.outer && a.asked != Unknown && !a.hidden() && nameless[s.first().server()] {
			servers.add(s.first().server(), s)
		}
	}
	var out []Finding
	add := func(f Finding, ok bool) {
		if ok {
			out = append(out, f)
		}
	}
	for _, n := range names.keys {
		rest, full, resumed, asked := splitResumed(names.of[n])
		name := j.names.text(n)
		add(j.best(name, rest))
		add(byPath(name, rest))
		add(resumption(name, full, resumed, asked))
	}
	for _, server := range servers.keys {
		add(j.byName(server, servers.of[server]))
	}
	return out
}

// grouped is sessions by something that they have in common, of which there are no
// more than maxNames, in the order met.
type grouped[K comparable] struct {
	keys []K
	of   map[K][]*session
}

func (g *grouped[K]) add(k K, s *session) {
	if g.of == nil {
		g.of = make(map[K][]*session)
	}
	if g.of[k] == nil {
		if len(g.keys) == maxNames {
			return
		}
		g.keys = append(g.keys, k)
	}
	g.of[k] = append(g.of[k], s)
}

// candidate is a factor that was tried.
type candidate struct {
	Finding
	title   string
	follows []string
	classes int                   // at most so many, with that of no value
	measure func(*sample) float64 // what it explains of other labels
}

// best finds the factor that explains most of those that do better than chance,
// if any does, and names those beside it that explain as much.
func (j *joiner) best(name string, all []*session) (Finding, bool) {
	s := newSample(all)
	if s.yes == 0 || s.yes == len(s.asked) {
		return Finding{}, false
	}
	tried := j.tried(name, s)
	tests := len(tried)
	tried = slices.DeleteFunc(tried, func(c candidate) bool { return c.Explains < leastShare })
	slices.SortStableFunc(tried, func(x, y candidate) int { return cmp.Compare(y.Explains, x.Explains) })
	var found *candidate
	var also []string // titles
	for i := range tried {
		c := &tried[i]
		switch {
		case found == nil && s.beatsChance(tests, c):
			found = c
		case found == nil || c.Explains < found.Explains || slices.Contains(c.follows, found.Factor):
		case s.beatsChance(tests, c):
			found.Also = append(found.Also, c.Factor)
			also = append(also, "the "+c.title)
		}
	}
	if found == nil {
		return Finding{}, false
	}
	if len(also) > 0 {
		found.Text += fmt.Sprintf("; as much is told by %s, and which of them decides, these connections do not show", strings.Join(also, " and by "))
	}
	if (found.Factor == "server" || found.Factor == "backend") && slices.Contains(found.Also, "client") {
		found.Text += "; no client came to both sides, which may as well be two legs of one way, or two places"
	}
	return found.Finding, true
}

// tried lists what each factor explains of a sample, then what time and the capture do.
func (j *joiner) tried(name string, s *sample) []candidate {
	var out []candidate
	var first []int // classes of the first row
	try := func(f *factor) {
		class, values := j.classify(f, s)
		if f == &factors[0] {
			first = class
		}
		if len(values) < 2 || f.name == "backend" && slices.Equal(class, first) {
			return
		}
		c := s.classified(Finding{SNI: name, Factor: f.name}, class, values)
		c.title, c.follows = f.title, f.follows
		c.tell(f.title)
		out = append(out, c)
	}
	for i := range factors {
		try(&factors[i])
	}
	at, explains := s.change()
	f := s.changed(name, at, explains)
	out = append(out, candidate{
		Finding: f, title: "time, with a change at " + f.At.Format("15:04:05") + " UTC", classes: 2,
		measure: func(x *sample) float64 { _, e := x.change(); return e },
	})
	try(&captured)
	return out
}

// classify numbers the values of a factor; sessions without one are class -1.
func (j *joiner) classify(f *factor, s *sample) (class []int, values []FactorValue) {
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

// tell sorts the values and puts the finding into words.
func (f *Finding) tell(title string) {
	slices.SortStableFunc(f.Values, func(x, y FactorValue) int {
		return cmp.Or(cmp.Compare(float64(y.Asked)/float64(y.Of), float64(x.Asked)/float64(x.Of)), cmp.Compare(y.Of, x.Of))
	})
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
