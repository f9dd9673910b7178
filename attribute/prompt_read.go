package attribute

import (
	"fmt"
	"slices"
	"time"
)

// reading puts the asked connections of one visitor together, in order of time.
type reading struct {
	visitor
	out []Prompt
	// waiting are dropped, held and spare connections not yet answered.
	waiting []sight
	closed  time.Time // when the latest answer of out came
	shown   time.Time // when the latest dialog of out was answered
	// straight counts answers that the browser gave by itself and on the first
	// connection.
	straight int
}

// read reads the connections of a visit.
func (v visitor) read(of *visit) *reading {
	of.sort()
	r := &reading{visitor: v}
	for i := range of.sights {
		s := &of.sights[i]
		if n := len(r.waiting); n > 0 && s.start.Sub(r.waiting[n-1].reacted) > forgotten {
			r.flush()
		}
		switch {
		case s.reply == ReplyDropped && s.start.Before(r.closed):
			// Made while a dialog was up, or for its answer, which another carried.
			last := &r.out[len(r.out)-1]
			last.Connections = append(last.Connections, s.id)
		case s.reply == ReplyDropped, s.reply == ReplyStalled, v.spare(s):
			r.waiting = append(r.waiting, *s)
		case s.reply == ReplyCert, s.reply == ReplyEmpty:
			r.answer(s, of.sights[i+1:])
		}
	}
	return r
}

// answer takes a connection on which the browser answered, and those after it.
func (r *reading) answer(s *sight, after []sight) {
	held := s.reacted.Sub(s.asked)
	unanswered := slices.ContainsFunc(r.waiting, func(w sight) bool { return !w.unused })
	switch {
	case unanswered || held > atOnce:
		p := r.answered(s, after)
		if p.Outcome.Shown() {
			r.shown = later(r.shown, p.Closed)
		}
		r.out, r.waiting, r.closed = append(r.out, p), nil, p.Closed
	case s.start.Sub(r.closed) > atOnce: // else it came with the answer before
		r.straight++
		r.waiting = nil
	}
}

// flush tells what is waiting.
func (r *reading) flush() {
	if len(r.waiting) > 0 {
		r.out = append(r.out, r.open(r.waiting))
		r.waiting = nil
	}
}

// prompts returns all dialogs. One that was not shown is none beside one that was:
// it is of connections made in advance or for requests without credentials.
func (r *reading) prompts() []Prompt {
	r.flush()
	if !r.holds() {
		return r.out
	}
	var out, unshown []Prompt
	for _, p := range r.out {
		if p.Outcome.Shown() {
			out = append(out, p)
		} else {
			unshown = append(unshown, p)
		}
	}
	for _, p := range unshown {
		i := slices.IndexFunc(out, func(q Prompt) bool { return q.Outcome.Shown() && p.beside(&q) })
		if i < 0 || p.Outcome != OutcomeNoneShown {
			out = append(out, p)
			continue
		}
		if p.Opened.Before(out[i].Opened) {
			out[i].Connections = append(p.Connections, out[i].Connections...)
		} else {
			out[i].Connections = append(out[i].Connections, p.Connections...)
		}
	}
	return out
}

// beside reports whether p is of about the time of q: not long before it opened,
// or not yet after it was answered.
func (p *Prompt) beside(q *Prompt) bool {
	end := later(q.Opened, q.Closed)
	return p.Opened.After(q.began.Add(-grace)) && p.Opened.Before(end.Add(atOnce))
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
		p.Evidence = spares(waiting) + ": made in advance, as Firefox holds the one that its dialog is for"
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

// answered is a dialog, or its absence, that ended with an answer; after are the
// connections that began later.
func (r *reading) answered(answer *sight, after []sight) Prompt {
	p := r.prompt(append(r.waiting, *answer)...)
	p.Closed, p.began = answer.reacted, answer.start
	p.Outcome = OutcomeCancelled
	with := "an empty certificate list"
	if answer.reply == ReplyCert {
		p.Outcome, with = OutcomeCertificate, "a certificate"
	}
	held := answer.reacted.Sub(answer.asked)
	if held > atOnce {
		p.Opened = r.queued(answer.asked)
		p.Evidence = fmt.Sprintf("the browser held the connection in silence for %s after the request, then answered with %s", seconds(held), with)
		return p
	}
	waiting, came := r.before(answer)
	if len(waiting) == 0 {
		p.Outcome, p.Opened = OutcomeNoneShown, answer.asked
		p.Evidence = fmt.Sprintf("the browser answered with %s %d ms after the request: too fast for a person", with, held.Milliseconds())
		return p
	}
	last := waiting[len(waiting)-1]
	if last.reply == ReplyStalled && r.holds() { // else it was slow to drop it
		p.Opened, p.Closed, p.began = r.queued(last.asked), last.reacted, last.start
		p.Evidence = fmt.Sprintf("the browser held a connection in silence for %s after the request, then answered on another with %s", seconds(last.reacted.Sub(last.asked)), with)
		return p
	}
	for _, s := range after {
		if s.start.Before(answer.reacted) {
			came++
		}
	}
	first := firstAwaited(waiting, came)
	p.Opened, p.began = first.reacted, first.start
	gap := answer.start.Sub(last.reacted)
	if answer.start.Sub(first.reacted) > atOnce && last.reacted.Sub(first.reacted) > atOnce {
		p.Evidence = fmt.Sprintf("%s dropped without a word after the request, the first %s before %d began with %s: as many requests had waited meanwhile",
			connections(len(waiting)), seconds(answer.start.Sub(first.reacted)), came, with)
		return p
	}
	if gap <= atOnce {
		p.Outcome = OutcomeNoneShown
		p.Evidence = fmt.Sprintf("%s dropped after the request, and one answered with %s %d ms later: too fast for a person", connections(len(waiting)), with, max(gap, 0).Milliseconds())
		return p
	}
	p.Evidence = fmt.Sprintf("%s dropped without a word after the request, and %s later one answered with %s", connections(len(waiting)), seconds(gap), with)
	return p
}

// before returns those of the waiting connections that something may have waited
// for and that ended before an answer, and how many connections came with the
// answer, itself included. Chromium makes one for each request that waited, and
// drops those that it has no use for once one of them speaks HTTP/2.
func (r *reading) before(answer *sight) (waiting []sight, came int) {
	came = 1
	for _, s := range r.wanted(r.waiting) {
		if !r.holds() && s.reply == ReplyDropped && s.start.Before(answer.reacted) && !s.reacted.Before(answer.start) {
			came++
			continue
		}
		waiting = append(waiting, s)
	}
	return waiting, came
}

// firstAwaited returns the first of some dropped connections that a request
// waited for, if as many came with the answer. Those dropped right after each
// other are of one moment, at which no more requests can have come than there are
// connections; what is left over had been waiting before.
func firstAwaited(dropped []sight, came int) sight {
	i := len(dropped) - 1
	for n := 0; ; i-- {
		n++
		if i == 0 || dropped[i].reacted.Sub(dropped[i-1].reacted) > atOnce && n >= came {
			return dropped[i]
		}
	}
}

// queued returns when the dialog of a held connection came up: one that the
// browser asks for while another is on the screen comes after it.
func (r *reading) queued(asked time.Time) time.Time { return later(asked, r.shown) }

// spares says what became of connections that nothing waited for.
func spares(list []sight) string {
	unused := 0
	for i := range list {
		if list[i].unused {
			unused++
		}
	}
	text := ""
	if n := len(list) - unused; n > 0 {
		text = connections(n) + " dropped without a word after the request"
	}
	if unused > 0 && text != "" {
		text += ", and "
	}
	if unused > 0 {
		text += connections(unused) + " answered with an empty certificate list and left unused"
	}
	return text
}

func connections(n int) string {
	if n == 1 {
		return "1 connection was"
	}
	return fmt.Sprintf("%d connections were", n)
}
