package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"whoasked/attribute"
)

// traceLine is where connections to one endpoint end.
type traceLine struct {
	Kind        string     `json:"kind"`
	Server      string     `json:"server"`
	Name        string     `json:"name,omitempty"`
	Target      string     `json:"target"`
	SNI         string     `json:"sni,omitempty"`
	Interrupted bool       `json:"interrupted,omitempty"`
	RawICMP     bool       `json:"raw_icmp"`
	Hops        []traceHop `json:"hops"`
	TCPHop      int        `json:"tcp_hop,omitempty"`
	TLSHop      int        `json:"tls_hop,omitempty"`
	AddressHop  int        `json:"address_hop,omitempty"`
	EndedBy     string     `json:"ended_by"`
	Behind      string     `json:"behind,omitempty"`
	AtOrBefore  string     `json:"at_or_before,omitempty"`
	Evidence    []string   `json:"evidence,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Asked       string     `json:"asked"`
	AskedReason string     `json:"asked_reason,omitempty"`
	Connections []uint64   `json:"connections"`
}

type traceHop struct {
	TTL     int         `json:"ttl"`
	Routers []string    `json:"routers,omitempty"`
	SYN     *traceTally `json:"syn,omitempty"`
	Hello   *traceTally `json:"hello,omitempty"`
	Address *traceTally `json:"address,omitempty"`
}

type traceTally struct {
	Outcome string  `json:"outcome"`
	Sent    int     `json:"sent"`
	Resent  int     `json:"resent,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Said    string  `json:"said,omitempty"`
	Failure string  `json:"failure,omitempty"`
}

// Trace writes a line of kind trace.
func (j *JSON) Trace(t *attribute.Trace) error {
	v := t.Judge()
	line := traceLine{
		Kind: "trace", Server: t.Server.String(), Name: t.Hop, Target: t.Target, SNI: t.SNI,
		Interrupted: t.Interrupted, RawICMP: t.RawICMP, Hops: []traceHop{},
		TCPHop: v.TCP, TLSHop: v.TLS, AddressHop: v.Address,
		EndedBy: v.End.String(), Reason: v.Reason,
		Asked: t.Asked.String(), AskedReason: t.Reason, Connections: append([]uint64{}, t.Connections...),
	}
	line.Behind, line.AtOrBefore = addrText(v.Behind), addrText(v.AtOrBefore)
	for _, e := range v.Evidence {
		line.Evidence = append(line.Evidence, e.Rule+": "+e.Text)
	}
	for _, h := range t.Hops() {
		hop := traceHop{TTL: h.TTL}
		for _, a := range h.Routers {
			hop.Routers = append(hop.Routers, a.String())
		}
		hop.SYN, hop.Hello, hop.Address = tallyMember(&h, attribute.TraceSYN), tallyMember(&h, attribute.TraceHello), tallyMember(&h, attribute.TraceAddress)
		line.Hops = append(line.Hops, hop)
	}
	return j.write(&line)
}

// addrText writes an address, nothing for none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func tallyMember(h *attribute.TraceHop, k attribute.TraceKind) *traceTally {
	c := &h.Kinds[k]
	if c.Sent == 0 {
		return nil
	}
	return &traceTally{
		Outcome: c.Outcome.String(), Sent: c.Sent, Resent: c.Resent, Said: c.Said, Failure: c.Failure,
		Seconds: c.RTT.Round(time.Microsecond).Seconds(),
	}
}

// Trace writes a line of kind trace, at level warn where a device was found.
func (l *Log) Trace(t *attribute.Trace) error {
	v := t.Judge()
	level := zerolog.InfoLevel
	if v.End == attribute.EndDevice {
		level = zerolog.WarnLevel
	}
	e := l.event(level, "trace", l.last)
	if e == nil {
		return l.sink.err
	}
	e.Stringer("server", t.Server)
	str(e, "hop", t.Hop)
	str(e, "sni", t.SNI)
	e.Int("tcp_hop", v.TCP).Int("tls_hop", v.TLS).Int("address_hop", v.Address).Stringer("ended_by", v.End)
	str(e, "behind", addrText(v.Behind))
	str(e, "at_or_before", addrText(v.AtOrBefore))
	a := zerolog.Arr()
	for _, ev := range v.Evidence {
		a.Str(tidy(ev.Rule + ": " + ev.Text))
	}
	e.Array("evidence", a)
	str(e, "reason", v.Reason)
	e.Stringer("asked", t.Asked)
	e.Msg(tidy(traceSentence(t, &v)))
	return l.sink.err
}

// shownTraces bounds the traces in text.
const shownTraces = 64

// Trace takes a trace into account.
func (t *Text) Trace(tr *attribute.Trace) error {
	if len(t.traces) == shownTraces {
		t.moreTraces++
		return nil
	}
	k := *tr
	k.Connections = nil
	t.traces = append(t.traces, k)
	return nil
}

// trace writes what was traced: a line a hop, and what follows from it.
func (t *Text) trace(p *page) {
	for i := range t.traces {
		tr := &t.traces[i]
		v := tr.Judge()
		p.line(0, heading, "Trace to "+endpointName(tidy(tr.Hop), tr.Server)+" as "+cmp.Or(tidy(tr.SNI), "no name (no SNI)"))
		traceGrid(p, tr, &v)
		s := plain
		switch v.End {
		case attribute.EndDevice:
			s = alarm
		case attribute.EndUnknown:
			s = doubt
		}
		p.para(2, s, tidy(traceSentence(tr, &v)))
		for _, e := range v.Evidence {
			p.item(tidy(e.Rule + ": " + e.Text))
		}
		if v.TCP > 0 {
			p.para(2, aside, fmt.Sprintf("What is behind hop %d cannot be seen by TTL: who ends TCP opens connections of its own.", max(v.TCP, v.TLS)))
		}
		if !tr.RawICMP && v.TLS > 1 {
			p.para(2, aside, "Which router discarded a ClientHello is not known: reading ICMP messages takes CAP_NET_RAW.")
		}
		p.blank()
	}
	if t.moreTraces > 0 {
		p.line(0, aside, fmt.Sprintf("%d more traces were made; --format json has all.", t.moreTraces))
		p.blank()
	}
}

// traceSentence tells who ends TCP, and whether a certificate was asked for.
func traceSentence(t *attribute.Trace, v *attribute.TraceVerdict) string {
	var s string
	switch v.End {
	case attribute.EndEndpoint:
		s = fmt.Sprintf("TCP ends as far away as the address is, at hop %d: no device before it shows.", v.TCP)
	case attribute.EndDevice:
		s = deviceSentence(v)
	case attribute.EndForwarded:
		s = fmt.Sprintf("The address is at hop %d, but connections to it are passed on and end at hop %d: it is a translator or balancer that does not end TCP itself.", v.Address, v.TCP)
	default:
		s = "Who ends TCP cannot be told: " + v.Reason + "."
	}
	switch t.Asked {
	case attribute.Yes:
		s += " Whoever ends TLS there asks for a client certificate."
	case attribute.No:
		s += " Whoever ends TLS there asks for no client certificate."
	default:
		if t.Reason != "" {
			s += " Whether a client certificate is asked for is not known: " + t.Reason + "."
		}
	}
	return s
}

func deviceSentence(v *attribute.TraceVerdict) string {
	what := "A device " + deviceWhere(v)
	switch {
	case v.TLS > v.TCP:
		return fmt.Sprintf("%s answers SYNs for the endpoint; TLS is answered at hop %d.", what, v.TLS)
	case v.TLS > 0 && v.TLS < v.TCP:
		return fmt.Sprintf("%s answers the ClientHello; TCP goes as far as hop %d.", what, v.TCP)
	case v.Address > 0:
		return fmt.Sprintf("%s ends TCP before it gets to the address, which is at hop %d.", what, v.Address)
	}
	return what + " ends TCP before it gets to the address, which is further away."
}

// deviceWhere tells where a device is. Some are no routers, and some routers act
// only on what they pass on: then it is the next one that discards what expires.
func deviceWhere(v *attribute.TraceVerdict) string {
	at := v.Nearest()
	if at == 1 {
		return "at or before hop 1" + inBrackets(v.AtOrBefore)
	}
	return fmt.Sprintf("behind hop %d%s, at or before hop %d%s,", at-1, inBrackets(v.Behind), at, inBrackets(v.AtOrBefore))
}

func inBrackets(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return " (" + a.String() + ")"
}

func traceGrid(p *page, t *attribute.Trace, v *attribute.TraceVerdict) {
	g := &grid{columns: []column{{title: "Hop"}, {title: "Router", least: 16}, {title: "SYN", least: 10}, {title: "ClientHello", least: 10}, {title: "UDP", least: 10}}}
	titles := make([]string, len(g.columns))
	for i, c := range g.columns {
		titles[i] = c.title
	}
	g.cells = append(g.cells, titles)
	hops := t.Hops()
	for i := range hops {
		h := &hops[i]
		g.cells = append(g.cells, []string{
			fmt.Sprint(h.TTL), routers(h.Routers),
			traceCell(h, attribute.TraceSYN), traceCell(h, attribute.TraceHello), traceCell(h, attribute.TraceAddress),
		})
	}
	g.measure()
	g.fit(p.width-2, leastWidth)
	p.line(2, aside, g.line(0))
	for i := range hops {
		s := plain
		if v.End == attribute.EndDevice && hops[i].TTL == v.Nearest() {
			s = alarm
		}
		p.line(2, s, g.line(i+1))
	}
}

func routers(list []netip.Addr) string {
	var names []string
	for _, a := range list {
		names = append(names, a.String())
	}
	return cmp.Or(strings.Join(names, " "), "-")
}

func traceCell(h *attribute.TraceHop, k attribute.TraceKind) string {
	c := &h.Kinds[k]
	if c.Sent == 0 {
		return ""
	}
	text := c.Outcome.String()
	if c.Said != "" {
		text = c.Said
	}
	if c.RTT > 0 {
		text += " " + attribute.Millis(c.RTT)
	}
	return tidy(text)
}
