package main

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/config"
	"whoasked/parse"
	"whoasked/report"
)

// line is the way from bytes to answers. Sources go through it one after the
// other, all into one book and one report.
type line struct {
	parser *parse.Parser
	book   *attribute.Book
	out    report.Writer
	hops   attribute.Hops
	keep   filter
	own    bool             // the connections are of our making: nothing is to be captured better
	legs   *attribute.Legs  // nil where legs are not joined
	keys   *keyLogs         // nil for none
	probed attribute.Joined // what was put together from probes of single hops
	// confirm asks endpoints themselves when all was read; nil for not.
	confirm *confirmer
	// batch is how many connections are judged at a time; 0 and 1 stand for each
	// as it ends, which a stream that may pause needs.
	batch int

	bench attribute.Bench
	ended attribute.Connection // the one being reported, which nobody keeps
	// inside is the id of the connection around the one being judged, 0 for none.
	inside uint64
	ids    uint64 // given to connections
	tally  tally
	// dropped are kept back, as their answers wait for what else their browsers do.
	dropped []*attribute.Connection

	outputs []*output // of out; they appear when complete is through
}

// openLine sets up a line that reports at the end what c asks for. The output
// takes the place of none of the inputs. Until complete, discard gives it up.
func openLine(c *config.Config, inputs []string) (*line, error) {
	out, err := openOutput(c.Output, inputs)
	if err != nil {
		return nil, err
	}
	l := &line{book: attribute.NewBook(), hops: c.Hops, keep: newFilter(c), outputs: []*output{out}}
	if l.out, err = newWriter(c, out); err == nil {
		l.keys, err = openKeyLogs(c)
	}
	if err != nil {
		l.discard()
		return nil, err
	}
	l.confirm = newConfirmer(c)
	l.parser = parse.NewParser(parse.Options{Fingerprints: c.Format == "json", Keys: l.keys.keys})
	return l, nil
}

// complete reports what only the end can tell, and puts the output in its place,
// if err, of writing until now, is nil. The error returned says that it is one of
// writing.
func (l *line) complete(ctx context.Context, err error, notes []capture.Note) error {
	if err == nil {
		err = l.finish(ctx, notes)
	}
	for _, o := range l.outputs {
		if err == nil {
			err = o.commit()
		}
	}
	if err != nil {
		return fmt.Errorf("cannot write the answer: %w", err)
	}
	return nil
}

// discard gives up what complete has not put in place.
func (l *line) discard() {
	for _, o := range l.outputs {
		o.discard()
	}
}

// tally counts connections that have ended.
type tally struct {
	plain    int64 // carried no TLS
	covered  int64 // of OpenVPN, with TLS encrypted once more
	quic     int64 // of QUIC, whose answer is unknown or whose packets could not be opened
	filtered int64 // left out by the filter
	asked    int64
	notAsked int64
	unknown  int64
	probed   int64 // endpoints that asked a probe, and of which nothing else tells
	tunnels  int64 // of those judged, they hide others inside

	// Of all connections: those that secrets opened, and those that have some
	// which did not.
	opened, failed int64
}

func (t *tally) judged() int64 { return t.asked + t.notAsked + t.unknown }

// count counts a connection, once for all its sightings.
func (t *tally) count(c attribute.Counted) {
	if c.Again {
		*t.of(c.Before)--
	}
	*t.of(c.Answer)++
}

// correct counts a connection under another answer than before.
func (t *tally) correct(before, now attribute.Answer) {
	*t.of(before)--
	*t.of(now)++
}

// probe counts what came of asking an endpoint itself.
func (t *tally) probe(a *attribute.Asker) {
	if a.Asked == 0 && a.Asks() == attribute.Yes {
		t.probed++
	}
}

// keyed counts what secrets did for a connection that is over.
func (t *tally) keyed(h *parse.Handshake) {
	switch h.Keys {
	case parse.KeysOpened:
		t.opened++
	case parse.KeysFailed, parse.KeysUnsupported:
		t.failed++
	}
}

func (t *tally) of(a attribute.Answer) *int64 {
	switch a {
	case attribute.Yes:
		return &t.asked
	case attribute.No:
		return &t.notAsked
	}
	return &t.unknown
}

// read takes a source to its end. What the source could not observe goes to
// failed; the error returned is one of writing the report, and final.
//
// Connections that are over are judged and reported in a goroutine of its own,
// in the order they ended, while the next ones are read.
func (l *line) read(ctx context.Context, name string, src capture.Source, failed func(error)) error {
	ended := newHandover(max(l.batch, 1))
	broken := make(chan error, 1) // the first error of the report
	var reporter sync.WaitGroup
	reporter.Go(func() {
		for batch := range ended.full {
			for i, h := range batch {
				kept, err := l.end(name, h)
				if err != nil {
					broken <- err
					return
				}
				if kept {
					batch[i] = nil
				}
			}
			ended.done(batch)
		}
	})
	err := l.parse(ctx, src, ended, broken, failed)
	if err == nil {
		err = ended.flush(l.parser, broken)
	}
	close(ended.full)
	reporter.Wait()
	if err == nil {
		select {
		case err = <-broken:
		default:
		}
	}
	return err
}

// parse feeds the chunks of a source to their connections and hands on those
// that are over.
func (l *line) parse(ctx context.Context, src capture.Source, ended *handover, broken <-chan error, failed func(error)) error {
	conns := l.parser.NewConns()
	settle := newSettling(src)
	for ch, err := range src.Chunks(ctx) {
		if err != nil {
			failed(err)
			continue
		}
		conn, events := conns.Feed(ch)
		if ch.End == parse.Open {
			settle.look(ch.Conn, conn, len(events) > 0)
			continue
		}
		settle.forget(ch.Conn)
		h := conn.Handshake()
		l.parser.Recycle(conn)
		if err := ended.put(h, l.parser, broken); err != nil {
			return err
		}
	}
	return nil
}

// end judges a connection that is over, and those inside of it, and hands them on. It
// reports whether h is kept.
func (l *line) end(name string, h *parse.Handshake) (kept bool, err error) {
	c, err := l.judge(name, h, &l.ended)
	kept = c != nil && c.Verdict.Waits()
	for h = h.Inner; err == nil && h != nil && h.TLS; h = h.Inner {
		l.inside = 0
		if c != nil {
			l.inside = c.ID
		}
		c, err = l.judge(name, h, &l.ended)
	}
	l.inside = 0
	return kept, err
}

// judge is end. It returns c, which it fills; nil if the connection is none to
// look at.
func (l *line) judge(name string, h *parse.Handshake, c *attribute.Connection) (*attribute.Connection, error) {
	if !h.TLS {
		switch {
		case h.QUIC != nil:
			l.tally.quic++
		case h.Covered:
			l.tally.covered++
		default:
			l.tally.plain++
		}
		return nil, nil
	}
	l.tally.keyed(h)
	*c = attribute.Connection{Capture: name, Handshake: h, Inside: l.inside}
	c.Client, c.Server = h.Ends()
	if !l.keep.keeps(c) {
		l.tally.filtered++
		return nil, nil
	}
	c.Hop = l.hops.Name(c.Server, serverName(h), leaf(h))
	c.ClientHop = l.hops.Host(c.Client.Addr())
	c.Verdict = l.bench.Judge(h)
	l.ids++
	c.ID = l.ids
	l.tally.count(l.book.Add(c))
	if c.Hides() {
		l.tally.tunnels++
	}
	if h.QUIC != nil && c.Verdict.Asked == attribute.Unknown {
		l.tally.quic++
	}
	if err := l.settleBefore(c.Start); err != nil {
		return nil, err
	}
	if c.Verdict.Waits() {
		return c, l.wait(c)
	}
	return c, l.tell(c)
}

// tell hands on a connection whose answer is final.
func (l *line) tell(c *attribute.Connection) error {
	if l.legs != nil {
		l.legs.Add(c)
	}
	return l.out.Connection(c)
}

// finish reports what only the end can tell. What takes connections of our own is
// left out once ctx is done.
func (l *line) finish(ctx context.Context, notes []capture.Note) error {
	if err := l.settle(len(l.dropped)); err != nil {
		return err
	}
	prompts, askers := l.book.Finish()
	joinNotes, err := l.join(prompts, askers)
	if err != nil {
		return err
	}
	asked := l.confirm.confirm(ctx, askers)
	attribute.Explain(askers, l.hops)
	for i := range askers {
		l.tally.probe(&askers[i])
		if err := l.out.Asker(&askers[i]); err != nil {
			return err
		}
	}
	for _, n := range slices.Concat(notes, joinNotes, asked, l.notes()) {
		if err := l.out.Note(n); err != nil {
			return err
		}
	}
	return l.out.Close()
}

func serverName(h *parse.Handshake) string {
	if h.ClientHello == nil {
		return ""
	}
	return h.ClientHello.ServerName
}

// leaf is the digest of the server's certificate, nil where it was not read.
func leaf(h *parse.Handshake) *[32]byte {
	if chain := h.ServerCerts(); len(chain) > 0 {
		return &chain[0].SHA256
	}
	return nil
}
