package traffic

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// flow is one TCP connection on its way into the capture.
type flow struct {
	ends   [2]netip.AddrPort // indexed by side
	stamps bool              // both ends use the timestamps option
	steps  []step
	at     time.Time // of steps[0]
	order  int       // breaks ties between flows
}

// Typical delays.
const (
	roundTrip = 20 * time.Millisecond
	packet    = 120 * time.Microsecond // between the segments of one write
	bulkPace  = 5 * time.Millisecond   // the same in a bulk transfer
	lingering = 3 * time.Second        // how long an idle connection is kept
)

// One in blemishOdds data segments comes twice, and one in as many comes after
// the segment behind it: a mirror port is not a clean source.
const blemishOdds = 500

// segmenter cuts writes into the segments of a flow, the acknowledgements of
// the other end included.
type segmenter struct {
	rng   *rand.Rand
	mss   int
	next  [2]uint32 // sequence number, indexed by side
	steps []step
	pace  time.Duration // between the segments of one write
	delay time.Duration // before the next step
	owed  int           // segments of the last writer not yet acknowledged
	last  side          // the last writer
}

func newSegmenter(rng *rand.Rand, stamps bool) *segmenter {
	g := &segmenter{rng: rng, mss: mtu - ipLen - tcpLen, pace: packet}
	if stamps {
		g.mss -= 12
	}
	g.next = [2]uint32{rng.Uint32(), rng.Uint32()}
	return g
}

func (g *segmenter) put(from side, flags uint8, data []byte) {
	s := step{after: g.delay, from: from, flags: flags, seq: g.next[from], data: data}
	if flags&ack != 0 {
		s.ack = g.next[from^1]
	}
	g.steps = append(g.steps, s)
	g.next[from] += uint32(len(data))
	if flags&(syn|fin) != 0 {
		g.next[from]++
	}
	g.delay = g.pace
}

func (g *segmenter) open() {
	g.put(client, syn, nil)
	g.delay = roundTrip
	g.put(server, syn|ack, nil)
	g.put(client, ack, nil)
}

// write sends data; every second segment is acknowledged at once, a last odd
// one by whatever the other end sends next.
func (g *segmenter) write(w write) {
	if w.from != g.last {
		g.owed = 0
	}
	g.last = w.from
	for data := w.data; len(data) > 0; {
		n := min(g.mss, len(data))
		flags := uint8(ack)
		if n == len(data) {
			flags |= psh
		}
		g.put(w.from, flags, data[:n])
		data = data[n:]
		if g.owed++; g.owed == 2 {
			g.put(w.from^1, ack, nil)
			g.owed = 0
		}
	}
}

// close ends both directions, the client's first.
func (g *segmenter) close() {
	g.put(client, fin|ack, nil)
	g.put(server, ack, nil)
	g.delay = roundTrip
	g.put(server, fin|ack, nil)
	g.put(client, ack, nil)
}

// blemish repeats and swaps a few of the data segments.
func (g *segmenter) blemish() {
	for i := 3; i+1 < len(g.steps); i++ {
		s, t := &g.steps[i], &g.steps[i+1]
		if len(s.data) == 0 {
			continue
		}
		switch g.rng.IntN(blemishOdds) {
		case 0:
			again := *s
			again.after = packet
			i++
			g.steps = slices.Insert(g.steps, i, again)
		case 1:
			if t.from == s.from && len(t.data) > 0 {
				*s, *t = *t, *s
				s.after, t.after = t.after, s.after
			}
		}
	}
}
