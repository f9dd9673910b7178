package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"whoasked/lab/bench/traffic"
)

// sample is one run of one tool.
type sample struct {
	Wall time.Duration // nanoseconds in JSON, as CPU
	CPU  time.Duration // user + system, all threads
	RSS  int64         // highest resident memory, bytes; 0 where the system does not tell
}

// series is all runs of one tool on one capture.
type series struct {
	Tool    string
	Own     bool
	Version string `json:",omitempty"`
	Samples []sample
}

// measure runs a command to its end.
func measure(c *exec.Cmd) (sample, error) {
	start := time.Now()
	err := c.Run()
	wall := time.Since(start)
	if err != nil {
		return sample{}, fmt.Errorf("%v: %w", c.Args, err)
	}
	return sample{wall, c.ProcessState.UserTime() + c.ProcessState.SystemTime(), peakRSS(c.ProcessState)}, nil
}

// compare measures all tools on all captures.
func (b *bench) compare(ctx context.Context, r *result) error {
	found := b.present(tools(b.whoasked))
	for _, c := range r.Captures {
		b.say("%v", &c.Truth)
		if err := b.interleave(ctx, c, found); err != nil {
			return err
		}
	}
	return nil
}

// interleave runs the tools in turn, round after round, so that a disturbance
// of the machine meets all of them. Every second round goes backwards, so that
// no tool always runs behind the same other. A first look at the file warms the
// page cache.
func (b *bench) interleave(ctx context.Context, c *capture, found []tool) error {
	for _, t := range found {
		c.Series = append(c.Series, series{Tool: t.Name, Own: t.Own, Version: t.version(ctx)})
	}
	if err := warm(c.Path); err != nil {
		return err
	}
	for round := range b.rounds {
		for i := range found {
			if round%2 == 1 {
				i = len(found) - 1 - i
			}
			if found[i].Slow && round >= b.slow {
				continue
			}
			s, err := measure(found[i].command(ctx, c.Path))
			if err != nil {
				return err
			}
			c.Series[i].Samples = append(c.Series[i].Samples, s)
			b.say("  round %d  %-14s %8.3f s  %6.1f MiB", round+1, found[i].Name, s.Wall.Seconds(), mebi(s.RSS))
		}
	}
	return nil
}

// lengthen measures the product's memory on captures twice as long.
func (b *bench) lengthen(ctx context.Context, r *result) error {
	own := tools(b.whoasked)[0]
	for _, p := range []traffic.Profile{traffic.BulkProfile(2 * b.scale), traffic.HandshakeProfile(2 * b.scale)} {
		c, err := b.capture(ctx, p)
		if err != nil {
			return err
		}
		if c.Answers, err = b.verify(ctx, c); err != nil {
			return err
		}
		b.say("%v", &c.Truth)
		if err := b.interleave(ctx, c, []tool{own}); err != nil {
			return err
		}
		r.Long = append(r.Long, c)
	}
	return nil
}

// wrapped checks the answers on the bulk capture in a tunnel, and measures the
// product on it in turn with the plain one.
func (b *bench) wrapped(ctx context.Context, r *result) error {
	c, err := b.capture(ctx, traffic.WrappedProfile(b.scale))
	if err != nil {
		return err
	}
	if c.Answers, err = b.verify(ctx, c); err != nil {
		return err
	}
	r.Wrapped = c
	b.say("%v: answers right", &c.Truth)
	if b.short {
		return nil
	}
	own, plain := tools(b.whoasked)[0], r.Captures[0]
	c.Series = []series{{Tool: own.Name, Own: true}, {Tool: own.Name + ", not wrapped", Own: true}}
	paths := []string{c.Path, plain.Path}
	for _, p := range paths {
		if err := warm(p); err != nil {
			return err
		}
	}
	for range b.rounds {
		for i, p := range paths {
			s, err := measure(own.command(ctx, p))
			if err != nil {
				return err
			}
			c.Series[i].Samples = append(c.Series[i].Samples, s)
		}
	}
	return nil
}
