package attribute

import (
	"cmp"
	"net/netip"
	"slices"

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
	sights     map[visitor][]sight
	sightCount int
	sightings  sightings
	again      int64
	left       int64
}

// endpoint is what a prompt is about: a server under a name.
type endpoint struct {
	server netip.AddrPort
	sni    string
}

// NewBook returns an empty Book.
func NewBook() *Book {
	return &Book{askers: make(map[endpoint]*Asker), sights: make(map[visitor][]sight), sightings: newSightings()}
}

// Add counts a judged connection. Where another sighting of it was counted
// already it sets SameAs, and counts the one that knows more.
func (b *Book) Add(c *Connection) Counted {
	key := endpoint{server: c.Server}
	if c.ClientHello != nil {
		key.sni = c.ClientHello.ServerName
	}
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
	if c.Verdict.Asked == Yes && (!again || before.asked != Yes) && Browser(c.Handshake) != "" && !c.DTLS { // WebRTC shows no dialog
		b.watch(key, c)
	}
	return out
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
	}
	if again {
		a.add(before, -1)
	}
	a.add(now, 1)
	if c.Start.Before(a.First) {
		a.First = c.Start
	}
	if c.Last.After(a.Last) {
		a.Last = c.Last
	}
}

// add counts a sighting n times: once, or back by one.
func (a *Asker) add(s *sighting, n int) {
	switch {
	case s.asked == Yes:
		a.Asked += n
		a.Full += n
	case s.asked == No && s.resumed:
		a.Resumed += n
	case s.asked == No:
		a.NotAsked += n
		a.Full += n
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

// Finish returns the prompts in order of time, and the askers: those that asked
// first, then by how many connections they had.
func (b *Book) Finish() ([]Prompt, []Asker) {
	prompts := b.prompts()
	for _, p := range prompts {
		if a := b.askers[endpoint{p.AskedBy, p.SNI}]; a != nil && p.Outcome != OutcomeNoneShown {
			a.Prompts++
		}
	}
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
	return prompts, askers
}

// Browser names the browser family that the ClientHello of a connection looks
// like: "Chromium", "Firefox", or empty for neither.
func Browser(h *parse.Handshake) string {
	return (&view{Handshake: h}).browser()
}
