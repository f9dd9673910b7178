package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"whoasked/capture/probe"
)

const (
	// perAddress is how many connections one address gets at a time, and one until
	// the first is made.
	perAddress = 4
	// maxWaiting is how many targets that are through wait for one before them.
	maxWaiting = 256
)

// errNotTried is the error of an attempt that was not made, for those before it
// had no answer.
var errNotTried = errors.New("no answer in time, and not tried again")

// sweep is one pass over targets.
type sweep struct {
	prober *probe.Prober
	repeat int
	free   chan struct{} // room for connections

	mu      sync.Mutex
	places  map[netip.Addr]*place
	silence map[silent]int // timeouts; an answer ends the count for good
}

// spoke stands in a count of timeouts for one that an answer ended.
const spoke = -1

// place is an address while targets there are probed.
type place struct {
	slots chan struct{} // perAddress
	open  sync.Once     // once a connection was made, or refused
	users int
}

// silent is what had no answer: an address that takes no connections, or one
// that does, and leaves a ClientHello unanswered.
type silent struct {
	at      netip.AddrPort
	name    string // as is version, of the ClientHello; empty for connections
	version uint16
}

// outcome is what came of a target.
type outcome struct {
	index    int
	attempts []*probe.Attempt // nil for those not made before the end
	err      error            // in place of attempts
}

func (p *probing) newSweep() *sweep {
	return &sweep{
		prober: p.prober, repeat: p.matrix.Repeat, free: make(chan struct{}, p.flags.parallel),
		places: make(map[netip.Addr]*place), silence: make(map[silent]int),
	}
}

// sweep probes all targets, as many at a time as connections, and hands on what
// came of them in their order; of those that are through, maxWaiting wait for
// one that takes its time, and no more. An error of take ends it.
func (p *probing) sweep(ctx context.Context, targets []probe.Target, take func(*outcome) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, through := p.newSweep(), make(chan *outcome)
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(p.flags.parallel, len(targets)) {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(targets)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				o := &outcome{index: int(i)}
				var plan []probe.Probe
				if plan, o.err = p.plan(ctx, targets[i]); o.err == nil {
					o.attempts = s.probe(ctx, plan)
					o.attempts = append(o.attempts, s.probe(ctx, p.moreNames(targets[i], o.attempts))...)
				}
				through <- o
			}
		})
	}
	go func() { work.Wait(); close(through) }()
	order := ordered{waiting: make(map[int]*outcome)}
	var broken error
	for o := range through {
		order.waiting[o.index] = o
		for o := order.take(maxWaiting); o != nil && broken == nil; o = order.take(maxWaiting) {
			if broken = take(o); broken != nil {
				cancel()
			}
		}
		p.swept.Add(1)
	}
	for o := order.take(0); o != nil && broken == nil; o = order.take(0) {
		broken = take(o)
	}
	return broken
}

// ordered gives outcomes back in the order of targets.
type ordered struct {
	waiting map[int]*outcome
	next    int          // the lowest that was not taken
	early   map[int]bool // those above it that were
}

// take returns the next outcome, or the first of those there if more than most
// wait; nil for none.
func (w *ordered) take(most int) *outcome {
	for w.early[w.next] {
		delete(w.early, w.next)
		w.next++
	}
	if o := w.waiting[w.next]; o != nil {
		delete(w.waiting, w.next)
		w.next++
		return o
	}
	if len(w.waiting) <= most {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(w.waiting)))
	o := w.waiting[first]
	delete(w.waiting, first)
	if w.early == nil {
		w.early = make(map[int]bool)
	}
	w.early[first] = true
	return o
}

// probe carries out a plan of its own.
func (p *probing) probe(ctx context.Context, plan []probe.Probe) []*probe.Attempt {
	return p.newSweep().probe(ctx, plan)
}

// probe carries out a plan, its addresses beside each other; the attempts come
// in its order.
func (s *sweep) probe(ctx context.Context, plan []probe.Probe) []*probe.Attempt {
	out := make([]*probe.Attempt, len(plan))
	parts := make(map[netip.Addr][]int)
	for i := range plan {
		a := plan[i].Addr.Addr()
		parts[a] = append(parts[a], i)
	}
	var work sync.WaitGroup
	for addr, part := range parts {
		work.Go(func() {
			at := s.enter(addr)
			defer s.leave(addr, at)
			s.probeAt(ctx, at, plan, part, out)
		})
	}
	work.Wait()
	return out
}

// probeAt carries out the part of a plan that is about one address.
func (s *sweep) probeAt(ctx context.Context, at *place, plan []probe.Probe, part []int, out []*probe.Attempt) {
	var work sync.WaitGroup
	defer work.Wait()
	release := func() { <-s.free; <-at.slots }
	for _, i := range part {
		if !acquire(ctx, at.slots) {
			return
		}
		if !acquire(ctx, s.free) {
			<-at.slots
			return
		}
		if out[i] = s.givenUp(plan[i]); out[i] != nil {
			release()
			continue
		}
		work.Go(func() {
			defer release()
			out[i] = s.prober.Do(ctx, plan[i])
			s.learn(at, out[i])
		})
	}
}

// acquire waits for room; false once ctx is done.
func acquire(ctx context.Context, room chan struct{}) bool {
	select {
	case room <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if ctx.Err() != nil {
		<-room
		return false
	}
	return true
}

// enter and leave frame what is done at an address.
func (s *sweep) enter(addr netip.Addr) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.places[addr]
	if at == nil {
		at = &place{slots: make(chan struct{}, perAddress)}
		for range perAddress - 1 {
			at.slots <- struct{}{}
		}
		s.places[addr] = at
	}
	at.users++
	return at
}

func (s *sweep) leave(addr netip.Addr, at *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(s.places, addr)
	}
}

// kinds returns what the silence of a probe is counted under, and the stage in
// which it is met.
func kinds(pr *probe.Probe) [2]silent {
	return [2]silent{{at: pr.Addr}, {at: pr.Addr, name: pr.ServerName, version: pr.Version}}
}

// givenUp returns the attempt that stands for a probe which is not made: as many
// as were to be repeated had no answer, and none ever had. One connection is
// enough, since its SYN is sent several times; of ClientHellos it takes two.
func (s *sweep) givenUp(pr probe.Probe) *probe.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range kinds(&pr) {
		if s.silence[k] >= max(i+1, s.repeat) {
			stage := [...]probe.Stage{probe.StageDial, probe.StageHandshake}[i]
			return &probe.Attempt{Probe: pr, Stage: stage, Err: errNotTried}
		}
	}
	return nil
}

// learn takes into account how an address reacts.
func (s *sweep) learn(at *place, a *probe.Attempt) {
	late := timedOut(a.Err)
	connected := a.Stage > probe.StageDial
	if connected || !late {
		at.open.Do(func() {
			for range perAddress - 1 {
				<-at.slots
			}
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := kinds(&a.Probe)
	s.count(k[0], !connected && late)
	if connected {
		s.count(k[1], late && !answered(a))
	}
}

func (s *sweep) count(k silent, late bool) {
	switch n := s.silence[k]; {
	case n == spoke:
	case late:
		s.silence[k] = n + 1
	default:
		s.silence[k] = spoke
	}
}

// timedOut reports whether an error is that nothing came in time.
func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
