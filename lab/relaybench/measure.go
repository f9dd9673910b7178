package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// workers is how many clients make new connections at one time.
const workers = 8

// maxConnections is what programs are set to take.
const maxConnections = 6000

// sample is one round of one forwarder.
type sample struct {
	gbps     float64       // GB/s of bulk data
	bulkCPU  float64       // seconds of CPU for a GB
	rate     float64       // new connections a second
	freshCPU time.Duration // of one connection
	p50, p99 time.Duration // of a round trip
}

// series is all of one forwarder.
type series struct {
	name    string
	samples []sample
	idle    usage // for one connection
	failed  error
}

func (b *bench) run(ctx context.Context) (*result, error) {
	if err := raiseLimit(uint64(max(2*b.idle, 2*maxConnections) + 1000)); err != nil {
		return nil, err
	}
	var err error
	if b.server, err = newServer(); err != nil {
		return nil, err
	}
	defer b.server.close()
	rows := forwarders()
	if b.inspect {
		rows = openers()
	}
	r := &result{options: b.options}
	var all []*running
	for _, f := range rows {
		if !strings.Contains(f.name, b.only) {
			continue
		}
		one, err := b.start(ctx, f)
		if err != nil {
			return nil, err
		}
		if one != nil {
			defer one.stop()
			all = append(all, one)
			r.series = append(r.series, &series{name: f.name + " " + one.found})
		}
	}
	direct, err := b.server.listen()
	if err != nil {
		return nil, err
	}
	began, longest := time.Now(), time.Duration(0)
	for round := range b.rounds {
		start := time.Now()
		if spent := start.Sub(began); round > 0 && spent+longest+b.resting(len(all)) > b.limit {
			b.say("%d rounds of %d: more would take longer than %v", round, b.rounds, b.limit)
			break
		}
		if err := b.turns(ctx, round, all, r); err != nil {
			return nil, err
		}
		p50, p99, err := b.roundTrips(fmt.Sprintf("127.0.0.1:%d", direct))
		if err != nil {
			return nil, err
		}
		r.direct = append(r.direct, sample{p50: p50, p99: p99})
		if round > 0 { // in the first, programs that fail take their time
			longest = max(longest, time.Since(start))
		}
	}
	if b.inspect {
		return r, nil
	}
	for i := range all {
		if r.series[i].failed != nil {
			continue
		}
		if r.series[i].idle, err = b.rest(all[i]); err != nil {
			if err := b.fails(all[i], r.series[i], err); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// turns measures all programs that have not failed once.
func (b *bench) turns(ctx context.Context, round int, all []*running, r *result) error {
	for i := range all {
		if round%2 == 1 { // no program always runs behind the same other
			i = len(all) - 1 - i
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.series[i].failed != nil {
			continue
		}
		s, err := b.round(all[i])
		if err != nil {
			if err := b.fails(all[i], r.series[i], err); err != nil {
				return err
			}
			continue
		}
		r.series[i].samples = append(r.series[i].samples, s)
		if b.inspect {
			b.say("round %d  %-24s %5.0f connections/s  %4d µs CPU each", round+1, all[i].name, s.rate, s.freshCPU.Microseconds())
			continue
		}
		b.say("round %d  %-24s %6.2f GB/s  %5.3f CPU s/GB  %5.0f connections/s  %4d µs CPU each  %v %v",
			round+1, all[i].name, s.gbps, s.bulkCPU, s.rate, s.freshCPU.Microseconds(), s.p50, s.p99)
	}
	return nil
}

// resting is about how long it takes to see what idle connections of n programs
// cost.
func (b *bench) resting(n int) time.Duration {
	if b.inspect {
		return 0
	}
	return time.Duration(n) * (time.Second + time.Duration(b.idle)*2*time.Millisecond)
}

// fails takes note that a program did not carry a connection to its end. Another
// one's failure is part of the result; the product's ends the run.
func (b *bench) fails(f *running, s *series, err error) error {
	if f.program == "" {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	b.say("%s fails: %v", f.name, err)
	s.failed = err
	return nil
}

// round measures one forwarder once.
func (b *bench) round(f *running) (s sample, err error) {
	if s.rate, s.freshCPU, err = b.connections(f); err != nil || b.inspect {
		return s, err
	}
	if s.gbps, s.bulkCPU, err = b.carry(f); err != nil {
		return s, err
	}
	s.p50, s.p99, err = b.roundTrips(f.addr)
	return s, err
}

// connections makes new connections: a full handshake, a request, an answer.
func (b *bench) connections(f *running) (rate float64, each time.Duration, err error) {
	before, err := f.group.usage()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	var next atomic.Int64
	errs := make(chan error, workers)
	for range workers {
		go func() {
			for next.Add(1) <= int64(b.fresh) {
				c, err := connect(f.addr)
				if err != nil {
					errs <- err
					return
				}
				c.close()
				if opened := !bytes.Equal(c.tls.ConnectionState().PeerCertificates[0].Raw, b.server.der); opened != b.inspect {
					errs <- fmt.Errorf("TLS was opened: %t", opened)
					return
				}
			}
			errs <- nil
		}()
	}
	for range workers {
		if e := <-errs; e != nil {
			err = e
		}
	}
	took := time.Since(start)
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(100 * time.Millisecond) // what it does behind the last
	after, err := f.group.usage()
	return float64(b.fresh) / took.Seconds(), (after.cpu - before.cpu) / time.Duration(b.fresh), err
}

// carry has bulk data carried on one connection.
func (b *bench) carry(f *running) (gbps, perGB float64, err error) {
	c, err := connect(f.addr)
	if err != nil {
		return 0, 0, err
	}
	defer c.close()
	if err := c.request(fmt.Sprintf("/bulk/%d", b.bulk)); err != nil {
		return 0, 0, err
	}
	before, err := f.group.usage()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if _, err := c.raw.Write(goOn[:]); err != nil {
		return 0, 0, err
	}
	size := int64(b.bulk) << 20
	if n, err := io.CopyBuffer(onlyWriter{io.Discard}, io.LimitReader(c.raw, size), make([]byte, 256<<10)); err != nil || n < size {
		return 0, 0, fmt.Errorf("%d bytes of bulk data came of %d: %w", n, size, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	took := time.Since(start)
	after, err := f.group.usage()
	if err != nil {
		return 0, 0, err
	}
	gb := float64(size) / 1e9
	return gb / took.Seconds(), (after.cpu - before.cpu).Seconds() / gb, nil
}

// onlyWriter hides that there is a shorter way to copy.
type onlyWriter struct{ io.Writer }

// roundTrips measures requests on one connection.
func (b *bench) roundTrips(addr string) (p50, p99 time.Duration, err error) {
	c, err := connect(addr)
	if err != nil {
		return 0, 0, err
	}
	defer c.close()
	took := make([]time.Duration, b.pings)
	for i := range took {
		start := time.Now()
		if err := c.ping(); err != nil {
			return 0, 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], nil
}

// rest opens connections that then do nothing, and returns what each costs.
func (b *bench) rest(f *running) (each usage, err error) {
	before, err := f.group.usage()
	if err != nil {
		return each, err
	}
	clients := make([]*client, b.idle)
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.close()
			}
		}
	}()
	errs := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < len(clients) && errs[w] == nil; i += workers {
				clients[i], errs[w] = connect(f.addr)
			}
		})
	}
	all.Wait()
	for _, e := range errs {
		if e != nil {
			return each, e
		}
	}
	time.Sleep(time.Second) // until all is in its place
	after, err := f.group.usage()
	if err != nil {
		return each, err
	}
	each.rss = (after.rss - before.rss) / int64(b.idle)
	each.descriptors = (after.descriptors - before.descriptors + b.idle/2) / b.idle
	b.say("%d idle  %-24s %d bytes, %d descriptors each", b.idle, f.name, each.rss, each.descriptors)
	return each, nil
}
