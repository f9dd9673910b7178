package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"whoasked/attribute"
	"whoasked/parse"
)

// askedMember is what came of asking an endpoint itself.
type askedMember struct {
	Time     string   `json:"time"`
	Asked    string   `json:"asked"`
	Standing string   `json:"standing"`
	Version  string   `json:"version,omitempty"`
	ALPN     string   `json:"alpn,omitempty"`
	Hello    string   `json:"hello"`
	Because  []string `json:"because"`
	requestMembers
}

// requestMembers are what a CertificateRequest asks for.
type requestMembers struct {
	Authorities         []string `json:"authorities,omitzero"`
	CertificateTypes    []string `json:"certificate_types,omitempty"`
	SignatureAlgorithms []string `json:"signature_algorithms,omitempty"`
	RequestExtensions   []uint16 `json:"request_extensions,omitempty"`
}

// request takes what a CertificateRequest asks for.
func (m *requestMembers) request(r *parse.CertificateRequest) {
	m.Authorities = r.Authorities
	if m.Authorities == nil && r.Malformed == "" {
		m.Authorities = []string{} // it names none
	}
	m.RequestExtensions = r.Extensions
	for _, t := range r.Types {
		m.CertificateTypes = append(m.CertificateTypes, parse.ClientCertificateTypeName(t))
	}
	for _, s := range r.SignatureAlgorithms {
		m.SignatureAlgorithms = append(m.SignatureAlgorithms, parse.SignatureSchemeName(s))
	}
}

func askedItself(a *attribute.Asker) *askedMember {
	c := a.Probe
	if c == nil {
		return nil
	}
	m := &askedMember{
		Time: stamp(c.At), Asked: c.Asked.String(), Standing: a.Standing().String(),
		Version: c.Version, ALPN: c.ALPN, Hello: c.Hello, Because: append([]string{}, c.Because...),
	}
	if c.Request != nil {
		m.request(c.Request)
	}
	return m
}

// asks adds what came of asking the endpoint itself to a line of a log.
func asks(e *zerolog.Event, a *attribute.Asker) {
	c := a.Probe
	if c == nil {
		return
	}
	e.Stringer("probe_asked", c.Asked).Stringer("probe_standing", a.Standing())
	if datable(c.At) {
		e.Str("probe_time", stamp(c.At))
	}
	if len(c.Because) > 0 {
		str(e, "probe_because", strings.Join(c.Because, "; "))
	}
}

// silent reports whether there is no line to write about an endpoint: it never
// asked, nothing is declared of it, and nobody asked it.
func silent(a *attribute.Asker) bool {
	return a.Asked == 0 && a.Declared == attribute.NotDeclared && a.Probe == nil
}

// probeWords says what a probe found, and how that stands to the capture.
func (c *counted) probeWords() string {
	p := c.Probe
	if p == nil {
		return ""
	}
	at, how := p.At.UTC().Format("2006-01-02 15:04:05 UTC"), tidy(strings.Join(words(p), ", "))
	if p.Asked == attribute.Unknown {
		return "a probe on " + at + " (" + how + ") told nothing: " + tidy(strings.Join(p.Because, "; "))
	}
	did := "did not ask"
	if p.Asked == attribute.Yes {
		did = "asked"
	}
	text := fmt.Sprintf("on %s it %s a client of our own (%s)", at, did, how)
	switch c.Standing() {
	case attribute.StandsTells:
		return "told by a probe: " + text
	case attribute.StandsConfirms:
		return "confirmed by a probe: " + text
	case attribute.StandsContradicts:
		return "CONTRADICTED by a probe: " + text + "; it was changed since, or asks some clients only"
	}
	return "a probe decides nothing, as not all connections were asked: " + text
}

// probed is probeWords as paragraphs.
func (c *counted) probed() []string {
	if text := c.probeWords(); text != "" {
		return []string{text}
	}
	return nil
}

func words(p *attribute.Confirmation) []string {
	all := []string{p.Version, p.ALPN}
	if p.Hello != "" {
		all = append(all, "hello of "+p.Hello)
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// found writes of the endpoints that asked a probe, and of which the capture does
// not tell.
func (t *Text) found(p *page) {
	for i := range t.probedYes.kept {
		a := &t.probedYes.kept[i]
		p.para(0, alarm, a.who()+" asks for a client certificate: it asked when probed. What was captured does not tell.")
		p.field("How we know", a.probed()...)
		text, more := a.untold()
		p.field("Captured", append([]string{text}, more...)...)
		var pr proof
		pr.take(a.Probe.Request)
		p.field("Accepts", pr.accepts()...)
		p.blank()
	}
	t.probedYes.rest(p)
}
