package main

import (
	"context"
	"sync"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/config"
)

// Bounds of --confirm while traffic is watched.
const (
	confirmQueue = 64
	confirmEvery = time.Second // between two connections
	maxAnswered  = 1 << 16     // endpoints remembered; no more are asked then
)

// confirmLive asks endpoints beside the traffic, one at a time, and tells what
// comes of it as soon as it is there.
type confirmLive struct {
	*confirmer
	queue chan attribute.Asker
	known map[endpoint]bool
	full  int64 // times that an endpoint was not asked for want of room
	tell  func(*attribute.Asker, *attribute.Confirmation)
	cease context.CancelFunc
	gone  sync.WaitGroup
}

// through is [confirmer.through].
func (l *confirmLive) through(c *config.Relay) {
	if l != nil {
		l.confirmer.through(c)
	}
}

// live begins to ask; tell is called from another goroutine.
func (k *confirmer) live(tell func(*attribute.Asker, *attribute.Confirmation)) *confirmLive {
	if k == nil {
		return nil
	}
	k.pace.Reset(confirmEvery)
	ctx, cease := context.WithCancel(context.Background())
	l := &confirmLive{confirmer: k, queue: make(chan attribute.Asker, confirmQueue), known: make(map[endpoint]bool), tell: tell, cease: cease}
	l.gone.Go(func() {
		for a := range l.queue {
			if c := k.ask(ctx, &a); c != nil {
				tell(&a, c)
			}
		}
	})
	return l
}

// look has the endpoint of a connection asked if it is to be. It does not wait.
func (l *confirmLive) look(a *attribute.Asker) {
	if l == nil || a == nil || !a.Open() {
		return
	}
	key := endpoint{a.Addr, a.SNI}
	switch {
	case l.known[key]:
		return
	case len(l.known) == maxAnswered:
		l.full++
		return
	}
	select {
	case l.queue <- *a:
		l.known[key] = true
	default:
		l.full++ // its next connection tries again
	}
}

// stop waits a while for what is still to be asked.
func (l *confirmLive) stop() {
	if l == nil {
		return
	}
	close(l.queue)
	defer time.AfterFunc(confirmLast, l.cease).Stop()
	l.gone.Wait()
	l.pace.Stop()
	l.cease()
}

// confirmed takes what came of asking an endpoint into the counts, and tells it.
func (w *watching) confirmed(a *attribute.Asker, c *attribute.Confirmation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.book.Confirm(a, c)
	if now == nil {
		return
	}
	w.tally.probe(now)
	w.write(w.out.Asker(now))
	if n, ok := contradiction(now); ok {
		w.write(w.out.Note(n))
	}
	w.flush()
	w.send()
}

func (l *confirmLive) notes() []capture.Note {
	if l == nil || l.full == 0 {
		return nil
	}
	return []capture.Note{{
		Kind: "unconfirmed", Count: l.full,
		Text: count(l.full, "time") + " an endpoint that the traffic tells too little of was not asked (--confirm): others came faster than they may be asked",
		Hint: "narrow it down with --server or --sni, or ask them with whoasked probe",
	}}
}
