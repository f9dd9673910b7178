package attribute

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"whoasked/parse"
)

// Bounds of a Book.
const (
	maxAskers  = 8192  // (server, SNI) pairs counted
	maxSights  = 65536 // connections remembered for prompts
	maxReasons = 16    // distinct reasons per pair
)

// Book keeps what spans several connections: the dialogs, and the counts per
// asker. Its memory is bounded; Left tells what went beyond.
type Book struct {
	askers     map[endpoint]*Asker
	sights     map[visitor]*visit
	sightCount int
	sightings  sightings
	trails     trails
	presence   presence
	pages      pages
	again      int64
	left       int64
	forgotten  int64
}

// endpoint is what a prompt is about: a server under a name.
type endpoint struct {
	server netip.AddrPort
	sni    string
}

// NewBook returns an empty Book.
func NewBook() *Book {
	return &Book{
		askers: make(map[endpoint]*Asker), sights: make(map[visitor]*visit), sightings: newSightings(),
		trails: trails{of: make(map[visitor]*trail)}, presence: make(presence), pages: make(pages),
	}
}

// Add counts a judged connection. Where another sighting of it was counted
// already it sets SameAs, and counts the one that knows more.
func (b *Book) Add(c *Connection) Counted {
	key := endpointOf(c)
	now := sightingOf(c)
	before, again := b.sightings.put(c, now)
	out := Counted{Answer: now.asked, Before: before.asked, Again: again}
	if again {
		b.again++
		c.SameAs = before.id
		if !now.better(&before) {
			now, out.Answer = before, before.asked
		}
	}
	b.count(key, c, &now, &before, again)
	v, browses := visitorOf(key, c)
	if !browses {
		return out
	}
	b.presence.note(v.present, c.Start)
	b.trails.add(v, stepOf(c))
	if c.Verdict.Asked == Yes && (!again || before.asked != Yes) {
		b.watch(v, c)
	}
	return out
}

// Correct replaces what was added of a connection, with the verdict it had then,
// by what is known now. It reports false if another sighting of the connection
// counts in its place.
func (b *Book) Correct(c *Connection, before *Verdict) bool {
	key := endpointOf(c)
	v, browses := visitorOf(key, c)
	if browses {
		b.trails.correct(v, stepOf(c))
	}
	now, was := sightingOf(c), sightingOf(&Connection{Handshake: c.Handshake, Verdict: *before})
	if !b.sightings.correct(c, now) {
		return false
	}
	b.count(key, c, &now, &was, true)
	switch {
	case !browses:
	case c.Verdict.Asked == Yes:
		b.watch(v, c)
	default:
		b.unwatch(v, c)
	}
	return true
}

func endpointOf(c *Connection) endpoint {
	key := endpoint{server: c.Server}
	if c.ClientHello != nil {
		key.sni = c.ClientHello.ServerName
	}
	return key
}

// count puts now in the place of what was counted before, or beside it.
func (b *Book) count(key endpoint, c *Connection, now, before *sighting, again bool) {
	a := b.askers[key]
	if a == nil {
		if len(b.askers) >= maxAskers {
			b.left++
			return
		}
		a = &Asker{Addr: key.server, SNI: key.sni, Hop: c.Hop, First: c.Start}
		b.askers[key] = a
		again = false // what it counted as was forgotten with the asker
	}
	if again {
		a.add(before, -1)
	}
	a.add(now, 1)
	a.look(c)
	if !again && c.ClientHello == nil {
		a.Unread++
	}
	if !again || before.asked == Unknown {
		a.Traits.note(c)
		b.pages.note(c)
	}
	if c.Start.Before(a.First) {
		a.First = c.Start
	}
	if c.Last.After(a.Last) {
		a.Last = c.Last
	}
}

// Nameless reports whether clients are known to have sent no server name (SNI).
func (a *Asker) Nameless() bool { return a.SNI == "" && a.Unread == 0 }

// add counts a sighting n times: once, or back by one.
func (a *Asker) add(s *sighting, n int) {
	switch {
	case s.asked == Yes:
		if s.plain {
			a.plain += n
		}
		a.Asked += n
		a.Full += n
		a.asked[s.basis] += n
	case s.asked == No && s.resumed:
		a.Resumed += n
	case s.asked == No:
		a.NotAsked += n
		a.Full += n
		a.clear[s.basis] += n
	default:
		a.Unknown += n
		if s.hello {
			a.Full += n
		}
		a.because(s.reason, n)
	}
}

// because counts the reason of an unknown answer.
func (a *Asker) because(reason string, n int) {
	if a.Reasons == nil {
		a.Reasons = make(map[string]int)
	}
	if _, known := a.Reasons[reason]; !known && (n < 0 || len(a.Reasons) >= maxReasons) {
		return
	}
	if a.Reasons[reason] += n; a.Reasons[reason] == 0 {
		delete(a.Reasons, reason)
	}
}

// Again returns how many connections were further sightings of others.
func (b *Book) Again() int64 { return b.again }

// Left returns how many connections were not counted, or not looked at for
// prompts, because the bounds were reached.
func (b *Book) Left() int64 { return b.left }

// Finish returns the prompts not yet returned by Due, in order of time, and the
// askers.
func (b *Book) Finish() ([]Prompt, []Asker) {
	var prompts []Prompt
	for v := range b.sights {
		prompts = append(prompts, b.flush(v)...)
	}
	sortPrompts(prompts)
	return prompts, b.Askers()
}

// Askers returns the counts so far: those that asked first, then by how many
// connections they had.
func (b *Book) Askers() []Asker {
	askers := make([]Asker, 0, len(b.askers))
	for _, a := range b.askers {
		askers = append(askers, *a)
	}
	slices.SortFunc(askers, func(x, y Asker) int {
		return cmp.Or(
			-cmp.Compare(x.Asked, y.Asked),
			-cmp.Compare(x.Full+x.Resumed+x.Unknown, y.Full+y.Resumed+y.Unknown),
			x.Addr.Compare(y.Addr),
			cmp.Compare(x.SNI, y.SNI))
	})
	return askers
}

// Due returns the dialogs that have ended by now, and those that have just been
// found to be open, or may be; the latter come again once they end. It forgets what is told,
// and, before there are too many of them, the askers heard of least recently: a
// Book that is asked every few seconds may be in use for as long as one likes.
func (b *Book) Due(now time.Time) []Prompt {
	var prompts []Prompt
	for v, of := range b.sights {
		if over(v, of, now) {
			prompts = append(prompts, b.flush(v)...)
		} else if p, ok := showing(v, of, now); ok && !of.told {
			of.told = true
			p.Page = b.pages.before(&p)
			prompts = append(prompts, p)
		}
	}
	sortPrompts(prompts)
	if len(b.askers) > maxAskers-maxAskers/16 {
		b.forgetAskers()
	}
	return prompts
}

// forgetAskers makes room for new askers.
func (b *Book) forgetAskers() {
	keys := slices.SortedFunc(maps.Keys(b.askers), func(x, y endpoint) int {
		return b.askers[x].Last.Compare(b.askers[y].Last)
	})
	for _, k := range keys[:len(keys)/8] {
		delete(b.askers, k)
		b.forgotten++
	}
}

// Forgotten returns how many askers were forgotten to make room for others.
func (b *Book) Forgotten() int64 { return b.forgotten }

// Browser names the browser family that the ClientHello of a connection looks
// like: "Chromium", "Firefox", or empty for neither.
func Browser(h *parse.Handshake) string {
	return (&view{Handshake: h}).browser()
}
