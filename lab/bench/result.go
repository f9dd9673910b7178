package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// result is all that a run found.
type result struct {
	Date     time.Time
	Machine  string
	Rounds   int
	Captures []*capture
	// Long are captures twice as long, read by the product alone.
	Long []*capture `json:",omitempty"`
	// Wrapped is the bulk capture in a tunnel, read by the product in turn with
	// the plain one.
	Wrapped *capture `json:",omitempty"`
	Goals   []goal   `json:",omitempty"`
}

// goal is a ratio or a size to reach.
type goal struct {
	Text string
	// Got is the figure measured; Want its bound, from below if AtLeast.
	Got, Want float64
	AtLeast   bool
}

func (g *goal) met() bool {
	if g.AtLeast {
		return g.Got >= g.Want
	}
	return g.Got <= g.Want
}

// machine names the class of machine; the ratios hold for it, not the times.
func machine() string {
	return fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// maxRSS is the product's bound on resident memory, in MiB.
const maxRSS = 64

// sameRSS is how much more memory a capture twice as long may take.
const sameRSS = 1.15

// wrappedTime is how many times the plain capture's time it may take.
const wrappedTime = 1.5

// judge compares with the goals what was measured; a tool that was not found
// leaves its goals out.
func (r *result) judge() {
	for _, w := range []struct {
		capture, tool string
		times         float64
	}{
		{"bulk", "tcpdump", 1},
		{"bulk", "ndpiReader", 8},
		{"bulk", "tshark", 50},
		{"handshakes", "tshark", 30},
	} {
		own, peer := r.find(w.capture, ""), r.find(w.capture, w.tool)
		if own == nil || peer == nil {
			continue
		}
		r.Goals = append(r.Goals, goal{
			Text: fmt.Sprintf("%s: times faster than %s", w.capture, w.tool),
			Got:  peer.wall().median / own.wall().median, Want: w.times, AtLeast: true,
		})
	}
	if c := r.Wrapped; c != nil && len(c.Series) == 2 {
		r.Goals = append(r.Goals, goal{
			Text: c.Truth.Profile.Name + ": times slower than plain", Got: c.Series[0].wall().median / c.Series[1].wall().median, Want: wrappedTime,
		})
	}
	for i, c := range r.Captures {
		if c.Joining != nil {
			r.Goals = append(r.Goals, goal{Text: c.Truth.Profile.Name + ": joining legs, share of the CPU time of reading", Got: c.Joining.Share, Want: maxJoining})
		}
		own := &c.Series[0]
		if own.rss().median == 0 {
			continue
		}
		r.Goals = append(r.Goals, goal{Text: c.Truth.Profile.Name + ": peak memory, MiB", Got: own.rss().max, Want: maxRSS})
		if i < len(r.Long) {
			r.Goals = append(r.Goals, goal{
				Text: c.Truth.Profile.Name + ": peak memory on twice the length, times",
				Got:  r.Long[i].Series[0].rss().median / own.rss().median, Want: sameRSS,
			})
		}
	}
}

// disturbed reports whether some tool took twice as long in one round as in
// another: then the machine had other work, and wall times say little.
func (r *result) disturbed() bool {
	for _, c := range r.Captures {
		for i := range c.Series {
			if w := c.Series[i].wall(); w.max > 2*w.min {
				return true
			}
		}
	}
	return false
}

// find returns a tool's series on a capture, the product's first for no tool.
func (r *result) find(capture, tool string) *series {
	for _, c := range r.Captures {
		if c.Truth.Profile.Name != capture {
			continue
		}
		for i := range c.Series {
			if s := &c.Series[i]; len(s.Samples) > 0 && (s.Tool == tool || tool == "" && s.Own) {
				return s
			}
		}
	}
	return nil
}

// spread is a median with the values around it.
type spread struct{ min, median, max float64 }

func spreadOf(samples []sample, of func(sample) float64) spread {
	if len(samples) == 0 {
		return spread{}
	}
	var v []float64
	for _, s := range samples {
		v = append(v, of(s))
	}
	slices.Sort(v)
	n := len(v)
	return spread{v[0], (v[(n-1)/2] + v[n/2]) / 2, v[n-1]}
}

func (s *series) wall() spread {
	return spreadOf(s.Samples, func(s sample) float64 { return s.Wall.Seconds() })
}

func (s *series) cpu() spread {
	return spreadOf(s.Samples, func(s sample) float64 { return s.CPU.Seconds() })
}

func (s *series) rss() spread {
	return spreadOf(s.Samples, func(s sample) float64 { return mebi(s.RSS) })
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }
