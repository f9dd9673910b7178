package attribute

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// A browser that closes a connection of TLS 1.3 without a word, right behind a
// flight that does not show its messages, was asked, or it ended, was told that the
// network had changed, or had just got a verifier of certificates ready: Chromium
// then drops all it is connecting. What else the same browser did at the same
// endpoint tells these apart.

// Bounds of what is remembered to tell them apart.
const (
	maxSteps = 65536 // connections of browsers, about 6 MiB
	// patience is how long after a drop what follows it may still be on its way: a
	// browser that was not asked connects again at once.
	patience = 3 * time.Second
	// around is how long before and after a drop a connection that was not asked
	// explains it.
	around = 30 * time.Second
	// severally is the least between two drops that are not of one event: a process that
	// ends closes all it has open within a millisecond or two.
	severally = 5 * time.Millisecond
)

// trail is what is remembered of one visitor, in the order it was heard of.
type trail struct {
	steps []step
	from  time.Time // up to when steps were forgotten
}

// maxTrail is how many connections of one visitor are remembered: the latest.
const maxTrail = 256

// step is one connection of a visitor.
type step struct {
	id             uint64
	kind           stepKind
	random         uint64 // some of the client's, by which sightings of one connection are told
	start, reacted time.Time
}

// stepKind says what is known of a connection by evidence of its own.
type stepKind uint8

const (
	stepOther   stepKind = iota // nothing
	stepDropped                 // nothing, as it was dropped
	stepAsked                   // it was asked in its handshake
	stepClear                   // it was not
	stepResumed                 // it could not be
)

// near reports whether two connections were made no longer apart than d.
func (s *step) near(o *step, d time.Duration) bool {
	return o.start.Sub(s.reacted) <= d && s.start.Sub(o.reacted) <= d
}

// Waits reports whether what else the browser of a connection did may yet tell
// what its verdict does not, or is what it rests on; see [Book.Settle].
func (v *Verdict) Waits() bool { return v.dropped }

// stepOf returns what is remembered of a connection.
func stepOf(c *Connection) step {
	v := &c.Verdict
	s := step{id: c.ID, start: c.Start, random: binary.LittleEndian.Uint64(c.ClientHello.Random[:])}
	s.reacted = s.start // only its handshake counts: it may last for hours
	switch {
	case v.Waits():
		silence, _ := newView(c.Handshake).silent()
		s.kind, s.reacted = stepDropped, c.Start.Add(silence.until)
	case v.Asked == Yes && v.When == InHandshake:
		s.kind, s.reacted = stepAsked, v.ReactedAt
	case v.Asked == No && v.Resumed:
		s.kind = stepResumed
	case v.Asked == No:
		s.kind = stepClear
	}
	return s
}

// trails are those of all visitors.
type trails struct {
	of     map[visitor]*trail
	n      int       // steps in all of them
	from   time.Time // up to when steps of all were forgotten
	latest time.Time // the start of a step
}

// add remembers a connection of a visitor.
func (ts *trails) add(v visitor, s step) {
	t := ts.of[v]
	if t == nil {
		t = &trail{}
		ts.of[v] = t
	}
	ts.latest = later(ts.latest, s.start)
	if len(t.steps) == maxTrail {
		t.from = later(t.from, t.steps[0].start)
		t.steps = slices.Delete(t.steps, 0, 1)
		ts.n--
	}
	t.steps = append(t.steps, s)
	if ts.n++; ts.n >= maxSteps {
		ts.forget()
	}
}

// correct replaces what is remembered of a connection.
func (ts *trails) correct(v visitor, s step) {
	if old := ts.of[v].step(s.id); old != nil {
		*old = s
		return
	}
	ts.add(v, s)
}

// forget makes room for new steps, of which the oldest go.
func (ts *trails) forget() {
	for age := 2 * forgotten; ts.n > maxSteps/2; age /= 2 {
		ts.from = ts.latest.Add(-age)
		if age == 0 { // all are of one moment
			clear(ts.of)
			ts.n = 0
		}
		for v, t := range ts.of {
			ts.n -= len(t.steps)
			t.steps = slices.DeleteFunc(t.steps, func(s step) bool { return s.start.Before(ts.from) })
			if ts.n += len(t.steps); len(t.steps) == 0 {
				delete(ts.of, v)
			}
		}
	}
}

// step returns what is remembered of a connection, nil if nothing is.
func (t *trail) step(id uint64) *step {
	if t == nil {
		return nil
	}
	i := slices.IndexFunc(t.steps, func(s step) bool { return s.id == id })
	if i < 0 {
		return nil
	}
	return &t.steps[i]
}

// Settle weighs a connection whose verdict waits for what else its browser does,
// as of now, by the clock of the capture; the zero time stands for the end, behind
// which nothing comes. Where that changes the verdict the connection is counted anew.
func (b *Book) Settle(c *Connection, now time.Time) Resettled {
	why := b.support(c, now)
	if (why != "") == (c.Verdict.Asked == Yes) {
		return Resettled{Verdict: c.Verdict}
	}
	out := Resettled{Verdict: c.Verdict, Changed: true}
	v := newView(c.Handshake)
	v.support = why
	c.Verdict = judge(v, rules)
	out.Counted = b.Correct(c, &out.Verdict)
	return out
}

// Resettled is the verdict that [Book.Settle] found, and what it did.
type Resettled struct {
	Verdict
	Changed bool // there is another one now
	Counted bool // and it counts: no other sighting of the connection does in its place
}

// support says what has a dropped connection be one that was asked, empty for
// nothing.
func (b *Book) support(c *Connection, now time.Time) string {
	key := endpointOf(c)
	v, _ := visitorOf(key, c)
	t := b.trails.of[v]
	s := t.step(c.ID)
	if s == nil || s.start.Add(-around).Before(later(t.from, b.trails.from)) || t.explains(s, false) {
		return ""
	}
	for i := range t.steps {
		if o := &t.steps[i]; o.kind == stepAsked && o.random != s.random && o.near(s, forgotten) {
			return "it was asked there on another connection " + since(s, o)
		}
	}
	if !now.IsZero() && now.Sub(s.reacted) < patience || t.explains(s, true) {
		return ""
	}
	for i := range t.steps {
		o := &t.steps[i]
		if o.kind == stepDropped && o.random != s.random && o.near(s, forgotten) && o.reacted.Sub(s.reacted).Abs() >= severally && !t.explains(o, true) {
			return "it did the same there on another connection " + since(s, o)
		}
	}
	if there := b.presence.after(v.present, s.reacted); there > 0 && !t.backSoon(s) {
		return fmt.Sprintf("it did not come back at once, as it does when not asked, though it was there, and connected elsewhere %s later", seconds(there))
	}
	if a := b.askers[key]; a != nil && a.plain > 0 && a.NotAsked == 0 {
		return fmt.Sprintf("whoever was asked or not asked there for certain was asked, on %s", plural(a.plain, "connection"))
	}
	return ""
}

// explains reports whether another connection, at about the time of one that was
// dropped, was not asked, or perhaps could not be as it resumed a session: then that
// one may have been dropped because this one was there.
func (t *trail) explains(s *step, resumed bool) bool {
	return slices.ContainsFunc(t.steps, func(o step) bool {
		return (o.kind == stepClear || o.kind == stepResumed && resumed) && o.near(s, around)
	})
}

// backSoon reports whether the visitor connected again in the time in which one that
// was dropped for anything but a request would have.
func (t *trail) backSoon(s *step) bool {
	return slices.ContainsFunc(t.steps, func(o step) bool {
		return o.random != s.random && !o.start.Before(s.reacted) && o.start.Sub(s.reacted) < patience
	})
}

// since says when another connection was made, seen from one.
func since(s, o *step) string {
	d := o.start.Sub(s.start)
	word := "later"
	if d < 0 {
		d, word = -d, "before"
	}
	if d < time.Second {
		return fmt.Sprintf("%d ms %s", d.Milliseconds(), word)
	}
	return seconds(d) + " " + word
}

// presence tells when browsers made connections, anywhere: one that did was not ended
// before.
type presence map[present][]time.Time

const (
	maxPresent  = 8192 // browsers, of some 1 KiB each
	maxPresence = 32   // moments of each
	// seldom is how far apart the moments are that are remembered.
	seldom = time.Second
)

// note remembers that a browser made a connection.
func (p presence) note(who present, at time.Time) {
	moments := p[who]
	if slices.ContainsFunc(moments, func(m time.Time) bool { return m.Sub(at).Abs() < seldom }) {
		return
	}
	switch {
	case moments == nil && len(p) >= maxPresent:
		clear(p)
	case len(moments) == maxPresence:
		moments = slices.Delete(moments, 0, 1)
	}
	p[who] = append(moments, at)
}

// after returns how long after a moment, but no less than patience, a browser made a
// connection; 0 if none is known.
func (p presence) after(who present, at time.Time) (least time.Duration) {
	for _, m := range p[who] {
		if d := m.Sub(at); d >= patience && d <= forgotten && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}
