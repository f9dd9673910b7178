package attribute

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Chromium drops a connection that asks, shows its dialog if a request waits for
// the connection, and answers on a new one. Firefox drops it only where none does,
// as it connected in advance; else it holds it in silence while its dialog is up,
// and answers on it. One dialog is thus several connections. If the answer
// follows at once, no person was asked: no certificate in the store matched, the
// choice was remembered, or the connection is for requests without credentials,
// for which Firefox never has a certificate. It makes those in advance, too.

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
	present
	endpoint
}

// present is a browser of a machine, wherever it goes.
type present struct {
	client  netip.Addr
	browser string
}

// visitorOf returns who made a connection to an endpoint, ok false if it is no browser
// that shows a dialog when it is asked. WebRTC shows none, and a log-on to a network is
// no browser's.
func visitorOf(key endpoint, c *Connection) (v visitor, ok bool) {
	if c.DTLS || c.Method != "" {
		return v, false
	}
	v = visitor{present{c.Person(), Browser(c.Handshake)}, key}
	return v, v.browser != ""
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
	unused         bool // after an empty answer
}

// used: a request of HTTP was sent before, so it was not made in advance.
func (s *sight) used() bool { return s.when != InHandshake }

// spare reports whether nothing waited for a connection, by how the browser
// ended it: it was made in advance.
func (v *visitor) spare(s *sight) bool {
	return v.holds() && (s.reply == ReplyDropped && !s.used() || s.unused)
}

// wanted returns those of some connections that something may have waited for.
func (v *visitor) wanted(waiting []sight) []sight {
	return slices.DeleteFunc(slices.Clone(waiting), func(s sight) bool { return v.spare(&s) })
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
func (b *Book) watch(v visitor, c *Connection) {
	s := sight{id: c.ID, start: c.Start, asked: c.Verdict.AskedAt, reacted: c.Verdict.ReactedAt, reply: c.Verdict.Reply,
		when: c.Verdict.When, unused: c.Verdict.Unused}
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
func (b *Book) unwatch(v visitor, c *Connection) {
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

// over reports whether nothing that follows belongs to what is remembered.
func over(v visitor, of *visit, now time.Time) bool {
	quiet := now.Sub(of.last)
	return quiet > forgotten || quiet > grace && len(v.read(of).waiting) == 0
}

// showing reports whether a dialog may be on the screen: a browser that answers by
// itself would have done so. The dialog comes with it.
func showing(v visitor, of *visit, now time.Time) (p Prompt, ok bool) {
	if now.Sub(of.last) <= grace {
		return Prompt{}, false
	}
	if r := v.read(of); len(r.waiting) > 0 {
		p = v.open(r.waiting)
	}
	return p, p.Outcome <= OutcomeOpen && !p.Opened.IsZero()
}

// flush returns the dialogs of a visitor, counts and forgets them.
func (b *Book) flush(v visitor) []Prompt {
	of := b.sights[v]
	r := v.read(of)
	out, straight := r.prompts(), r.straight
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
