package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// answer writes the first thing a reader wants to know.
func (t *Text) answer(p *page) {
	t.found(p)
	switch s := &t.sum; {
	case s.Asked > 0:
		t.whoAsked(p)
	case s.Full+s.Resumed+s.Unknown == 0:
		p.para(0, doubt, "There is nothing to answer: no TLS connection was found.")
	case s.NotAsked > 0:
		t.nobody(p)
	case s.Unknown > 0:
		p.para(0, doubt, fmt.Sprintf("It cannot be told whether anybody asked for a client certificate: %s left no evidence.",
			plural(s.Unknown, "connection")))
		p.para(0, plain, t.resumed())
	default:
		p.para(0, doubt, "It cannot be told whether anybody would ask for a client certificate: every session was resumed.")
		p.para(0, plain, t.resumed())
	}
}

// resumed says what resumed sessions tell, empty if there are none.
func (t *Text) resumed() string {
	verb := "say"
	switch t.sum.Resumed {
	case 0:
		return ""
	case 1:
		verb = "says"
	}
	return fmt.Sprintf(" %s %s nothing: a resumed session is never asked, whatever the server wants in a full handshake.",
		plural(t.sum.Resumed, "resumed session"), verb)
}

// nobody writes that nobody asked, and what that rests on.
func (t *Text) nobody(p *page) {
	s := &t.sum
	switch {
	case s.Unknown == 0 && t.tunnels == 0:
		p.para(0, heading, "Nobody asked for a client certificate.")
	case s.Unknown == 0:
		p.para(0, heading, fmt.Sprintf("Nobody was seen to ask for a client certificate, but what runs inside of %s through a proxy is hidden.",
			plural(t.tunnels, "tunnel")))
	default:
		p.para(0, heading, fmt.Sprintf("Nobody was seen to ask for a client certificate, but %d of %s cannot be told.",
			s.Unknown, plural(s.NotAsked+s.Resumed+s.Unknown, "connection")))
	}
	text := fmt.Sprintf("This rests on %s with %s, without a request in any", plural(s.NotAsked, "full handshake"),
		plural(len(t.silent), "endpoint"))
	var how []string
	for b := attribute.Seen; b > attribute.NoBasis; b-- {
		if n := t.clears[b]; n > 0 {
			how = append(how, fmt.Sprintf("%d %s", n, basisWords(b)))
		}
	}
	if len(how) > 0 {
		text += ": " + strings.Join(how, ", ")
	}
	p.para(0, plain, text+"."+t.resumed())
}

// whoAsked writes who asked, and a paragraph about each.
func (t *Text) whoAsked(p *page) {
	first, pairs := &t.asked.kept[0], len(t.asked.kept)+t.asked.more
	open := slices.ContainsFunc(t.asked.kept, func(a counted) bool { return a.where() != "" })
	switch n := len(t.asking); {
	case pairs == 1 && first.where() != "":
		p.para(0, alarm, "A client certificate was asked for "+first.where()+".")
	case pairs == 1:
		p.para(0, alarm, endpointName(first.Hop, first.Addr)+" asked for a client certificate.")
	case n == 1 && first.where() != "":
		p.para(0, alarm, fmt.Sprintf("A client certificate was asked for %s, under %d names.", first.where(), pairs))
	case n == 1:
		p.para(0, alarm, fmt.Sprintf("%s asked for a client certificate, under %d names.",
			endpointName(first.Hop, first.Addr), pairs))
	case open:
		p.para(0, alarm, fmt.Sprintf("A client certificate was asked for at %d endpoints, or behind those of them that pass TLS through%s.", n, t.askingNames()))
	default:
		p.para(0, alarm, fmt.Sprintf("%d endpoints asked for a client certificate%s.", n, t.askingNames()))
	}
	var told explained
	for i := range t.asked.kept[:min(len(t.asked.kept), shownAskers)] {
		p.blank()
		a := &t.asked.kept[i]
		if pairs > 1 {
			p.para(0, heading, fmt.Sprintf("%d. %s", i+1, endpointName(a.Hop, a.Addr)))
		}
		t.asker(p, a, &told)
	}
	if pairs <= shownAskers {
		return
	}
	p.blank()
	p.line(0, heading, "Asked, too")
	for i := shownAskers; i < len(t.asked.kept); i++ {
		a := &t.asked.kept[i]
		p.item(a.who() + ": " + strings.TrimSuffix(often(a, false)[0], ":"))
	}
	t.asked.rest(p)
}

// askingNames lists who asked, if it is few enough to read.
func (t *Text) askingNames() string {
	if len(t.asking) > 3 || t.asked.more > 0 {
		return ""
	}
	var names []string
	for i := range t.asked.kept {
		a := &t.asked.kept[i]
		if name := endpointName(a.Hop, a.Addr); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	last := len(names) - 1
	return ": " + strings.Join(names[:last], ", ") + " and " + names[last]
}

// explained remembers which terms were explained already.
type explained struct{ resumed, sealed bool }

// asker writes the fields of an endpoint that asked.
func (t *Text) asker(p *page, a *counted, told *explained) {
	p.field("Name", a.name())
	if text := a.where(); text != "" && len(t.asked.kept) > 1 {
		p.field("Where", text)
	}
	p.field("How often", often(a, !told.resumed)...)
	told.resumed = told.resumed || a.Resumed > 0
	if text := a.Agreement(); text != "" {
		p.field("Declared", text)
	}
	p.field("Signs", t.signs(a.Addr, a.Signs)...)
	key := endpoint{a.Addr, a.SNI}
	if proof := t.proofs[key]; proof != nil {
		if a.Probe != nil {
			proof.take(a.Probe.Request)
		}
		p.field("How we know", append(proof.because(!told.sealed), a.probed()...)...)
		told.sealed = told.sealed || proof.basis == attribute.Inferred
		if l := logOnBy(proof.method); l.what != "" {
			p.field("What for", l.what+l.by)
		}
		if text := proof.later(); text != "" {
			p.field("When", text)
		}
		t.dialogFields(p, key)
		p.field("Clients", proof.replies())
		if text := proof.demand(); text != "" {
			p.field("Required", text)
		}
		p.field("Accepts", proof.accepts()...)
	} else {
		t.dialogFields(p, key)
	}
	if datable(a.First) && datable(a.Last) {
		p.field("Captured", period(a.First, a.Last))
	}
}

// where says where an asker is that may not be at its address, as far as there is
// reason to think of others behind it; else it is empty.
func (a *counted) where() string {
	name := endpointName(a.Hop, a.Addr)
	switch {
	case a.Place == attribute.Behind:
		return "behind " + name + ", which is declared to pass TLS through"
	case a.Place == attribute.AtOrBehind && a.Several:
		text := "at " + name + ", or behind it if it passes TLS through"
		if a.Opened > 0 {
			text += fmt.Sprintf("; if the captures' clocks agree, it opened the next leg itself in %d of %d connections, so that it ends TLS", a.Opened, a.Asked)
		}
		return text
	}
	return ""
}

// often says in how many of how many handshakes an endpoint asked.
func often(a *counted, explain bool) []string {
	text := "asked in the only full handshake"
	if a.Full != 1 {
		text = fmt.Sprintf("asked in %d of %d full handshakes", a.Asked, a.Full)
	}
	if n := a.NotAsked; n > 0 {
		text += fmt.Sprintf("; %d went through without a request", n)
	}
	if n := a.Resumed; n > 0 {
		text += fmt.Sprintf("; %s hid it", plural(n, "resumed session"))
		if explain {
			text += " (a resumed session is never asked)"
		}
	}
	switch {
	case a.Unknown > 0 && len(a.why) == 1:
		text += fmt.Sprintf("; %d could not be told, because %s", a.Unknown, a.why[0].Reason)
	case a.Unknown > 0:
		text += fmt.Sprintf("; %d could not be told:", a.Unknown)
	}
	out := []string{text}
	if len(a.why) > 1 {
		out = append(out, because(a.why, a.Unknown)...)
	}
	return out
}

// because lists the commonest reasons why connections cannot be told.
func because(why []reasonMember, total int) []string {
	var out []string
	for _, r := range why[:min(len(why), shownReasons)] {
		out = append(out, fmt.Sprintf("%d because %s", r.Count, r.Reason))
		total -= r.Count
	}
	if total > 0 {
		out = append(out, fmt.Sprintf("%d for other reasons", total))
	}
	return out
}

// dialogFields lists the dialogs of an endpoint.
func (t *Text) dialogFields(p *page, key endpoint) {
	d := t.dialogs[key]
	if d == nil {
		return
	}
	var lines []string
	for i := range d.kept {
		pr := &d.kept[i]
		lines = append(lines, fmt.Sprintf("%s UTC at client %s: %s", t.clock(pr.Opened), parse.HostName(pr.Client), dialogWords(pr)+beforeWords(pr, t.clock)))
	}
	if d.more > 0 {
		lines = append(lines, fmt.Sprintf("+ %d more", d.more))
	}
	p.field("Dialogs", lines...)
}

// period writes from when to when, in UTC, no more of it than differs.
func period(from, to time.Time) string {
	const day, second = "2006-01-02 ", "15:04:05"
	text := from.UTC().Format(day + second)
	switch {
	case !sameDay(from, to):
		text += " to " + to.UTC().Format(day+second)
	case from.Unix() != to.Unix():
		text += " to " + to.UTC().Format(second)
	}
	return text + " UTC"
}

// others names the endpoints that did not ask, or cannot be told.
func (t *Text) others(p *page) {
	if len(t.quiet.kept) > 0 {
		p.blank()
		p.line(0, heading, "Did not ask")
		for i := range t.quiet.kept {
			a := &t.quiet.kept[i]
			parts := []string{plural(a.NotAsked, "full handshake")}
			if a.Resumed > 0 {
				parts = append(parts, plural(a.Resumed, "resumed session"))
			}
			if a.Unknown > 0 {
				parts = append(parts, fmt.Sprintf("%d that cannot be told", a.Unknown))
			}
			if text := a.Agreement(); text != "" {
				parts = append(parts, text)
			}
			p.item(a.who()+": "+strings.Join(parts, ", "), a.probed()...)
		}
		t.quiet.rest(p)
	}
	if len(t.unsure.kept) > 0 {
		p.blank()
		p.line(0, heading, "Cannot be told")
		for i := range t.unsure.kept {
			t.unsure.kept[i].unsure(p)
		}
		t.unsure.rest(p)
	}
}

func (r *roll) rest(p *page) {
	if r.more > 0 {
		p.line(4, plain, fmt.Sprintf("+ %d more; --format json tells all", r.more))
	}
}

// name is the server name that clients sent.
func (a *counted) name() string {
	const none = "none: clients sent no server name (SNI)"
	switch {
	case a.SNI != "":
		return tidy(a.SNI)
	case a.Nameless():
		return none
	case a.Unread < a.Full+a.Resumed+a.Unknown:
		return none + "; of " + plural(a.Unread, "connection") + " it is not known, as no ClientHello was read"
	}
	return "not known, as no ClientHello was read"
}

// who names an endpoint and what clients call it.
func (a *counted) who() string {
	name := endpointName(a.Hop, a.Addr)
	if a.SNI == "" {
		return name
	}
	return tidy(a.SNI) + " at " + name
}

// unsure writes why it cannot be told whether an endpoint asks.
func (a *counted) unsure(p *page) {
	text, more := a.untold()
	p.item(a.who()+": "+text, append(more, a.probed()...)...)
}

// untold says what there is of an endpoint of which nothing tells, and why it does
// not.
func (a *counted) untold() (text string, more []string) {
	var parts []string
	if n := a.Resumed; n > 0 {
		parts = append(parts, plural(n, "resumed session"))
	}
	if n := a.Unknown; n > 0 {
		parts = append(parts, plural(n, "connection"))
	}
	text = strings.Join(parts, ", ")
	if len(a.why) == 1 {
		return text + ", because " + a.why[0].Reason, nil
	}
	return text, because(a.why, a.Unknown)
}

// about writes the notes on the capture.
func (t *Text) about(p *page) {
	if len(t.notes) == 0 {
		return
	}
	p.blank()
	p.line(0, heading, "About the capture")
	hints := make(map[string]bool)
	for _, n := range t.notes {
		if n.Hint == "" || hints[n.Hint] {
			p.item(n.Text)
			continue
		}
		hints[n.Hint] = true
		p.item(n.Text, "what to do: "+n.Hint)
	}
	if t.further > 0 {
		p.line(4, plain, fmt.Sprintf("+ %d more; --format json tells all", t.further))
	}
}
