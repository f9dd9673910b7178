package attribute

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A browser that is asked for a certificate drops the connection (Chromium, and
// Firefox where it only speculated) or holds it in silence (Firefox), shows its
// dialog, and answers on a new connection or the held one. One dialog is thus
// several connections. If the answer follows at once, no person was asked: no
// certificate in the store matched, or the choice was remembered.

const (
	// atOnce is the longest a browser takes to answer by itself, and less than a
	// person needs.
	atOnce = time.Second
	// forgotten is how long after a dropped connection an answer is still taken
	// to belong to it.
	forgotten = 10 * time.Minute
)

// visitor is one browser's machine at one endpoint.
type visitor struct {
	client netip.Addr
	endpoint
}

// sight is one asked connection of a visitor, as far as prompts go.
type sight struct {
	id             uint64
	start          time.Time
	asked, reacted time.Time
	reply          Reply
}

// visit is what is remembered of one visitor.
type visit struct {
	sights []sight
	last   time.Time // when the latest of them reacted
	told   bool      // that its dialog is open
}

// maxVisit is how many connections of one visitor are remembered in a row; more
// are no single dialog.
const maxVisit = 4096

// grace is how long after an answer a connection may be heard of that was
// dropped before it.
const grace = 2 * time.Second

// watch remembers an asked connection of a browser, or corrects what it
// remembers of it.
func (b *Book) watch(key endpoint, c *Connection) {
	v := visitor{client: c.Client.Addr(), endpoint: key}
	s := sight{id: c.ID, start: c.Start, asked: c.Verdict.AskedAt, reacted: c.Verdict.ReactedAt, reply: c.Verdict.Reply}
	of := b.sights[v]
	if of == nil {
		of = &visit{}
	}
	of.last = later(of.last, s.reacted)
	if i := slices.IndexFunc(of.sights, func(x sight) bool { return x.id == s.id }); i >= 0 {
		of.sights[i] = s
		return
	}
	if b.sightCount >= maxSights || len(of.sights) >= maxVisit {
		b.left++
		return
	}
	b.sightCount++
	of.sights = append(of.sights, s)
	b.sights[v] = of
}

// unwatch forgets a connection that was not asked after all.
func (b *Book) unwatch(key endpoint, c *Connection) {
	v := visitor{client: c.Client.Addr(), endpoint: key}
	of := b.sights[v]
	if of == nil {
		return
	}
	i := slices.IndexFunc(of.sights, func(x sight) bool { return x.id == c.ID })
	if i < 0 {
		return
	}
	of.sights = slices.Delete(of.sights, i, i+1)
	b.sightCount--
	if len(of.sights) == 0 {
		delete(b.sights, v)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// sort puts the connections in order of time.
func (v *visit) sort() {
	slices.SortFunc(v.sights, func(x, y sight) int { return cmp.Or(x.start.Compare(y.start), cmp.Compare(x.id, y.id)) })
}

// waiting reports whether the latest connection is one that a dialog may have
// been left open by.
func (v *visit) waiting() bool {
	v.sort()
	for i := len(v.sights) - 1; i >= 0; i-- {
		switch v.sights[i].reply {
		case ReplyDropped, ReplyStalled:
			return true
		case ReplyCert, ReplyEmpty:
			return false
		}
	}
	return false
}

// over reports whether nothing that follows belongs to what is remembered.
func (v *visit) over(now time.Time) bool {
	quiet := now.Sub(v.last)
	return quiet > forgotten || quiet > grace && !v.waiting()
}

// showing reports whether a dialog is on the screen: a browser that answers by
// itself would have done so.
func (v *visit) showing(now time.Time) bool {
	return now.Sub(v.last) > grace && v.waiting()
}

// flush returns the dialogs of a visitor, counts and forgets them.
func (b *Book) flush(v visitor) []Prompt {
	of := b.sights[v]
	of.sort()
	out := v.prompts(of.sights)
	b.sightCount -= len(of.sights)
	delete(b.sights, v)
	for _, p := range out {
		switch a := b.askers[v.endpoint]; {
		case a == nil:
		case p.Outcome == OutcomeNoneShown:
			a.Traits.Unshown++
		default:
			a.Prompts++
			if page := b.pages.before(&p); page != "" {
				a.Traits.Aside++
				keep(&a.Traits.Pages, page, maxTraitWords)
			}
		}
	}
	return out
}

func sortPrompts(p []Prompt) {
	slices.SortFunc(p, func(x, y Prompt) int {
		return cmp.Or(x.Opened.Compare(y.Opened), x.AskedBy.Compare(y.AskedBy), cmp.Compare(x.SNI, y.SNI))
	})
}

// prompts reads the asked connections of one visitor in order of time.
func (v visitor) prompts(sights []sight) []Prompt {
	var out []Prompt
	var waiting []sight // dropped or held connections not yet answered
	flush := func() {
		if len(waiting) > 0 {
			out = append(out, v.open(waiting))
			waiting = nil
		}
	}
	for _, s := range sights {
		if n := len(waiting); n > 0 && s.start.Sub(waiting[n-1].reacted) > forgotten {
			flush()
		}
		switch s.reply {
		case ReplyDropped, ReplyStalled:
			waiting = append(waiting, s)
		case ReplyCert, ReplyEmpty:
			if len(waiting) > 0 || s.reacted.Sub(s.asked) > atOnce {
				out = append(out, v.answered(waiting, s))
				waiting = nil
			}
		}
	}
	flush()
	return out
}

func (v visitor) prompt(sights ...sight) Prompt {
	p := Prompt{AskedBy: v.server, SNI: v.sni, Client: v.client}
	for _, s := range sights {
		p.Connections = append(p.Connections, s.id)
	}
	return p
}

// open is a dialog whose answer was not captured.
func (v visitor) open(waiting []sight) Prompt {
	p := v.prompt(waiting...)
	p.Outcome, p.Opened = OutcomeOpen, waiting[0].reacted
	p.Evidence = fmt.Sprintf("%s dropped without a word after the request, and no answer followed: the dialog was still open, or the browser had only connected in advance", connections(len(waiting)))
	for _, s := range waiting {
		if s.reply == ReplyStalled {
			p.Opened = s.asked
			p.Evidence = fmt.Sprintf("the browser held a connection in silence for %s after the request", seconds(s.reacted.Sub(s.asked)))
			break
		}
	}
	return p
}

// answered is a dialog, or its absence, that ended with an answer.
func (v visitor) answered(waiting []sight, answer sight) Prompt {
	p := v.prompt(append(waiting, answer)...)
	p.Closed = answer.reacted
	p.Outcome = OutcomeCancelled
	with := "an empty certificate list"
	if answer.reply == ReplyCert {
		p.Outcome, with = OutcomeCertificate, "a certificate"
	}
	if held := answer.reacted.Sub(answer.asked); held > atOnce {
		p.Opened = answer.asked
		p.Evidence = fmt.Sprintf("the browser held the connection in silence for %s after the request, then answered with %s", seconds(held), with)
		return p
	}
	last := waiting[len(waiting)-1]
	if last.reply == ReplyStalled {
		p.Opened, p.Closed = last.asked, last.reacted
		p.Evidence = fmt.Sprintf("the browser held a connection in silence for %s after the request, then answered on another with %s", seconds(last.reacted.Sub(last.asked)), with)
		return p
	}
	first := last // of the drops right before the answer; earlier ones were connections made in advance
	for i := len(waiting) - 2; i >= 0 && first.reacted.Sub(waiting[i].reacted) <= atOnce; i-- {
		first = waiting[i]
	}
	p.Opened = first.reacted
	gap := answer.start.Sub(last.reacted)
	if gap <= atOnce {
		p.Outcome = OutcomeNoneShown
		p.Evidence = fmt.Sprintf("%s dropped after the request, and one answered with %s %d ms later: too fast for a person", connections(len(waiting)), with, max(gap, 0).Milliseconds())
		return p
	}
	p.Evidence = fmt.Sprintf("%s dropped without a word after the request, and %s later one answered with %s", connections(len(waiting)), seconds(gap), with)
	return p
}

func connections(n int) string {
	if n == 1 {
		return "1 connection was"
	}
	return fmt.Sprintf("%d connections were", n)
}
