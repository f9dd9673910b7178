package main

import (
	"slices"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// maxDropped bounds the connections whose answers wait for what else their
// browsers do, each of some 4 KiB; beyond it the oldest wait no longer.
const maxDropped = 1024

// waitFor is how long after a connection what its browser does may still tell why it
// was dropped: a person has decided by then, or is taken to have gone.
const waitFor = 10 * time.Minute

// wait keeps a connection back whose answer waits for what else its browser does.
func (l *line) wait(c *attribute.Connection) error {
	kept := *c
	l.dropped = append(l.dropped, &kept)
	if len(l.dropped) <= maxDropped {
		return nil
	}
	return l.settle(maxDropped / 2)
}

// settleBefore tells the connections kept back that are too old to wait any longer.
func (l *line) settleBefore(now time.Time) error {
	n := 0
	for n < len(l.dropped) && now.Sub(l.dropped[n].Last) > waitFor {
		n++
	}
	if n == 0 {
		return nil
	}
	return l.settle(n)
}

// settle tells the first n of the connections kept back.
func (l *line) settle(n int) error {
	for _, c := range l.dropped[:n] {
		if before := l.book.Settle(c, time.Time{}); before.Counted {
			l.tally.correct(before.Asked, c.Verdict.Asked)
		}
		if err := l.tell(c); err != nil {
			return err
		}
	}
	l.dropped = slices.Delete(l.dropped, 0, n)
	return nil
}

// hung is a connection of a run without an end whose answer waits for what else its
// browser does.
type hung struct {
	*attribute.Connection
	counts bool               // among the answers told: no other sighting does
	told   *attribute.Verdict // as last reported, nil before
}

// hang keeps a connection back. Its answer is told once that is found, or as unknown
// once a browser that was not asked would have connected again.
func (w *watching) hang(a *attribute.Connection, counts bool) {
	w.dropped = append(w.dropped, &hung{Connection: a, counts: counts})
	if len(w.dropped) > maxDropped {
		w.letGo(w.dropped[0])
		w.dropped = slices.Delete(w.dropped, 0, 1)
	}
}

// hangs reports whether the facts of a connection are kept back.
func (w *watching) hangs(h *parse.Handshake) bool {
	return len(w.dropped) > 0 && w.dropped[len(w.dropped)-1].Handshake == h
}

// settle tells what is known by now of the connections kept back, and lets those go
// that have waited for long; all of them if now is the zero time.
func (w *watching) settle(now time.Time) {
	kept := w.dropped[:0]
	for _, d := range w.dropped {
		before := w.book.Settle(d.Connection, now)
		if before.Counted {
			w.tally.correct(before.Asked, d.Verdict.Asked)
		}
		if before.Changed || d.told == nil && now.Sub(d.Last) >= silence {
			w.tellHung(d)
		}
		if now.IsZero() || now.Sub(d.Last) > waitFor {
			w.letGo(d)
			continue
		}
		kept = append(kept, d)
	}
	clear(w.dropped[len(kept):])
	w.dropped = kept
}

// letGo is the end of waiting.
func (w *watching) letGo(d *hung) {
	if d.told == nil {
		w.tellHung(d)
	}
	if w.files != nil {
		w.files.Ended(d.Handshake)
	}
}

func (w *watching) tellHung(d *hung) {
	if d.counts {
		w.told.verdict(d.Connection, d.told)
	}
	v := d.Verdict
	d.told = &v
	w.tell(d.Connection)
}
