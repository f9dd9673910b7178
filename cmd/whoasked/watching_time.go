package main

import (
	"slices"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
)

// now is the time by the clock of the capture, which may be another machine's.
func (w *watching) now() time.Time {
	if w.came.IsZero() {
		return time.Now()
	}
	return w.latest.Add(time.Since(w.came))
}

// tick tells what the passing of time alone shows: clients that keep silent, and
// dialogs that are open or over.
func (w *watching) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.keys.follow(time.Now(), false)
	for c := range w.waiting {
		if c.since.IsZero() {
			w.silent(c, now)
		} else if now.Sub(c.since) >= silence {
			delete(w.waiting, c)
			h := c.conn.Handshake()
			w.answer(c, h, w.bench.Judge(h))
		}
	}
	w.settle(now)
	due := w.book.Due(now)
	w.repeats.Mark(due)
	for _, p := range due {
		w.told.prompts[p.Outcome]++
		w.write(w.out.Prompt(&p))
		w.flush()
	}
	w.send()
}

// flush lets a reader see what was told.
func (w *watching) flush() {
	if w.flushed != nil {
		w.write(w.flushed())
	}
}

// silence is how long a client must have kept silent, at the time of a tick, to
// be taken for one that waits for a person; and how long an answer is held for the
// server.
const silence = 3 * time.Second

// silent answers for a connection whose client keeps silent, as if it ended now.
func (w *watching) silent(c *watched, now time.Time) {
	h := *c.conn.Handshake()
	if now.Sub(h.Last) < silence || h.Sides[0].Hidden+h.Sides[1].Hidden > 0 {
		return
	}
	if w.drops != nil && (w.drops() != c.drops || time.Since(c.came) < silence) {
		return // what is missing may be the client's answer; or the clock was set
	}
	h.Last = now
	if v := w.bench.Judge(&h); v.Asked == attribute.Yes && v.Reply == attribute.ReplyStalled {
		delete(w.waiting, c)
		w.answer(c, &h, v)
	}
}

// summary tells the counts so far, and what there is to say about the capture.
func (w *watching) summary(notes []capture.Note) {
	w.mu.Lock()
	defer w.mu.Unlock()
	askers := w.book.Askers()
	attribute.Explain(askers, w.hops)
	for i := range askers {
		w.write(w.out.Asker(&askers[i]))
	}
	w.notes(notes)
	w.flush()
	w.send()
}

// finish tells what is left when nothing more comes.
func (w *watching) finish(notes []capture.Note) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle(time.Time{})
	prompts, askers := w.book.Finish()
	attribute.Explain(askers, w.hops)
	w.repeats.Mark(prompts)
	for i := range prompts {
		w.write(w.out.Prompt(&prompts[i]))
	}
	for i := range askers {
		w.write(w.out.Asker(&askers[i]))
	}
	w.notes(notes)
	w.write(w.out.Close())
	w.send()
	return w.broken
}

func (w *watching) notes(notes []capture.Note) {
	l := line{tally: w.tally, book: w.book, keys: w.keys}
	for _, n := range slices.Concat(notes, w.confirm.notes(), l.notes()) {
		w.write(w.out.Note(n))
	}
}
