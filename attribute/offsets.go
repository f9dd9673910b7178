package attribute

import (
	"maps"
	"slices"
)

// clock is how far a capture's clock is ahead of the first one's.
type clock struct {
	offset int64
	by     int // connections that both saw; 0 if it is not known
	// passed: no connection was, but so many ClientHellos were passed on between
	// them, which tells by and large.
	passed bool
}

// furthest is the most that clocks may be off which are compared by what was
// passed on.
const furthest = slackAround / 2

// apartBy is by how much the clock of one capture seems to be ahead of another's.
type apartBy struct {
	shared []int64 // by each connection that both show
	// By ClientHellos that were passed on: the difference that is known best, how
	// far it may be off, and how many there were.
	best, off int64
	passed    int
}

// setClocks compares the clocks of captures by connections that they share: the median
// of the differences. Where they share none it takes ClientHellos that were passed on:
// the wait for the answer in front holds the one behind, so that the middles of both
// differ by no more than half of what one is longer.
func (j *joiner) setClocks(order []int) {
	j.clocks = make([]clock, len(j.captures.texts))
	if len(j.clocks) > 0 {
		j.clocks[0].by = 1
	}
	if len(j.clocks) < 2 {
		return
	}
	apart := make(map[[2]uint16]*apartBy)
	for i := range order {
		a := j.legs.at(order[i])
		for _, k := range order[i+1:] {
			b := j.legs.at(k)
			if !a.carries(b) {
				break
			}
			if a.capture != b.capture && a.capture > 0 && b.capture > 0 {
				compareClocks(apart, a, b)
				compareClocks(apart, b, a)
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(apart), func(x, y [2]uint16) int { return slices.Compare(x[:], y[:]) })
	for j.settle(keys, apart, false) || j.settle(keys, apart, true) {
	}
}

// compareClocks takes two legs with one ClientHello into account.
func compareClocks(apart map[[2]uint16]*apartBy, a, b *leg) {
	key := [2]uint16{a.capture, b.capture}
	d := apart[key]
	if d == nil {
		d = &apartBy{off: furthest + 1}
		apart[key] = d
	}
	switch {
	case a.ends == b.ends:
		d.shared = append(d.shared, b.start-a.start)
	case a.delay == 0 || b.delay == 0 || !a.answersAs(b):
	default:
		d.passed++
		if off := max(a.delay-b.delay, b.delay-a.delay) / 2; off < d.off {
			d.best, d.off = b.hailed+b.delay/2-a.hailed-a.delay/2, off
		}
	}
}

// settle sets a clock that is compared with one that is known, and reports whether
// there was one.
func (j *joiner) settle(keys [][2]uint16, apart map[[2]uint16]*apartBy, passed bool) bool {
	for _, k := range keys {
		from, to, d := j.clocks[k[0]-1], &j.clocks[k[1]-1], apart[k]
		if from.by == 0 || to.by > 0 {
			continue
		}
		switch n := len(d.shared); {
		case n > 0:
			slices.Sort(d.shared)
			*to = clock{from.offset + d.shared[n/2], n, from.passed}
			return true
		case passed && d.off <= furthest:
			*to = clock{from.offset + d.best, d.passed, true}
			return true
		}
	}
	return false
}

// time is a leg's time by the first capture's clock.
func (j *joiner) time(l *leg, ns int64) int64 {
	if l.capture == 0 {
		return ns
	}
	return ns - j.clocks[l.capture-1].offset
}

// comparable reports whether the clocks of two legs were compared. Where they
// were not they are taken to agree, and what rests on that is less sure.
func (j *joiner) comparable(a, b *leg) bool {
	if a.capture == b.capture || a.capture == 0 || b.capture == 0 {
		return a.capture == b.capture
	}
	return j.clocks[a.capture-1].by > 0 && j.clocks[b.capture-1].by > 0
}

// passed reports whether the clock of a leg is known by and large only.
func (j *joiner) passed(l *leg) bool { return l.capture > 0 && j.clocks[l.capture-1].passed }
