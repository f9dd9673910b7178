package main

import (
	"context"
	"sync"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
	"whoasked/report"
	"whoasked/report/evidence"
)

// watching is the line of a run without an end: answers are given while
// connections go on, and what is remembered of them is bounded.
//
// A connection is answered once its first handshake is decided, and again
// whenever the answer changes. Chunks come from one goroutine, and the clock
// from another; mu lets one of them in.
type watching struct {
	name   string
	parser *parse.Parser
	keys   *keyLogs
	book   *attribute.Book
	// repeats are the dialogs told so far.
	repeats attribute.Repeats
	out     report.Writer
	// flushed empties the buffer of out; nil if it has none.
	flushed func() error
	batched *batched                                  // what it goes to; nil for what holds nothing back
	skip    func(conn int, from parse.Side)           // nil for a source that cannot
	follow  func(conn int, from parse.Side, rest int) // likewise
	headers func(conn int)                            // record headers will do; nil for a source that does not care
	drops   func() int64                              // packets lost so far by the source; nil for none
	seen    func(*attribute.Connection)               // is told of answers too; nil for nobody
	files   *evidence.Keeper                          // nil for none
	confirm *confirmLive                              // nil for not

	mu      sync.Mutex
	bench   attribute.Bench
	hops    attribute.Hops
	keep    filter
	conns   []*watched // indexed by Chunk.Conn, nil for none
	waiting map[*watched]struct{}
	dropped []*hung // in the order they were heard of
	tally   tally
	told    told
	ids     uint64
	latest  time.Time // by the clock of the capture
	came    time.Time // when that was, by ours
	broken  error     // of writing
}

// watched is a connection that is open.
type watched struct {
	conn    *parse.Conn
	id      uint64
	inside  uint64             // id of the connection around it, 0 for none
	number  int                // Chunk.Conn
	told    *attribute.Verdict // as last reported, nil before
	since   time.Time          // when it was first decided, but for what answer waits for
	left    bool               // out, by the filter
	skipped [2]bool
	settled bool
	aside   bool      // application data changes nothing
	headers bool      // nothing else is looked at
	records int       // on the tapes when last looked at
	hoped   bool      // that keys would open more, when it was last fed
	drops   int64     // of the source when its latest chunk came
	came    time.Time // when that was, by our clock
}

func newWatching(name string, p *parse.Parser, out report.Writer) *watching {
	return &watching{name: name, parser: p, book: attribute.NewBook(), out: out, waiting: make(map[*watched]struct{}), told: newTold()}
}

// read takes a source to its end.
func (w *watching) read(ctx context.Context, src capture.Source, failed func(error)) error {
	for ch, err := range src.Chunks(ctx) {
		if err != nil {
			failed(err)
			continue
		}
		w.mu.Lock()
		w.chunk(ch)
		err := w.broken
		w.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// chunk takes the next chunk.
func (w *watching) chunk(ch *parse.Chunk) {
	w.latest, w.came = ch.Time, time.Now()
	for ch.Conn >= len(w.conns) {
		w.conns = append(w.conns, nil)
	}
	c := w.conns[ch.Conn]
	if c == nil {
		c = &watched{conn: w.parser.NewConn(), number: ch.Conn}
		w.conns[ch.Conn] = c
		w.told.open++
	}
	c.came = w.came
	if w.drops != nil {
		c.drops = w.drops()
	}
	w.keys.follow(w.came, ch.End != parse.Open && c.conn.Handshake().Unsealing)
	events := c.conn.Feed(*ch)
	w.told.notes(events)
	h := c.conn.Handshake()
	if ch.End != parse.Open {
		w.conns[ch.Conn] = nil
		w.told.open--
		kept := w.end(c)
		w.parser.Recycle(c.conn)
		if !kept {
			w.parser.Release(h)
		}
		return
	}
	if w.headers != nil && !c.headers && !c.conn.Bodies() {
		c.headers = true
		w.headers(c.number)
	}
	givenUp := c.hoped && !h.Unsealing // on keys, which no event tells
	if c.hoped = h.Unsealing; givenUp {
		c.records = -1
	}
	if !c.settled && (givenUp || tells(events, c.aside)) {
		w.look(c)
	}
	if !h.TLS || h.Midstream {
		w.giveUp(c, ch.From)
	}
	if w.follow != nil && len(ch.Data) > 0 && !c.settled && h.Sides[ch.From].AppBytes >= minFollow {
		if rest, ok := c.conn.Bulk(ch.From); ok {
			w.follow(c.number, ch.From, rest)
		}
	}
}

// minFollow is how many bytes of application data a side must have sent before the
// source is told where its records begin: most connections carry less.
const minFollow = 64 << 10

// tells reports whether events may change an answer; aside, what
// [attribute.Progress.DataAside] is about does not.
func tells(events []parse.Event, aside bool) bool {
	for i := range events {
		switch e := &events[i]; e.Kind {
		case parse.EventConflict, parse.EventPreamble, parse.EventMalformed:
		case parse.EventFin:
			if !aside {
				return true
			}
		case parse.EventRecord:
			if t := e.Record.Type; !aside || t != parse.ApplicationData && t != parse.AlertRecord {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// look answers for a connection that goes on, as far as it is decided.
func (w *watching) look(c *watched) {
	h := c.conn.Handshake()
	if !h.TLS {
		return
	}
	n := len(h.Tape.Records)
	for i := range h.Rounds {
		n += len(h.Rounds[i].Tape.Records)
	}
	if c.told != nil && n == c.records && h.Tape.Full {
		return // bulk
	}
	c.records = n
	now := w.bench.Look(h)
	if c.aside = now.DataAside; !now.Decided {
		if c.told == nil {
			w.waiting[c] = struct{}{}
		}
		return
	}
	delete(w.waiting, c)
	w.answer(c, h, now.Verdict)
	if c.settled = now.Settled; c.settled {
		if w.files != nil {
			w.files.Settled(h)
		}
		w.skipSide(c, parse.Opener)
		w.skipSide(c, parse.Accepter)
	}
}

// maxStray is how many bytes of a connection whose handshake was not captured
// are looked at for another one.
const maxStray = 1 << 20

// giveUp has the source skip what shows no TLS.
func (w *watching) giveUp(c *watched, from parse.Side) {
	h := c.conn.Handshake()
	if c.conn.Opaque(from) {
		w.skipSide(c, from)
	}
	if h.Midstream && h.ClientHello == nil && h.ServerHello == nil && h.Sides[0].Bytes+h.Sides[1].Bytes > maxStray {
		w.skipSide(c, parse.Opener)
		w.skipSide(c, parse.Accepter)
	}
}

func (w *watching) skipSide(c *watched, from parse.Side) {
	if w.skip != nil && !c.skipped[from] {
		c.skipped[from] = true
		w.skip(c.number, from)
	}
}

// end answers for a connection that is over. It reports whether its facts are kept.
func (w *watching) end(c *watched) (kept bool) {
	delete(w.waiting, c)
	h := c.conn.Handshake()
	switch {
	case h.TLS:
		w.told.tls++
		w.tally.keyed(h)
		if !c.settled { // else the end changes nothing
			w.answer(c, h, w.bench.Judge(h))
			kept = w.hangs(h)
		}
		for in := h.Inner; in != nil && in.TLS; in = in.Inner {
			c = &watched{inside: c.id}
			w.tally.keyed(in)
			w.answer(c, in, w.bench.Judge(in))
		}
	case h.QUIC != nil:
		w.tally.quic++
	default:
		w.tally.plain++
	}
	if w.files != nil && !kept {
		w.files.Ended(h)
	}
	return kept
}

// held reports whether an answer is not to be told yet, because a word of the
// server, which mostly takes a round trip, would have another line follow.
func (w *watching) held(c *watched, v *attribute.Verdict) bool {
	if c.told != nil || v.Asked != attribute.Yes || v.When != attribute.InHandshake ||
		v.Reply != attribute.ReplyEmpty || v.Required != attribute.Unknown {
		return false
	}
	if c.since.IsZero() {
		c.since = w.latest
	}
	return w.now().Sub(c.since) < silence
}

// answer tells what is new in the verdict about a connection.
func (w *watching) answer(c *watched, h *parse.Handshake, v attribute.Verdict) {
	if c.left = c.left || w.confirm != nil && w.confirm.made(h); c.left {
		return
	}
	if c.told != nil && same(c.told, &v) || v.Asked == attribute.Unknown && h.End == parse.Open {
		return // what is unknown yet, as in the middle of a renegotiation, may still be told
	}
	if h.End == parse.Open && w.held(c, &v) {
		w.waiting[c] = struct{}{}
		return
	}
	a := &attribute.Connection{Capture: w.name, Handshake: h, Verdict: v, Inside: c.inside}
	a.Client, a.Server = h.Ends()
	if !w.keep.keeps(a) {
		c.left = true
		w.tally.filtered++
		return
	}
	a.Hop = w.hops.Name(a.Server, serverName(h), leaf(h))
	before := c.told
	c.told = &v
	if before == nil {
		w.ids++
		c.id = w.ids
		a.ID = c.id
		n := w.book.Add(a)
		w.tally.count(n)
		if v.Waits() {
			w.hang(a, !n.Again)
			return
		}
		if !n.Again {
			w.told.verdict(a, before)
		}
	} else {
		a.ID = c.id
		if w.book.Correct(a, before) {
			w.tally.correct(before.Asked, v.Asked)
			w.told.verdict(a, before)
		}
	}
	w.tell(a)
}

// tell hands on an answer.
func (w *watching) tell(a *attribute.Connection) {
	w.write(w.out.Connection(a))
	w.flush()
	w.file(a)
	if w.seen != nil {
		w.seen(a)
	}
	if w.confirm != nil {
		w.confirm.look(w.book.Asker(a))
	}
}

// same reports whether two verdicts say the same to a reader of the log.
func same(a, b *attribute.Verdict) bool {
	return a.Asked == b.Asked && a.By == b.By && a.When == b.When && a.Reply == b.Reply &&
		a.Required == b.Required && a.Unused == b.Unused && a.Basis == b.Basis && a.Resumed == b.Resumed && a.Reason == b.Reason
}

// pause is called when nothing more is known to come at once.
func (w *watching) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send()
}

// send has what was told go out.
func (w *watching) send() { w.write(w.batched.flush()) }

func (w *watching) write(err error) {
	if w.broken == nil {
		w.broken = err
	}
}
