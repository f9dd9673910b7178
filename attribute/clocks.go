package attribute

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// tickRates are how often TCP timestamps advance in a second, as systems have it:
// Linux, Windows, FreeBSD and others.
var tickRates = []int64{1000, 250, 200, 100, 10}

// Bounds of the search for clocks.
const (
	maxClocks = 8
	// fewestTicks is how many connections a clock has to be seen in.
	fewestTicks = 3
	maxClients  = 16 // of one server that are looked at
)

// machines numbers the TCP clocks of the servers that more than one is seen of. Systems
// that give each connection an offset of its own show as many clocks as connections,
// which says nothing; those that give one to each pair of addresses are why only one
// client's connections are compared.
func (j *joiner) machines(groups []answering) {
	captures := make(map[netip.AddrPort]int)
	for _, g := range groups {
		captures[g.legs[0].server()]++
	}
	for _, g := range groups {
		clients := make(map[netip.Addr]int) // legs that have a timestamp
		for _, l := range g.legs {
			if captures[l.server()] == 1 {
				l.flags |= openedAlone
			}
			if l.is(openedStamped) {
				clients[l.client().Addr()]++
			}
		}
		var done []netip.Addr
		for _, l := range g.legs {
			client := l.client().Addr()
			if !l.is(openedStamped) || clients[client] < 2*fewestTicks || slices.Contains(done, client) {
				continue
			}
			if done = append(done, client); len(done) > maxClients {
				break
			}
			of := make([]*leg, 0, clients[client])
			for _, l := range g.legs {
				if l.is(openedStamped) && l.client().Addr() == client {
					of = append(of, l)
				}
			}
			number(of)
		}
	}
}

// number puts numbers to the clocks of legs in order of time, if there are several
// that take turns.
func number(legs []*leg) {
	var best [][]*leg
	for _, rate := range tickRates {
		if len(best) == 1 {
			return
		}
		if c := byOffset(legs, rate); len(c) > 0 && (best == nil || len(c) < len(best)) {
			best = c
		}
	}
	if len(best) < 2 || len(best) > maxClocks {
		return
	}
	for _, c := range best {
		if len(c) < fewestTicks {
			return
		}
	}
	slices.SortFunc(best, func(a, b []*leg) int { return cmp.Compare(a[0].start, b[0].start) })
	for i, c := range best {
		for _, l := range c {
			l.machine = uint8(i + 1)
		}
	}
	// A clock that begins where another ends is a machine that was started anew.
	changes := 0
	for i := 1; i < len(legs); i++ {
		if legs[i].machine != legs[i-1].machine {
			changes++
		}
	}
	if changes < 2*fewestTicks-1 {
		for _, l := range legs {
			l.machine = 0
		}
	}
}

// byOffset sorts legs into those whose timestamps are of one clock that advances at a
// rate. Where that rate is not theirs there are more of them, or none, as what lies
// close to each other spreads too far.
func byOffset(legs []*leg, rate int64) [][]*leg {
	type offset struct {
		ticks uint32
		leg   *leg
	}
	first := legs[0].stampAt()
	all := make([]offset, len(legs))
	for i, l := range legs {
		at := l.stampAt() - first
		all[i] = offset{l.stamp - uint32(at/int64(time.Second)*rate+at%int64(time.Second)*rate/int64(time.Second)), l}
	}
	// Start behind the widest gap, as offsets are on a circle.
	slices.SortFunc(all, func(a, b offset) int { return cmp.Compare(a.ticks, b.ticks) })
	start, widest := 0, uint32(0)
	for i := range all {
		if gap := all[i].ticks - all[(i+len(all)-1)%len(all)].ticks; gap > widest {
			start, widest = i, gap
		}
	}
	// Clocks drift by less than a few parts in 10,000, and are read with delay.
	span := legs[len(legs)-1].stampAt() - first
	apart := uint32(rate + min(max(span, 0)/int64(time.Second)*rate*3/10_000, 1<<30))
	var out [][]*leg
	begin := uint32(0)
	for i := range all {
		o := all[(start+i)%len(all)]
		if i == 0 || o.ticks-all[(start+i-1)%len(all)].ticks > apart {
			out, begin = append(out, nil), o.ticks
		}
		if o.ticks-begin > apart {
			return nil
		}
		out[len(out)-1] = append(out[len(out)-1], o.leg)
	}
	for _, c := range out {
		slices.SortStableFunc(c, func(a, b *leg) int { return cmp.Compare(a.start, b.start) })
	}
	return out
}
