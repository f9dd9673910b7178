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
	left       int64
}

// endpoint is what a prompt is about: a server under a name.
type endpoint struct {
	server netip.AddrPort
	sni    string
}

// NewBook returns an empty Book.
func NewBook() *Book {
	return &Book{askers: make(map[endpoint]*Asker), sights: make(map[visitor][]sight)}
}

// Add counts a judged connection.
func (b *Book) Add(c *Connection) {
	key := endpoint{server: c.Server}
	if c.ClientHello != nil {
		key.sni = c.ClientHello.ServerName
	}
	b.count(key, c)
	if c.Verdict.Asked == Yes && Browser(c.Handshake) != "" && !c.DTLS { // WebRTC shows no dialog
		b.watch(key, c)
	}
}

func (b *Book) count(key endpoint, c *Connection) {
	a := b.askers[key]
	if a == nil {
		if len(b.askers) >= maxAskers {
			b.left++
			return
		}
		a = &Asker{Addr: key.server, SNI: key.sni, Hop: c.Hop, First: c.Start}
		b.askers[key] = a
	}
	switch v := &c.Verdict; {
	case v.Asked == Yes:
		a.Asked++
		a.Full++
	case v.Asked == No && v.Resumed:
		a.Resumed++
	case v.Asked == No:
		a.NotAsked++
		a.Full++
	default:
		a.Unknown++
		if c.ServerHello != nil {
			a.Full++
		}
		if a.Reasons == nil {
			a.Reasons = make(map[string]int)
		}
		if _, known := a.Reasons[v.Reason]; known || len(a.Reasons) < maxReasons {
			a.Reasons[v.Reason]++
		}
	}
	if c.Start.Before(a.First) {
		a.First = c.Start
	}
	if c.Last.After(a.Last) {
		a.Last = c.Last
	}
}

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
