package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"whoasked/capture/probe"
)

func TestOrdered(t *testing.T) {
	w := ordered{waiting: make(map[int]*outcome)}
	var got []int
	for _, i := range []int{2, 1, 4, 3, 0, 6, 5} {
		w.waiting[i] = &outcome{index: i}
		for o := w.take(2); o != nil; o = w.take(2) {
			got = append(got, o.index)
		}
	}
	// 0 comes after three others: the first of them does not wait for it.
	if want := []int{1, 2, 0, 3, 4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if len(w.waiting)+len(w.early) > 0 {
		t.Errorf("%+v is left", w)
	}
}

// newTestProbing probes by dial, which is told how many others are at work.
func newTestProbing(dial probe.Dial, parallel int) *probing {
	return &probing{
		terminal: &terminal{err: io.Discard},
		prober:   &probe.Prober{Dial: dial, Timeout: time.Second},
		matrix:   probe.Matrix{Versions: []uint16{0x303, 0x304}, ALPN: []string{"h2", "http/1.1"}, Repeat: 1, Resume: true, Later: true},
		flags:    &probeFlags{parallel: parallel},
	}
}

// TestSweepPolite: to an address that takes connections, some are made at a
// time; in all, no more than asked for.
func TestSweepPolite(t *testing.T) {
	const parallel, targets = 6, 8
	var mu sync.Mutex
	now, most, dials := make(map[netip.Addr]int), 0, 0
	var all, mostOfAll int
	p := newTestProbing(func(_ context.Context, at netip.AddrPort) (net.Conn, error) {
		mu.Lock()
		now[at.Addr()]++
		all++
		dials++
		most, mostOfAll = max(most, now[at.Addr()]), max(mostOfAll, all)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		now[at.Addr()]--
		all--
		mu.Unlock()
		return nil, errors.New("refused")
	}, parallel)
	var list []probe.Target
	for i := range targets { // two addresses
		list = append(list, probe.Target{Host: fmt.Sprint("198.18.0.", i%2), Port: uint16(443 + i), Path: "/"})
	}
	var order []int
	if err := p.sweep(t.Context(), list, func(o *outcome) error {
		order = append(order, o.index)
		for _, a := range o.attempts {
			if a == nil || errors.Is(a.Err, errNotTried) {
				t.Errorf("%+v: not made", a)
			}
		}
		return o.err
	}); err != nil {
		t.Fatal(err)
	}
	if most > perAddress || mostOfAll > parallel || dials != targets*7 {
		t.Errorf("%d to an address and %d in all at a time, %d dials; want at most %d and %d, and %d", most, mostOfAll, dials, perAddress, parallel, targets*7)
	}
	if !slices.IsSorted(order) || len(order) != targets {
		t.Errorf("order %v", order)
	}
}

// TestSweepDead: an address that is silent gets one connection, however many
// targets are there; an answer, once, has it tried on.
func TestSweepDead(t *testing.T) {
	for _, alive := range []bool{false, true} {
		parallel := 4
		if alive {
			parallel = 1 // else the answer may be counted behind the silence that comes after
		}
		var dials atomic.Int32
		p := newTestProbing(func(context.Context, netip.AddrPort) (net.Conn, error) {
			if dials.Add(1) == 1 && alive {
				return nil, errors.New("refused")
			}
			return nil, os.ErrDeadlineExceeded
		}, parallel)
		list := slices.Repeat([]probe.Target{{Host: "198.18.0.9", Port: 443, Path: "/"}}, 5)
		skipped := 0
		if err := p.sweep(t.Context(), list, func(o *outcome) error {
			for _, a := range o.attempts {
				if errors.Is(a.Err, errNotTried) && failure(a) == "connect: no answer in time, and not tried again" {
					skipped++
				}
			}
			return o.err
		}); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int32{false: 1, true: 35}[alive]; dials.Load() != want || skipped != 35-int(want) {
			t.Errorf("alive %v: %d dials, %d left out; want %d of 35", alive, dials.Load(), skipped, want)
		}
	}
}

// TestSweepEnds: an error of who takes the answers, or the end of the context,
// ends a sweep with what was begun.
func TestSweepEnds(t *testing.T) {
	list := slices.Repeat([]probe.Target{{Host: "198.18.0.9", Port: 443, Path: "/"}}, 1000)
	var dials atomic.Int32
	p := newTestProbing(func(context.Context, netip.AddrPort) (net.Conn, error) {
		dials.Add(1)
		return nil, errors.New("refused")
	}, 2)
	broken := errors.New("broken")
	if err := p.sweep(t.Context(), list, func(*outcome) error { return broken }); err != broken {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.sweep(ctx, list, func(*outcome) error { cancel(); return nil }); err != nil {
		t.Error(err)
	}
	// The workers may be as far ahead as their answers can wait, in both sweeps.
	const each = 7 // connections to a target, as TestSweepDead counts them
	if n := dials.Load(); n > 2*each*(maxWaiting+2) {
		t.Errorf("%d connections after the end", n)
	}
}

// TestProbeSilent: a server that leaves ClientHellos unanswered is tried twice
// with each version, and --exit-code does not take that for a no, whatever
// others say.
func TestProbeSilent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var accepted atomic.Int32
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go func() {
				defer c.Close()
				io.Copy(io.Discard, c)
			}()
		}
	}()
	s := newSite(t, newPeers(t))
	lines, _, status := runProbeCommand(t, "--parallel", "1", "--timeout", "300ms", "--exit-code", "--name", "free.contoso.test",
		"https://"+s.addr, "https://"+ln.Addr().String())
	untried := 0
	for _, p := range probesOf(lines) {
		if len(p.Reasons) > 0 && strings.HasSuffix(p.Reasons[0].Reason, "not tried again") {
			untried++
		}
	}
	if n := accepted.Load(); n != 4 || untried != 3 || status != exitUnknown {
		t.Errorf("%d connections, %d kinds not tried, exit status %d; want 4, 3, %d", n, untried, status, exitUnknown)
	}
}
