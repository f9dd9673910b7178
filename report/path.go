package report

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/rs/zerolog"

	"whoasked/attribute"
)

type pathLine struct {
	Kind       string      `json:"kind"`
	ID         int         `json:"id"`
	Time       string      `json:"time,omitempty"`
	Client     string      `json:"client"`
	SNI        string      `json:"sni,omitempty"`
	Hops       []hopMember `json:"hops"`
	Chain      string      `json:"chain"`
	Asker      string      `json:"asker,omitempty"`
	AskerName  string      `json:"asker_name,omitempty"`
	Place      string      `json:"place,omitempty"`
	Because    string      `json:"place_because,omitempty"`
	When       string      `json:"when,omitempty"`
	Reaches    *bool       `json:"reaches_client,omitempty"`
	Confidence string      `json:"confidence"`
	Doubt      string      `json:"doubt,omitempty"`
	Probed     bool        `json:"probed,omitempty"`
}

type hopMember struct {
	Connection uint64 `json:"connection"`
	Server     string `json:"server"`
	Name       string `json:"name,omitempty"`
	Asked      string `json:"asked"`
	Passes     bool   `json:"passes_through,omitempty"`
	Alike      bool   `json:"asks_alike,omitempty"`
	JoinedBy   string `json:"joined_by,omitempty"`
	Evidence   string `json:"evidence,omitempty"`

	Signs []signMember `json:"signs,omitempty"`
}

// Path writes a line of kind path.
func (j *JSON) Path(p *attribute.Path) error {
	line := pathLine{
		Kind: "path", ID: p.ID, Time: stamp(p.Start), Client: p.Client.String(), SNI: p.SNI, Chain: p.Chain(),
		AskerName: p.AskerName, When: p.When.String(), Confidence: p.Confidence, Doubt: p.Doubt, Probed: p.Probed,
	}
	if p.Asker.IsValid() {
		line.Asker = p.Asker.String()
		line.Place, line.Because = p.Place.String(), p.PlaceBecause
	}
	if p.Reaches != attribute.Unknown {
		yes := p.Reaches == attribute.Yes
		line.Reaches = &yes
	}
	for i := range p.Hops {
		h := &p.Hops[i]
		line.Hops = append(line.Hops, hopMember{
			Connection: h.Connection, Server: h.Server.String(), Name: h.Name, Asked: h.Asked.String(),
			Passes: h.Passes, Alike: h.Alike, JoinedBy: h.JoinedBy, Evidence: h.Evidence,
			Signs: signs(h.Signs),
		})
	}
	return j.write(&line)
}

type findingLine struct {
	Kind     string        `json:"kind"`
	SNI      string        `json:"sni,omitempty"`
	Factor   string        `json:"factor"`
	Values   []valueMember `json:"values"`
	Also     []string      `json:"also,omitempty"`
	Explains float64       `json:"explains"`
	Time     string        `json:"time,omitempty"`
	Server   string        `json:"server,omitempty"`
	Offered  []string      `json:"offered,omitempty"`
	Text     string        `json:"text"`
}

type valueMember struct {
	Value string `json:"value"`
	Asked int    `json:"asked"`
	Of    int    `json:"of"`
}

// Finding writes a line of kind finding.
func (j *JSON) Finding(f *attribute.Finding) error {
	line := findingLine{Kind: "finding", SNI: f.SNI, Factor: f.Factor, Also: f.Also, Explains: f.Explains, Time: stamp(f.At), Offered: f.Offered, Text: f.Text}
	if f.Server.IsValid() {
		line.Server = f.Server.String()
	}
	for _, v := range f.Values {
		line.Values = append(line.Values, valueMember(v))
	}
	return j.write(&line)
}

// Path writes a line for each hop.
func (l *Log) Path(p *attribute.Path) error {
	for i := range p.Hops {
		h := &p.Hops[i]
		level := zerolog.InfoLevel
		if h.Asked == attribute.Yes {
			level = zerolog.WarnLevel
		}
		e := l.event(level, "hop", p.Start)
		if e == nil {
			continue
		}
		e.Int("path", p.ID).Int("hop_number", i+1).Int("of", len(p.Hops)).Stringer("server", h.Server)
		str(e, "hop", h.Name)
		str(e, "sni", p.SNI)
		e.Stringer("asked", h.Asked)
		if h.Passes {
			e.Bool("passes_through", true)
		}
		if p.Asker.IsValid() {
			e.Stringer("asker", p.Asker).Stringer("place", p.Place)
		}
		if p.Reaches != attribute.Unknown {
			e.Bool("reaches_client", p.Reaches == attribute.Yes)
		}
		str(e, "joined_by", h.JoinedBy)
		if len(h.Signs) > 0 {
			e.Strs("signs", signKinds(h.Signs))
		}
		str(e, "confidence", p.Confidence)
		e.Msg(tidy(p.Chain()))
	}
	return l.sink.err
}

// Finding writes a line.
func (l *Log) Finding(f *attribute.Finding) error {
	e := l.event(zerolog.InfoLevel, "finding", l.last)
	if e == nil {
		return l.sink.err
	}
	str(e, "sni", f.SNI)
	str(e, "factor", f.Factor)
	e.Float64("explains", f.Explains).Msg(tidy(f.Text))
	return l.sink.err
}

// Bounds of what text tells about ways.
const (
	shownWays     = 8
	shownFindings = 8
	maxWays       = 1024
)

// way is paths that look alike.
type way struct {
	attribute.Path // of the first one
	chain          string
	count          int
	clients        int
}

// Path takes a path into account.
func (t *Text) Path(p *attribute.Path) error {
	chain := tidy(strings.TrimPrefix(p.Chain(), p.Client.Addr().String()))
	key := p.SNI + "\x00" + chain + p.Joins
	if i, known := t.wayAt[key]; known {
		w := &t.ways[i]
		w.count++
		if w.Client.Addr() != p.Client.Addr() {
			w.clients++
		}
		return nil
	}
	if len(t.ways) == maxWays {
		t.moreWays++
		return nil
	}
	if t.wayAt == nil {
		t.wayAt = make(map[string]int)
	}
	t.wayAt[key] = len(t.ways)
	t.ways = append(t.ways, way{Path: *p, chain: chain, count: 1})
	return nil
}

// Finding takes a finding into account.
func (t *Text) Finding(f *attribute.Finding) error {
	list := &t.findings
	if f.Factor == "run" {
		list = &t.differences
	}
	list.add(tidy(f.Text))
	return nil
}

// points are the first few of many sentences.
type points struct {
	kept []string
	more int
}

func (l *points) add(text string) {
	if len(l.kept) == shownFindings {
		l.more++
		return
	}
	l.kept = append(l.kept, text)
}

func (l *points) write(p *page, title string) {
	if len(l.kept) == 0 {
		return
	}
	p.blank()
	p.line(0, heading, title)
	for _, f := range l.kept {
		p.item(f)
	}
	if l.more > 0 {
		p.line(4, plain, fmt.Sprintf("+ %d more; --format json tells all", l.more))
	}
}

// way writes the ways that connections took through several hops.
func (t *Text) way(p *page) {
	if len(t.ways) == 0 {
		return
	}
	p.line(0, heading, "The way")
	for i := range t.ways[:min(len(t.ways), shownWays)] {
		w := &t.ways[i]
		client := w.Client.Addr().String()
		if w.clients > 0 {
			client = "clients"
		}
		p.item(cmp.Or(tidy(w.SNI), "no name")+": "+client+w.chain, w.words()...)
		w.hops(p)
		for i := range w.Hops {
			h := &w.Hops[i]
			for _, text := range t.signs(h.Server, h.Signs) {
				p.para(6, plain, endpointName(tidy(h.Name), h.Server)+": "+text)
			}
		}
	}
	if n := len(t.ways) - shownWays + t.moreWays; n > 0 && len(t.ways) > shownWays {
		p.line(4, plain, fmt.Sprintf("+ %d more; --format json tells all", n))
	}
	p.blank()
}

// words says of a way what a person at the client gets of it, and how sure that
// is.
func (w *way) words() []string {
	var out []string
	asker := tidy(w.AskerName)
	if asker == "" && w.Asker.IsValid() {
		asker = w.Asker.String()
	}
	switch w.Place {
	case attribute.AtOrBehind:
		asker += ", or of what stands behind it if it passes TLS through,"
	case attribute.Behind:
		asker = "what stands behind " + asker
	}
	switch {
	case w.Doubt != "":
		out = append(out, "Not certain: "+w.Doubt+".")
	case !w.Asker.IsValid() && w.Probed:
		out = append(out, "The client is not asked.")
	case !w.Asker.IsValid():
	case w.Reaches == attribute.Yes:
		out = append(out, "The request of "+asker+" reaches the client: a browser there shows its dialog.")
	case w.Reaches == attribute.No:
		out = append(out, "The request of "+asker+" goes to the hop before it and never reaches the client.")
	default:
		if !w.Probed {
			out = append(out, "What stands in front of the first leg was not captured.")
		}
	}
	if w.Probed {
		return out
	}
	how := plural(w.count, "connection") + ", joined by"
	seen := ""
	for i := range w.Hops {
		if by := w.Hops[i].JoinedBy; by != "" && by != seen {
			how += " " + by
			seen = by
		}
	}
	return append(out, how+" ("+w.Joins+")")
}

// hops writes what probing each hop found.
func (w *way) hops(p *page) {
	if !w.Probed {
		return
	}
	for i := range w.Hops {
		h := &w.Hops[i]
		p.para(6, plain, endpointName(tidy(h.Name), h.Server)+": "+tidy(h.Evidence))
	}
	p.para(6, aside, "The order of the hops is that of the settings.")
}

// sometimes writes what tells asked from not asked, and what differs from another
// run.
func (t *Text) sometimes(p *page) {
	t.findings.write(p, "Why only sometimes")
	t.differences.write(p, "What differs")
}

// passing writes which endpoints only pass TLS through.
func (t *Text) passing(p *page) {
	if len(t.passes.kept) == 0 {
		return
	}
	p.blank()
	p.line(0, heading, "Passes TLS through")
	for i := range t.passes.kept {
		a := &t.passes.kept[i]
		p.item(fmt.Sprintf("%s: %s, to %s, which asked", a.who(), plural(a.Passes, "connection"), endpointName(tidy(a.PassesToName), a.PassesTo)))
	}
	t.passes.rest(p)
}
