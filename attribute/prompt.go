package attribute

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Chromium drops a connection that asks, shows its dialog if a request waits for
// the connection, and answers on a new one. Firefox drops it only where none does,
// as it connected in advance; else it holds it in silence while its dialog is up,
// and answers on it. One dialog is thus several connections. If the answer
// follows at once, no person was asked: no certificate in the store matched, or
// the choice was remembered.

const (
	// atOnce is the longest a browser takes to answer by itself, and less than a
	// person needs.
	atOnce = time.Second
	// forgotten is how long after a dropped connection an answer is still taken
	// to belong to it.
	forgotten = 10 * time.Minute
)

// visitor is one browser of a machine at one endpoint.
type visitor struct {
	client  netip.Addr
	browser string
	endpoint
}

func visitorOf(key endpoint, c *Connection) visitor {
	return visitor{client: c.Client.Addr(), browser: Browser(c.Handshake), endpoint: key}
}

// holds reports whether the browser holds the connection that its dialog is for.
func (v *visitor) holds() bool { return v.browser == firefox }

// sight is one asked connection of a visitor, as far as prompts go.
type sight struct {
	id             uint64
	start          time.Time
	asked, reacted time.Time
	reply          Reply
	when           When
}

// used: a request of HTTP was sent before, so it was not made in advance.
func (s *sight) used() bool { return s.when != InHandshake }

// wanted returns those of some dropped or held connections that something may
// have waited for.
func (v *visitor) wanted(waiting []sight) (out []sight) {
	for _, s := range waiting {
		if !v.holds() || s.reply != ReplyDropped || s.used() {
			out = append(out, s)
		}
	}
	return out
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
	v := visitorOf(key, c)
	s := sight{id: c.ID, start: c.Start, asked: c.Verdict.AskedAt, reacted: c.Verdict.ReactedAt, reply: c.Verdict.Reply,
		when: c.Verdict.When}
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
	v := visitorOf(key, c)
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
	out, straight := v.prompts(of.sights)
	b.sightCount -= len(of.sights)
	delete(b.sights, v)
	a := b.askers[v.endpoint]
	if a == nil {
		a = &Asker{} // forgotten meanwhile
	}
	a.Traits.Straight += straight
	for i := range out {
		p := &out[i]
		p.Page = b.pages.before(p)
		switch {
		case p.Outcome == OutcomeNoneShown && !p.Closed.IsZero():
			a.Traits.Unshown++
		case p.Outcome.Shown():
			a.Prompts++
			if p.Page != "" {
				a.Traits.Aside++
				keep(&a.Traits.Pages, p.Page, maxTraitWords)
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

// prompts reads the asked connections of one visitor in order of time. straight
// counts answers that the browser gave by itself and on the first connection.
func (v visitor) prompts(sights []sight) (out []Prompt, straight int) {
	var waiting []sight // dropped or held connections not yet answered
	var closed time.Time
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
			switch {
			case len(waiting) > 0 || s.reacted.Sub(s.asked) > atOnce:
				p := v.answered(waiting, s)
				out, waiting, closed = append(out, p), nil, p.Closed
			case s.start.Sub(closed) > atOnce: // else it came with the answer before
				straight++
			}
		}
	}
	flush()
	return out, straight
}

func (v visitor) prompt(sights ...sight) Prompt {
	p := Prompt{AskedBy: v.server, SNI: v.sni, Client: v.client}
	for _, s := range sights {
		p.Connections = append(p.Connections, s.id)
		p.When = s.when
	}
	return p
}

// open is what came to no answer: a dialog, or connections made in advance.
func (v visitor) open(waiting []sight) Prompt {
	p := v.prompt(waiting...)
	p.Opened, p.began = waiting[0].reacted, waiting[0].start
	if waiting[0].reply == ReplyStalled {
		p.Opened = waiting[0].asked
	}
	rest := v.wanted(waiting)
	if len(rest) == 0 {
		p.Outcome = OutcomeNoneShown
		p.Evidence = connections(len(waiting)) + " dropped without a word after the request: made in advance, as Firefox holds the one that its dialog is for"
		return p
	}
	if i := slices.IndexFunc(rest, func(s sight) bool { return s.used() }); i >= 0 {
		p.Outcome, p.Opened, p.began = OutcomeOpen, rest[i].reacted, rest[i].start
		p.Evidence = "a connection in use was dropped without a word after the request, and no answer followed"
	} else {
		p.Outcome = OutcomeUnknown
		p.Evidence = connections(len(rest)) + " dropped or left without a word after the request, and no answer followed: the dialog was still open, or the browser had only connected in advance"
	}
	held := func(s sight) bool { return s.reply == ReplyStalled && (v.holds() || s.used()) } // else it was slow to drop it
	if i := slices.IndexFunc(rest, held); i >= 0 {
		p.Outcome, p.Opened, p.began = OutcomeOpen, rest[i].asked, rest[i].start
		p.Evidence = fmt.Sprintf("the browser held a connection in silence for %s after the request", seconds(rest[i].reacted.Sub(rest[i].asked)))
	}
	return p
}

// answered is a dialog, or its absence, that ended with an answer.
func (v visitor) answered(waiting []sight, answer sight) Prompt {
	p := v.prompt(append(waiting, answer)...)
	p.Closed, p.began = answer.reacted, answer.start
	p.Outcome = OutcomeCancelled
	with := "an empty certificate list"
	if answer.reply == ReplyCert {
		p.Outcome, with = OutcomeCertificate, "a certificate"
	}
	held := answer.reacted.Sub(answer.asked)
	if held > atOnce {
		p.Opened = answer.asked
		p.Evidence = fmt.Sprintf("the browser held the connection in silence for %s after the request, then answered with %s", seconds(held), with)
		return p
	}
	waiting = v.wanted(waiting)
	if len(waiting) == 0 {
		p.Outcome, p.Opened = OutcomeNoneShown, answer.asked
		p.Evidence = fmt.Sprintf("the browser answered with %s %d ms after the request: too fast for a person", with, held.Milliseconds())
		return p
	}
	last := waiting[len(waiting)-1]
	if last.reply == ReplyStalled {
		p.Opened, p.Closed, p.began = last.asked, last.reacted, last.start
		p.Evidence = fmt.Sprintf("the browser held a connection in silence for %s after the request, then answered on another with %s", seconds(last.reacted.Sub(last.asked)), with)
		return p
	}
	first := last // of the drops right before the answer; earlier ones were connections made in advance
	for i := len(waiting) - 2; i >= 0 && first.reacted.Sub(waiting[i].reacted) <= atOnce; i-- {
		first = waiting[i]
	}
	p.Opened, p.began = first.reacted, first.start
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
