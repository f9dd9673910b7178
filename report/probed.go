package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"whoasked/attribute"
)

// probedLine is what one set of equal probes found.
type probedLine struct {
	Kind        string         `json:"kind"`
	Server      string         `json:"server"`
	Name        string         `json:"name,omitempty"`
	Target      string         `json:"target"`
	SNI         string         `json:"sni,omitempty"`
	Version     string         `json:"version"`
	ALPN        string         `json:"alpn,omitempty"`
	Hello       string         `json:"hello"`
	Resume      bool           `json:"resume,omitempty"`
	Later       bool           `json:"later,omitempty"`
	Sent        int            `json:"sent"`
	Asked       int            `json:"asked"`
	NotAsked    int            `json:"not_asked"`
	Resumed     int            `json:"resumed"`
	Unknown     int            `json:"unknown"`
	Failed      int            `json:"failed"`
	Share       []float64      `json:"share_95,omitempty"`
	When        string         `json:"when,omitempty"`
	Demand      string         `json:"demand"`
	Because     string         `json:"because,omitempty"`
	Reasons     []reasonMember `json:"reasons,omitempty"`
	Connections []uint64       `json:"connections"`
}

// Probed writes a line of kind probe.
func (j *JSON) Probed(p *attribute.Probed) error {
	line := probedLine{
		Kind: "probe", Server: p.Server.String(), Name: p.Hop, Target: p.Target, SNI: p.SNI,
		Version: p.Version, ALPN: p.ALPN, Hello: p.Hello, Resume: p.Resume, Later: p.Later,
		Sent: p.Sent, Asked: p.Asked, NotAsked: p.NotAsked, Resumed: p.Resumed, Unknown: p.Unknown, Failed: p.Failed,
		When: p.When.String(), Demand: p.Demand.String(), Because: p.DemandText,
		Reasons: reasons(p.Reasons), Connections: append([]uint64{}, p.Connections...),
	}
	if low, high, ok := p.Interval(); ok {
		line.Share = []float64{low, high}
	}
	return j.write(&line)
}

// Probed writes a line of kind probe, at level warn where the server asked.
func (l *Log) Probed(p *attribute.Probed) error {
	level := zerolog.InfoLevel
	if p.Asked > 0 {
		level = zerolog.WarnLevel
	}
	e := l.event(level, "probe", l.last)
	if e == nil {
		return l.sink.err
	}
	e.Stringer("server", p.Server)
	str(e, "hop", p.Hop)
	str(e, "sni", p.SNI)
	str(e, "version", p.Version)
	str(e, "alpn", p.ALPN)
	e.Int("sent", p.Sent).Int("asked", p.Asked).Int("failed", p.Failed).Stringer("demand", p.Demand)
	str(e, "because", p.DemandText)
	e.Msg(probedAsked(p))
	return l.sink.err
}

// shownProbes bounds the table of probes in text.
const shownProbes = 512

// Probed takes what equal probes found into account.
func (t *Text) Probed(p *attribute.Probed) error {
	if len(t.probed) == shownProbes {
		t.moreProbed++
		return nil
	}
	k := *p
	k.Connections, k.Reasons = nil, nil
	k.Hop, k.SNI, k.DemandText = tidy(p.Hop), tidy(p.SNI), tidy(p.DemandText)
	if untold(&k) {
		k.DemandText = tidy(commonest(p.Reasons))
	}
	t.probed = append(t.probed, k)
	return nil
}

func commonest(m map[string]int) string {
	best := ""
	for _, text := range slices.Sorted(maps.Keys(m)) {
		if best == "" || m[text] > m[best] {
			best = text
		}
	}
	return best
}

// probeGroup is what was offered to an endpoint under one name, or under several
// where all came of it alike.
type probeGroup struct {
	probed []attribute.Probed
	names  []string
}

// probeGroups puts together names under which an endpoint answers alike.
func (t *Text) probeGroups() []*probeGroup {
	var out []*probeGroup
	alike := make(map[string]*probeGroup)
	for from := 0; from < len(t.probed); {
		first := &t.probed[from]
		to := from
		key := first.Server.String() + first.Hop
		for to < len(t.probed) && t.probed[to].Server == first.Server && t.probed[to].SNI == first.SNI {
			k := &t.probed[to]
			key += "\n" + strings.Join([]string{offered(k), probedAsked(k), probedWants(k), k.DemandText}, "\t")
			to++
		}
		g := alike[key]
		if g == nil {
			g = &probeGroup{probed: t.probed[from:to]}
			alike[key], out = g, append(out, g)
		}
		g.names = append(g.names, cmp.Or(first.SNI, "no name (no SNI)"))
		from = to
	}
	return out
}

// probes writes what was probed: a heading for each endpoint and the names under
// which it answers alike, and a line for each thing offered.
func (t *Text) probes(p *page) {
	for _, g := range t.probeGroups() {
		shown := g.names[:min(len(g.names), 2*shownNames)]
		text := "Probed " + endpointName(g.probed[0].Hop, g.probed[0].Server) + " as " + strings.Join(shown, ", ")
		if n := len(g.names) - len(shown); n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		p.para(0, heading, text)
		probeGrid(p, g.probed)
		p.blank()
	}
	if t.moreProbed > 0 {
		p.line(0, aside, fmt.Sprintf("%d more kinds of connection were probed; --format json has all.", t.moreProbed))
		p.blank()
	}
}

func probeGrid(p *page, probed []attribute.Probed) {
	g := &grid{columns: []column{{title: "Offered"}, {title: "Asked"}, {title: "What it wants", least: 24}}}
	g.cells = append(g.cells, []string{"Offered", "Asked", "What it wants"})
	for i := range probed {
		k := &probed[i]
		g.cells = append(g.cells, []string{offered(k), probedAsked(k), probedWants(k)})
	}
	g.measure()
	g.fit(p.width-2, leastWidth)
	p.line(2, aside, g.line(0))
	because := ""
	for i := range probed {
		k := &probed[i]
		p.line(2, probedStyle(k), g.line(i+1))
		if untold(k) && k.DemandText != "" && k.DemandText != because {
			p.para(5, doubt, "because "+k.DemandText)
			because = k.DemandText
		}
	}
}

// untold reports whether there is a reason why not all is told.
func untold(p *attribute.Probed) bool {
	return p.Asked == 0 && (p.Unknown+p.Failed > 0 || p.Sent == 0)
}

func probedStyle(p *attribute.Probed) style {
	switch {
	case p.Asked > 0:
		return alarm
	case p.NotAsked+p.Resumed == 0:
		return doubt
	}
	return plain
}

// offered says what the client offered.
func offered(p *attribute.Probed) string {
	parts := []string{p.Version}
	if p.ALPN != "" {
		parts = append(parts, p.ALPN)
	}
	if p.Resume {
		parts = append(parts, "resumption")
	}
	if p.Later {
		parts = append(parts, "post-handshake auth")
	}
	return strings.Join(parts, " ")
}

// probedAsked says how often the server asked.
func probedAsked(p *attribute.Probed) string {
	n := p.Asked + p.NotAsked
	switch {
	case p.Sent == 0:
		return "not tried"
	case p.Failed == p.Sent:
		return "no answer"
	case p.Asked == 1 && n == 1:
		return "yes"
	case p.Asked > 0:
		return fmt.Sprintf("%d of %d", p.Asked, n)
	case p.Unknown > 0:
		return "cannot be told"
	case p.NotAsked == 0 && p.Resumed > 0:
		return "no (resumed)"
	case p.NotAsked == 1:
		return "no"
	}
	return fmt.Sprintf("0 of %d", n)
}

// probedWants says how much the server wants a certificate.
func probedWants(p *attribute.Probed) string {
	when := ""
	switch p.When {
	case attribute.InRenegotiation:
		when = "for this path, by renegotiation"
	case attribute.AfterHandshake:
		when = "for this path, after the handshake"
	}
	if p.Asked == 0 {
		return ""
	}
	words := [...]string{
		when, "", "optional", "required (by HTTP)", "required (by TLS)", "took the certificate", "refused the certificate",
	}[p.Demand]
	if p.DemandText != "" && p.Demand > attribute.DemandNone {
		words += ": " + p.DemandText
	}
	return words
}

// measure sets the widths of the columns to those of their cells.
func (g *grid) measure() {
	g.widths = make([]int, len(g.columns))
	for _, line := range g.cells {
		for k, text := range line {
			g.widths[k] = max(g.widths[k], utf8.RuneCountInString(text))
		}
	}
}
