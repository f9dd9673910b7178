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

// watch remembers an asked connection of a browser.
func (b *Book) watch(key endpoint, c *Connection) {
	if b.sightCount >= maxSights {
		b.left++
		return
	}
	b.sightCount++
	v := visitor{client: c.Client.Addr(), endpoint: key}
	b.sights[v] = append(b.sights[v], sight{
		id: c.ID, start: c.Start, asked: c.Verdict.AskedAt, reacted: c.Verdict.ReactedAt, reply: c.Verdict.Reply,
	})
}

// prompts puts the dialogs of all visitors together.
func (b *Book) prompts() []Prompt {
	var out []Prompt
	for v, sights := range b.sights {
		slices.SortFunc(sights, func(x, y sight) int { return cmp.Or(x.start.Compare(y.start), cmp.Compare(x.id, y.id)) })
		out = append(out, v.prompts(sights)...)
	}
	slices.SortFunc(out, func(x, y Prompt) int {
		return cmp.Or(x.Opened.Compare(y.Opened), x.AskedBy.Compare(y.AskedBy), cmp.Compare(x.SNI, y.SNI))
	})
	return out
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
