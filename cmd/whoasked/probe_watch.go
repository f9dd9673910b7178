package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"whoasked/attribute"
	"whoasked/capture/probe"
)

// state is what all fresh handshakes of a round say together.
type state uint8

const (
	stateUnknown state = iota // none could be told
	stateNo
	stateYes
	stateMixed
)

// round counts the fresh handshakes of one pass over all targets.
type round struct {
	at             time.Time
	asked, not     int
	unknown, other int // not told; no answer
	reasons        map[string]int
}

func (r *round) state() state {
	switch {
	case r.asked > 0 && r.not > 0:
		return stateMixed
	case r.asked > 0:
		return stateYes
	case r.not > 0:
		return stateNo
	}
	return stateUnknown
}

func (r *round) String() string {
	s := fmt.Sprintf("%s UTC: asked in %d of %d fresh handshakes", r.at.UTC().Format("15:04:05"), r.asked, r.asked+r.not)
	if r.unknown+r.other > 0 {
		s += fmt.Sprintf("; %d more told nothing", r.unknown+r.other)
		if why := r.reason(); why != "" {
			s += ": " + why
		}
	}
	return s
}

// reason is the commonest why nothing was told.
func (r *round) reason() string {
	best := ""
	for _, why := range slices.Sorted(maps.Keys(r.reasons)) {
		if r.reasons[why] > r.reasons[best] {
			best = why
		}
	}
	return best
}

// watch probes until the answer has changed, and a whole round agrees on the
// new one: while a change propagates, some endpoints answer the old way. What it
// reports is the last round.
func (p *probing) watch(ctx context.Context, targets []probe.Target) error {
	p.matrix.Resume, p.matrix.Later = false, false // what is resumed is never asked
	var first *round
	tick := time.NewTicker(p.flags.every)
	defer tick.Stop()
	for {
		attempts := p.round(ctx, targets)
		if ctx.Err() != nil {
			return p.report(ctx, attempts)
		}
		r := tallyRound(attempts)
		p.terminal.note(r.String())
		if first == nil {
			p.noteWays(ctx, attempts)
		}
		now := r.state()
		switch {
		case now == stateUnknown, now == stateMixed:
		case first == nil:
			first = r
		case now != first.state():
			p.terminal.note(changed(r))
			return p.report(ctx, attempts)
		}
		if first == nil && now == stateMixed {
			first = r // a change has begun before us: any agreement ends it
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return p.report(ctx, attempts)
		}
	}
}

func changed(r *round) string {
	if r.state() == stateNo {
		return fmt.Sprintf("no longer asked since %s UTC, in %d of %d fresh handshakes", r.at.UTC().Format("15:04:05"), r.not, r.not)
	}
	return fmt.Sprintf("asked since %s UTC, in %d of %d fresh handshakes", r.at.UTC().Format("15:04:05"), r.asked, r.asked)
}

// round probes all targets once.
func (p *probing) round(ctx context.Context, targets []probe.Target) []*probe.Attempt {
	var out []*probe.Attempt
	_ = p.sweep(ctx, targets, func(o *outcome) error { // nothing is written
		if o.err != nil && ctx.Err() == nil {
			p.terminal.fail(o.err) // a name may come back
		}
		out = append(out, o.attempts...)
		return nil
	})
	return out
}

// tallyRound judges the attempts of a round without reporting them.
func tallyRound(attempts []*probe.Attempt) *round {
	r := &round{at: time.Now(), reasons: make(map[string]int)}
	for _, a := range attempts {
		if a == nil {
			continue
		}
		if r.at.After(a.Start) {
			r.at = a.Start
		}
		if !answered(a) {
			r.other++
			r.reasons[failure(a)]++
			continue
		}
		switch v := attribute.Judge(a.Handshake); v.Asked {
		case attribute.Yes:
			r.asked++
		case attribute.No:
			r.not++
		default:
			r.unknown++
			r.reasons[v.Reason]++
		}
	}
	return r
}
