package attribute

import (
	"math"
	"math/rand/v2"
	"slices"
)

// sample is sessions with their labels.
type sample struct {
	sessions []*session
	asked    []bool
	yes      int
	counts   []int // scratch of lambda
}

// newSample takes at most maxSample sessions, evenly spread over time.
func newSample(all []*session) *sample {
	s := &sample{}
	step := max(1, (len(all)+maxSample-1)/maxSample)
	for i := 0; i < len(all); i += step {
		yes := all[i].asked().asked == Yes
		s.sessions = append(s.sessions, all[i])
		s.asked = append(s.asked, yes)
		if yes {
			s.yes++
		}
	}
	return s
}

// classified is what a factor explains of a sample whose sessions it puts into
// classes, as lambda takes them, with these values.
func (s *sample) classified(f Finding, class []int, values []FactorValue) candidate {
	n := len(values)
	f.Values, f.Explains = values, s.lambda(class, n)
	return candidate{Finding: f, classes: n, measure: func(x *sample) float64 { return x.lambda(class, n) }}
}

// lambda is by how much knowing the class betters a guess; those without one are in
// class -1.
func (s *sample) lambda(class []int, n int) float64 {
	if len(s.counts) < 2*(n+1) {
		s.counts = make([]int, 2*(n+1))
	}
	yes, all := s.counts[:n+1], s.counts[n+1:2*(n+1)]
	clear(yes)
	clear(all)
	for i, k := range class {
		all[k+1]++
		if s.asked[i] {
			yes[k+1]++
		}
	}
	// That the value is known at all must not count: what the classes better is the
	// guess about those of which it is.
	known, knownYes, right := len(class)-all[0], s.yes-yes[0], 0
	for k := 1; k <= n; k++ {
		right += max(yes[k], all[k]-yes[k])
	}
	return s.betters(right - max(knownYes, known-knownYes))
}

// betters is the share of all wrong guesses that so many more right ones are.
func (s *sample) betters(by int) float64 {
	return float64(by) / float64(min(s.yes, len(s.asked)-s.yes))
}

// change finds where in time the answer changes, and how much that explains. at
// is the first session behind it.
func (s *sample) change() (at int, explains float64) {
	before, best := 0, 0 // asked before i
	for i := 1; i < len(s.asked); i++ {
		if s.asked[i-1] {
			before++
		}
		after := s.yes - before
		right := max(before+len(s.asked)-i-after, i-before+after)
		if right > best {
			best, at = right, i
		}
	}
	return at, s.betters(best - max(s.yes, len(s.asked)-s.yes))
}

// beatsChance reports whether shuffled labels do as well as a candidate so rarely
// that, with so many tried, chance is no explanation (Bonferroni's correction).
func (s *sample) beatsChance(tests int, c *candidate) bool {
	least := maxChance / float64(tests)
	if c.Explains == 1 && s.unlikely(c.classes) < least {
		return true // no need to try
	}
	n := max(shuffles, int(math.Ceil(2/least)))
	allowed := int(least*float64(n+1)) - 1
	x := &sample{sessions: s.sessions, asked: slices.Clone(s.asked), yes: s.yes}
	rng := rand.New(rand.NewPCG(1, uint64(len(s.asked)))) // the same capture gives the same answer
	hits := 0
	for range n {
		rng.Shuffle(len(x.asked), func(i, k int) { x.asked[i], x.asked[k] = x.asked[k], x.asked[i] })
		if c.measure(x) >= c.Explains {
			if hits++; hits > allowed {
				return false
			}
		}
	}
	return true
}

// unlikely bounds the chance that classes which differ by chance alone separate
// the labels without a mistake: of all ways to lay out so many yes among so many,
// no more than 2^classes are the same throughout each class.
func (s *sample) unlikely(classes int) float64 {
	n, k := float64(len(s.asked)), float64(s.yes)
	lgamma := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
	ways := lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1)
	return math.Exp(float64(classes)*math.Ln2 - ways)
}
