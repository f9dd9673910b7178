package report

import (
	"io"
	"net/netip"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
)

// TextOptions says how a Text is laid out.
type TextOptions struct {
	// Color allows SGR sequences (ECMA-48).
	Color bool
	// Width is the number of columns, 0 for 100. Addresses are never cut, so a
	// table of long ones is wider.
	Width int
	// Rows is how many connections the table holds at most, 0 for no table.
	Rows int
	// Lists says which connections the table may hold, nil for all. The others
	// still count as evidence.
	Lists func(attribute.Answer) bool
}

// Bounds of a Text: what goes beyond is counted, so that its memory does not
// grow with the capture.
const (
	shownAskers  = 8    // paragraphs about endpoints that asked
	shownMore    = 24   // lines about further ones
	shownOthers  = 8    // lines about endpoints that did not, or cannot be told
	shownDialogs = 5    // an endpoint
	shownReasons = 3    // an endpoint
	shownNotes   = 20   // about the capture
	shownNames   = 5    // authorities of a request
	maxProofs    = 1024 // endpoints whose evidence and dialogs are kept
	maxServers   = 16384
)

// Text writes the answer for a person: who asked and how that is known, then a
// table of connections. It writes everything at Close.
type Text struct {
	w io.Writer
	o TextOptions

	rows    selection
	proofs  map[endpoint]*proof
	dialogs map[endpoint]*dialogs
	clears  [attribute.Seen + 1]int // verdicts that nobody asked, by basis
	tunnels int                     // connections that hide others
	hints   [len(advices)]int       // unknown connections, by what would help

	sum    attribute.Asker // of all endpoints
	asking map[netip.AddrPort]struct{}
	silent map[netip.AddrPort]struct{}
	asked  roll
	quiet  roll
	unsure roll
	// probedYes are those of the latter that asked a probe.
	probedYes roll
	notes     []capture.Note
	further   int // notes beyond

	ways        []way
	wayAt       map[string]int
	moreWays    int
	findings    points
	differences points
	passes      roll
	signed      map[netip.AddrPort]bool // whose signs were told

	probed     []attribute.Probed
	moreProbed int
	offers     []attribute.Offer
	moreOffers int
	traces     []attribute.Trace
	moreTraces int

	first, last time.Time
}

// endpoint is a server under a name, as in attribute.Asker.
type endpoint struct {
	server netip.AddrPort
	sni    string
}

// roll keeps the first few of many endpoints.
type roll struct {
	kept []counted
	more int
}

// counted is an Asker with its reasons in order; the map is not kept.
type counted struct {
	attribute.Asker
	why []reasonMember
}

func (r *roll) add(a *attribute.Asker, limit int) {
	if len(r.kept) == limit {
		r.more++
		return
	}
	c := counted{Asker: *a, why: reasons(a.Reasons)}
	for i := range c.why {
		c.why[i].Reason = tidy(c.why[i].Reason)
	}
	c.Reasons, c.Hop = nil, tidy(a.Hop)
	r.kept = append(r.kept, c)
}

// dialogs are those of one endpoint.
type dialogs struct {
	kept []attribute.Prompt // without Connections
	more int
}

// NewText returns a Text that writes to w.
func NewText(w io.Writer, o TextOptions) *Text {
	if o.Width <= 0 {
		o.Width = 100
	}
	return &Text{
		w: w, o: o,
		rows:    selection{limit: o.Rows},
		proofs:  make(map[endpoint]*proof),
		dialogs: make(map[endpoint]*dialogs),
		asking:  make(map[netip.AddrPort]struct{}),
		silent:  make(map[netip.AddrPort]struct{}),
	}
}

// Connection takes a connection into account.
func (t *Text) Connection(c *attribute.Connection) error {
	t.span(c.Start, c.Last)
	key := endpoint{c.Server, serverName(c)}
	p := t.proofs[key]
	if c.Hides() && c.SameAs == 0 {
		t.tunnels++
	}
	switch v := &c.Verdict; {
	case c.SameAs != 0 && (p != nil || v.Asked != attribute.Yes):
		// Counted with the other sighting of the connection.
	case v.Asked == attribute.Yes:
		if p == nil && len(t.proofs) < maxProofs {
			p = new(proof)
			t.proofs[key] = p
		}
		if p != nil {
			p.add(c)
		}
	case v.Asked == attribute.No:
		if !v.Resumed {
			t.clears[v.Basis]++
		}
	default:
		if i := adviceFor(c); i >= 0 {
			t.hints[i]++
		}
	}
	if t.o.Lists == nil || t.o.Lists(c.Verdict.Asked) {
		t.rows.add(c)
	}
	return nil
}

// Prompt takes a dialog into account.
func (t *Text) Prompt(p *attribute.Prompt) error {
	key := endpoint{p.AskedBy, p.SNI}
	d := t.dialogs[key]
	switch {
	case d == nil && len(t.dialogs) == maxProofs:
		return nil
	case d == nil:
		d = new(dialogs)
		t.dialogs[key] = d
	}
	if len(d.kept) == shownDialogs {
		d.more++
		return nil
	}
	kept := *p
	kept.Connections = nil
	d.kept = append(d.kept, kept)
	return nil
}

// Asker takes the sums of an endpoint into account.
func (t *Text) Asker(a *attribute.Asker) error {
	t.span(a.First, a.Last)
	if a.Passes > 0 && a.Passes >= a.Asked {
		t.passes.add(a, shownOthers)
		return nil // whom it passes them to is told for itself
	}
	t.sum.Full += a.Full
	t.sum.Asked += a.Asked
	t.sum.NotAsked += a.NotAsked
	t.sum.Resumed += a.Resumed
	t.sum.Unknown += a.Unknown
	switch {
	case a.Asked > 0:
		t.asked.add(a, shownAskers+shownMore)
		remember(t.asking, a.Addr)
	case a.NotAsked > 0:
		t.quiet.add(a, shownOthers)
		remember(t.silent, a.Addr)
	case a.Asks() == attribute.Yes:
		t.probedYes.add(a, shownAskers)
	default:
		t.unsure.add(a, shownOthers)
	}
	return nil
}

func remember(set map[netip.AddrPort]struct{}, a netip.AddrPort) {
	if len(set) < maxServers {
		set[a] = struct{}{}
	}
}

// Note takes a note about the capture into account.
func (t *Text) Note(n capture.Note) error {
	if len(t.notes) == shownNotes {
		t.further++
		return nil
	}
	n.Text, n.Hint = tidy(n.Text), tidy(n.Hint)
	t.notes = append(t.notes, n)
	return nil
}

// Close writes the answer.
func (t *Text) Close() error {
	p := &page{width: t.o.Width, color: t.o.Color}
	t.trace(p)
	t.probes(p)
	t.way(p)
	t.answer(p)
	t.offering(p)
	t.sometimes(p)
	t.change(p)
	t.passing(p)
	t.others(p)
	t.advise(p)
	t.table(p)
	t.about(p)
	_, err := io.WriteString(t.w, p.b.String())
	return err
}

func (t *Text) span(from, to time.Time) {
	if datable(from) && (t.first.IsZero() || from.Before(t.first)) {
		t.first = from
	}
	if datable(to) && to.After(t.last) {
		t.last = to
	}
}

// clock writes a time of day, with as much of the date as differs in a capture.
func (t *Text) clock(at time.Time) string {
	switch at = at.UTC(); {
	case !datable(at):
		return "-"
	case t.oneDay():
		return at.Format("15:04:05.000")
	case t.first.UTC().Year() == t.last.UTC().Year():
		return at.Format("01-02 15:04:05.000")
	}
	return at.Format("2006-01-02 15:04:05.000")
}

// oneDay reports whether the capture begins and ends on the same day.
func (t *Text) oneDay() bool { return sameDay(t.first, t.last) }

func sameDay(x, y time.Time) bool {
	const day = 24 * time.Hour // of UTC, which has no other
	return x.Truncate(day).Equal(y.Truncate(day))
}

func serverName(c *attribute.Connection) string {
	if c.ClientHello == nil {
		return ""
	}
	return c.ClientHello.ServerName
}
