package attribute

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// busy is a busy edge that ends TLS.
type busy struct {
	name        string
	connections uint32
	every       time.Duration // on average between two of them
	cached      int           // percent answered from a cache
	uncaptured  int           // percent of which the outer leg was not captured
	sizes       int64         // how many different lengths responses have, times 512 bytes
	slack       int64         // by how many bytes what the edge changes differs
	stays       bool          // the first connection stays open throughout
	least       float64       // recall, in percent
}

// specs makes the legs of a busy edge. truth maps the connection of an outer leg to
// that of its inner one.
func (b *busy) specs() (specs []legSpec, truth map[uint64]uint64) {
	rng := rand.New(rand.NewPCG(7, 7))
	truth = make(map[uint64]uint64)
	at := time.Duration(0)
	names := []string{legPortal, "api.contoso.test", "www.fabrikam.test"}
	for i := range b.connections {
		at += time.Duration(rng.ExpFloat64() * float64(b.every))
		up, down := 300+rng.Int64N(3000), 500+512*rng.Int64N(b.sizes)
		port := 10000 + i%50000
		outer := legSpec{
			capture: "edge", client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(2 + i>>12), byte(rng.IntN(250))}), uint16(port)).String(),
			server: legEdge, sni: names[rng.IntN(len(names))], random: 3*i + 1, answer: 3*i + 1, start: at, length: time.Duration(rng.IntN(80)) * ms,
			delay: 3 * ms, up: up, down: down, asked: No,
		}
		captured := rng.IntN(100) >= b.uncaptured
		if captured {
			specs = append(specs, outer)
		}
		if rng.IntN(100) < b.cached {
			continue
		}
		inner := outer
		inner.client = netip.AddrPortFrom(netip.MustParseAddr("198.18.0.20"), uint16(port)).String()
		inner.server = []string{legGate, legOther}[rng.IntN(2)]
		inner.random, inner.answer = 3*i+2, 3*i+2
		inner.start += 5 * ms
		inner.length = max(inner.length-8*ms, ms)
		inner.up += 200 + rng.Int64N(1+b.slack/4)
		inner.down -= rng.Int64N(1 + b.slack)
		inner.asked = Answer(1 + rng.IntN(2))
		specs = append(specs, inner)
		if captured {
			truth[uint64(len(specs)-1)] = uint64(len(specs))
		}
	}
	return specs, truth
}

// TestJoinBusy measures joining on busy edges of which the truth is known: no join may
// be false, and those that go through by themselves have to be found.
func TestJoinBusy(t *testing.T) {
	for _, b := range []busy{
		{name: "an edge", connections: 12_000, every: 40 * ms, cached: 10, sizes: 400, slack: 200, least: 85},
		{name: "a busier one", connections: 12_000, every: 4 * ms, cached: 10, sizes: 400, slack: 40, least: 80},
		{name: "one that stays open", connections: 12_000, every: 4 * ms, cached: 10, sizes: 400, slack: 40, stays: true, least: 80},
		{name: "clients not captured", connections: 12_000, every: 4 * ms, cached: 10, uncaptured: 5, sizes: 400, slack: 40},
		{name: "changes of any length", connections: 12_000, every: 4 * ms, cached: 10, sizes: 400, slack: 1000},
		{name: "responses of few lengths", connections: 12_000, every: 4 * ms, cached: 10, sizes: 3, slack: 40},
	} {
		t.Run(b.name, func(t *testing.T) {
			specs, truth := b.specs()
			if b.stays {
				specs[0].length = time.Hour
			}
			begun := time.Now()
			j := joinSpecs(specs)
			took := time.Since(begun)
			right, wrong := 0, 0
			for _, p := range j.Paths {
				if len(p.Hops) == 2 && truth[p.Hops[0].Connection] == p.Hops[1].Connection {
					right++
				} else {
					wrong++
					t.Logf("false: %s: %s", p.Chain(), p.Hops[1].Evidence)
				}
			}
			recall := 100 * float64(right) / float64(len(truth))
			t.Logf("%d connections, %d joins in truth: %d right, %d wrong; precision %.1f %%, recall %.1f %%; %v",
				len(specs), len(truth), right, wrong, 100*float64(right)/float64(max(right+wrong, 1)), recall, took)
			if wrong > 0 {
				t.Errorf("%d joins are false", wrong)
			}
			if recall < b.least {
				t.Errorf("only %d of %d were joined", right, len(truth))
			}
		})
	}
}
