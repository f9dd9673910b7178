package attribute

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Run is what a probe found, for comparing it with another run: from before, or
// from another place in the network.
type Run struct {
	kinds map[offer]*offerCounts
	order []offer
	left  int
}

// Bounds of a Run and of what is told of two.
const (
	maxOffers      = 1 << 16
	maxDifferences = 256
)

// offer is a kind of connection; whose hello was sent makes no other kind, so
// that runs with different ones can be compared.
type offer struct {
	server        netip.AddrPort
	sni           string
	version, alpn string
	later         bool
}

func (o *offer) String() string {
	s := o.version
	if o.alpn != "" {
		s += " " + o.alpn
	}
	if o.later {
		s += " post-handshake auth"
	}
	return s
}

type offerCounts struct {
	asked, not int
	demand     Demand
}

// NewRun returns a Run of nothing.
func NewRun() *Run { return &Run{kinds: make(map[offer]*offerCounts)} }

// Add takes what equal probes found into account. What was resumed tells nothing
// and is left out.
func (r *Run) Add(p *Probed) {
	if p.Resume {
		return
	}
	o := offer{p.Server, p.SNI, p.Version, p.ALPN, p.Later}
	c := r.kinds[o]
	if c == nil {
		if len(r.order) == maxOffers {
			r.left++
			return
		}
		c = new(offerCounts)
		r.kinds[o] = c
		r.order = append(r.order, o)
	}
	c.asked += p.Asked
	c.not += p.NotAsked
	c.demand = max(c.demand, p.Demand)
}

// Kinds is how many kinds of connection the run has.
func (r *Run) Kinds() int { return len(r.order) }

// Comparison is what two runs have in common, and what not.
type Comparison struct {
	Findings []Finding
	// Compared kinds of connection are in both runs and told in both; Differ of
	// them are answered otherwise. Untold are in both and not told in one, Single in
	// one run only, and Left were too many to remember.
	Compared, Differ, Untold, Single, Left int
	// More counts findings beyond those listed.
	More int
}

// turn is how the answers of one kind differ.
type turn struct {
	then, now string
	differs   bool
}

// group is what one endpoint answers under one name, by change.
type group struct {
	server netip.AddrPort
	sni    string
	offers map[turn][]offer
	order  []turn
}

// Compare tells what differs between a run then, or there, and one now.
func Compare(then, now *Run) *Comparison {
	out := &Comparison{Left: then.left + now.left}
	var groups []*group
	at := make(map[endpoint]*group)
	for _, o := range append(slices.Clone(then.order), now.order...) {
		t, n := then.kinds[o], now.kinds[o]
		g := at[endpoint{o.server, o.sni}]
		if g == nil {
			g = &group{server: o.server, sni: o.sni, offers: make(map[turn][]offer)}
			at[endpoint{o.server, o.sni}] = g
			groups = append(groups, g)
		}
		c := turn{t.answer(), n.answer(), t.differs(n)}
		if slices.Contains(g.offers[c], o) {
			continue // of both runs
		}
		if g.offers[c] == nil {
			g.order = append(g.order, c)
		}
		g.offers[c] = append(g.offers[c], o)
		out.count(t, n, c)
	}
	out.moved(then, now)
	for _, g := range groups {
		for _, c := range g.order {
			if c.differs && (c.then != "" && c.now != "" || g.single() && !out.moves(g.sni)) {
				out.add(g.finding(c, then, now))
			}
		}
	}
	return out
}

// single reports whether the endpoint is in one run only.
func (g *group) single() bool {
	return !slices.ContainsFunc(g.order, func(c turn) bool { return c.then != "" && c.now != "" })
}

// moves reports whether the runs were found to reach a name at other addresses.
func (c *Comparison) moves(sni string) bool {
	return slices.ContainsFunc(c.Findings, func(f Finding) bool { return f.SNI == sni && !f.Server.IsValid() })
}

func (c *Comparison) count(then, now *offerCounts, d turn) {
	switch {
	case then == nil || now == nil:
		c.Single++
	case then.asked+then.not == 0 || now.asked+now.not == 0:
		c.Untold++
	default:
		c.Compared++
		if d.differs {
			c.Differ++
		}
	}
}

func (c *Comparison) add(f Finding) {
	if len(c.Findings) == maxDifferences {
		c.More++
		return
	}
	c.Findings = append(c.Findings, f)
}

// answer is what counts make of a kind, empty where it is not in a run.
func (c *offerCounts) answer() string {
	switch {
	case c == nil:
		return ""
	case c.asked > 0 && c.not > 0:
		return "sometimes"
	case c.asked > 0:
		return "asked, " + c.demand.String()
	case c.not > 0:
		return "not asked"
	}
	return "untold"
}

// differs reports whether a kind is answered otherwise in another run, or only in
// one. Shares of a pool vary by chance: what their intervals allow is no
// difference, and neither is a demand that one run could not tell.
func (c *offerCounts) differs(d *offerCounts) bool {
	switch {
	case c == nil || d == nil:
		return c != d
	case c.asked+c.not == 0 || d.asked+d.not == 0:
		return c.asked+c.not != d.asked+d.not
	case c.answer() == "sometimes" || d.answer() == "sometimes":
		return !overlap(c.share(), d.share())
	case c.asked > 0 && d.asked > 0:
		return c.demand != d.demand && c.demand != DemandUnknown && d.demand != DemandUnknown
	}
	return c.answer() != d.answer()
}

func (c *offerCounts) share() FactorValue { return FactorValue{Asked: c.asked, Of: c.asked + c.not} }

// finding tells one change at an endpoint.
func (g *group) finding(c turn, then, now *Run) Finding {
	f := Finding{SNI: g.sni, Server: g.server, Factor: "run"}
	before, after := FactorValue{Value: "then"}, FactorValue{Value: "now"}
	var offered []string
	for _, o := range g.offers[c] {
		before.add(then.kinds[o])
		after.add(now.kinds[o])
		offered = append(offered, o.String())
	}
	f.Values = []FactorValue{before, after}
	f.Explains = betterKnowing(before, after)
	where := fmt.Sprintf("%s at %s", cmp.Or(g.sni, "no name"), g.server)
	if len(g.order) > 1 {
		f.Offered = offered
		where += " with " + listed(offered)
	}
	f.Text = fmt.Sprintf("%s: %s then, %s now", where, before.words(c.then), after.words(c.now))
	if f.Explains > 0 && overlap(before, after) {
		f.Text += "; more connections (--repeat) tell whether by chance"
	}
	return f
}

func (v *FactorValue) add(c *offerCounts) {
	if c != nil {
		v.Asked += c.asked
		v.Of += c.asked + c.not
	}
}

// words says what an answer was.
func (v *FactorValue) words(answer string) string {
	_, demand, asked := strings.Cut(answer, ", ")
	switch {
	case answer == "":
		return "not probed"
	case v.Of == 0:
		return "not told"
	case asked && demand != DemandUnknown.String():
		return fmt.Sprintf("asked in %d of %d (%s)", v.Asked, v.Of, demand)
	}
	return fmt.Sprintf("asked in %d of %d", v.Asked, v.Of)
}

// overlap reports whether the confidence intervals of two shares do.
func overlap(a, b FactorValue) bool {
	x, y := Probed{Asked: a.Asked, NotAsked: a.Of - a.Asked}, Probed{Asked: b.Asked, NotAsked: b.Of - b.Asked}
	lowX, highX, _ := x.Interval()
	lowY, highY, _ := y.Interval()
	return lowX <= highY && lowY <= highX
}

// betterKnowing is by how much knowing the run betters a guess.
func betterKnowing(a, b FactorValue) float64 {
	wrong := func(v FactorValue) int { return min(v.Asked, v.Of-v.Asked) }
	all := wrong(FactorValue{Asked: a.Asked + b.Asked, Of: a.Of + b.Of})
	if all == 0 {
		return 0
	}
	return float64(all-wrong(a)-wrong(b)) / float64(all)
}

// listed joins a few of many words.
func listed(words []string) string {
	if len(words) > maxValues {
		return strings.Join(words[:maxValues], ", ") + fmt.Sprintf(" and %d more", len(words)-maxValues)
	}
	return strings.Join(words, ", ")
}

// moved compares names that the two runs reached at other addresses.
func (c *Comparison) moved(then, now *Run) {
	was, order := then.byName()
	is, _ := now.byName()
	for _, sni := range order {
		x, y := was[sni], is[sni]
		if y == nil || x.more || y.more || slices.ContainsFunc(y.servers, func(s string) bool { return slices.Contains(x.servers, s) }) {
			continue
		}
		c.add(Finding{
			SNI: sni, Factor: "run", Values: []FactorValue{{"then", x.Asked, x.Of}, {"now", y.Asked, y.Of}}, Explains: betterKnowing(x.FactorValue, y.FactorValue),
			Text: fmt.Sprintf("%s leads to other addresses: to %s then, asked in %d of %d, and to %s now, in %d of %d",
				cmp.Or(sni, "no name"), listed(x.servers), x.Asked, x.Of, listed(y.servers), y.Asked, y.Of),
		})
	}
}

// nameCounts is what a run found under one name, at whatever address.
type nameCounts struct {
	FactorValue
	servers []string
	more    bool
}

// maxServersOfName bounds nameCounts.servers; names with more are not compared by
// address.
const maxServersOfName = 64

func (r *Run) byName() (at map[string]*nameCounts, order []string) {
	at = make(map[string]*nameCounts)
	for _, o := range r.order {
		n := at[o.sni]
		if n == nil {
			n = new(nameCounts)
			at[o.sni] = n
			order = append(order, o.sni)
		}
		n.add(r.kinds[o])
		switch s := o.server.String(); {
		case slices.Contains(n.servers, s):
		case len(n.servers) == maxServersOfName:
			n.more = true
		default:
			n.servers = append(n.servers, s)
		}
	}
	return at, order
}
