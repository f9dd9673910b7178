package corpus

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// pair is two ends of connections, whoever opened them.
type pair [2]netip.AddrPort

func pairOf(c *connection) pair {
	p := pair(c.Flow.Addrs)
	if p[0].Compare(p[1]) > 0 {
		p[0], p[1] = p[1], p[0]
	}
	return p
}

// answers lists the verdicts between each pair of ends, in order.
func answers(conns []connection) map[pair][]attribute.Verdict {
	out := make(map[pair][]attribute.Verdict)
	for i := range conns {
		p := pairOf(&conns[i])
		out[p] = append(out[p], conns[i].verdict)
	}
	return out
}

// notInverted fails where an answer is the opposite of what the whole capture
// says; to be unknown, or missing, is allowed.
func notInverted(t *testing.T, what string, got []connection, whole map[pair][]attribute.Verdict) {
	t.Helper()
	for i := range got {
		c := &got[i]
		if c.verdict.Asked == attribute.Unknown {
			continue
		}
		if !slices.ContainsFunc(whole[pairOf(c)], func(w attribute.Verdict) bool {
			return w.Asked == c.verdict.Asked || c.verdict.Asked == attribute.No && asksBeyond(c, w)
		}) {
			t.Errorf("%s: %v says %v (%v), the whole capture %v", what, c.Flow.Addrs, c.verdict.Asked, c.verdict.Evidence, whole[pairOf(c)])
		}
		if c.verdict.Asked == attribute.Yes {
			if _, server := c.Ends(); c.verdict.By != server {
				t.Errorf("%s: asked by %v, server %v", what, c.verdict.By, server)
			}
		}
	}
}

// asksBeyond tells whether a connection was asked where a capture of part of it
// cannot show it, so that "no" stands for the handshake alone: behind the last
// packet of a connection whose end is missing, or by a post-handshake request
// where neither the offer to be asked nor the client's answer was captured.
func asksBeyond(c *connection, whole attribute.Verdict) bool {
	openEnd := c.End != parse.FIN && c.End != parse.RST
	return whole.When != attribute.InHandshake && openEnd ||
		whole.When == attribute.AfterHandshake && c.ClientHello == nil
}

// same fails unless every answer is that of the whole capture.
func same(t *testing.T, what string, got []connection, whole map[pair][]attribute.Verdict) {
	t.Helper()
	again := answers(got)
	for p, want := range whole {
		if !slices.EqualFunc(again[p], want, func(a, b attribute.Verdict) bool { return a.Asked == b.Asked && a.By == b.By }) {
			t.Errorf("%s: %v says %v, the whole capture %v", what, p, again[p], want)
		}
	}
	if len(again) != len(whole) {
		t.Errorf("%s: %d pairs of ends, the whole capture has %d", what, len(again), len(whole))
	}
}

// captures runs a test over a generated capture and over small real ones.
func captures(t *testing.T, run func(t *testing.T, pkts []packet)) {
	t.Run("generated", func(t *testing.T) {
		pkts, _ := generated(t, 40)
		run(t, pkts)
	})
	for _, name := range []string{
		"recorded/apache_reneg12", "recorded/chrome_cancel13", "recorded/direct12", "recorded/direct13", "recorded/intermittent_sni",
	} {
		t.Run(name, func(t *testing.T) { run(t, load(t, filepath.Join(shared(t), name, "client.pcap"))) })
	}
	for _, name := range []string{"one", "reneg", "res", "tun", "br"} {
		t.Run(name, func(t *testing.T) {
			pkts := load(t, filepath.Join(shared(t), "matrix", name+".pcap"))
			run(t, pkts[:min(len(pkts), 400)])
		})
	}
}

func TestAnyPacketLost(t *testing.T) {
	captures(t, func(t *testing.T, pkts []packet) {
		whole := answers(judge(pkts))
		for i := range pkts {
			notInverted(t, fmt.Sprintf("without packet %d", i+1), judge(slices.Delete(slices.Clone(pkts), i, i+1)), whole)
			if t.Failed() {
				return
			}
		}
	})
}

func TestManyPacketsLost(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	captures(t, func(t *testing.T, pkts []packet) {
		whole := answers(judge(pkts))
		for round := range 120 {
			share := rng.Float64() * 0.4
			kept := slices.DeleteFunc(slices.Clone(pkts), func(packet) bool { return rng.Float64() < share })
			notInverted(t, fmt.Sprintf("round %d, %.0f %% lost", round, 100*share), judge(kept), whole)
			if t.Failed() {
				return
			}
		}
	})
}

func TestOneDirectionOnly(t *testing.T) {
	captures(t, func(t *testing.T, pkts []packet) {
		whole := answers(judge(pkts))
		for _, odd := range []bool{false, true} {
			kept := slices.DeleteFunc(slices.Clone(pkts), func(p packet) bool { return fromLower(p) == odd })
			notInverted(t, fmt.Sprintf("one direction (%v)", odd), judge(kept), whole)
		}
	})
}

// fromLower tells whether the segment comes from the lower of its two ends.
func fromLower(p packet) bool {
	var s segment
	return s.decode(p) && s.SrcAddr().Compare(s.DstAddr()) < 0
}

func TestReorderedWithinWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 13))
	captures(t, func(t *testing.T, pkts []packet) {
		whole := answers(judge(pkts))
		for round := range 40 {
			mixed := slices.Clone(pkts)
			for i := range mixed {
				// Times stay in order: the capture point saw them like that.
				j := min(i+rng.IntN(3), len(mixed)-1)
				mixed[i], mixed[j] = mixed[j], mixed[i]
				mixed[i].at, mixed[j].at = mixed[j].at, mixed[i].at
			}
			// A packet may overtake the FIN or the answer of the other side, so
			// that inference from silence loses its footing; it may not turn.
			notInverted(t, fmt.Sprintf("round %d", round), judge(mixed), whole)
			if t.Failed() {
				return
			}
		}
	})
}

// TestSwappedSegments: neighbouring segments of one direction that changed
// places cost no answer.
func TestSwappedSegments(t *testing.T) {
	captures(t, func(t *testing.T, pkts []packet) {
		whole := answers(judge(pkts))
		for first := range 2 {
			mixed := slices.Clone(pkts)
			for i := first; i+1 < len(mixed); i += 2 {
				var a, b segment
				if a.decode(mixed[i]) && b.decode(mixed[i+1]) && a.Tuple == b.Tuple && len(a.Payload) > 0 && len(b.Payload) > 0 {
					mixed[i], mixed[i+1] = mixed[i+1], mixed[i]
					mixed[i].at, mixed[i+1].at = mixed[i+1].at, mixed[i].at
				}
			}
			same(t, "swapped", judge(mixed), whole)
		}
	})
}

func TestDuplicated(t *testing.T) {
	captures(t, func(t *testing.T, pkts []packet) {
		whole := answers(judge(pkts))
		for _, delay := range []int{1, 2, 5} {
			var twice []packet
			for i, p := range pkts {
				twice = append(twice, p)
				// A second copy comes at once, not across a pause of the capture.
				if i >= delay && p.at-pkts[i-delay].at < int64(time.Second) {
					again := pkts[i-delay]
					again.at = p.at
					twice = append(twice, again)
				}
			}
			same(t, fmt.Sprintf("every packet again %d later", delay), judge(twice), whole)
		}
	})
}

func TestSnapLength(t *testing.T) {
	captures(t, func(t *testing.T, pkts []packet) {
		whole := answers(judge(pkts))
		for snap := 34; snap < 1600; snap += 1 + snap/24 {
			cut := slices.Clone(pkts)
			for i := range cut {
				cut[i].data = cut[i].data[:min(snap, len(cut[i].data))]
			}
			notInverted(t, fmt.Sprintf("snap length %d", snap), judge(cut), whole)
			if t.Failed() {
				return
			}
		}
	})
}

// TestCutShort: a capture that begins late or ends early never turns an answer.
func TestCutShort(t *testing.T) {
	captures(t, func(t *testing.T, pkts []packet) {
		whole := answers(judge(pkts))
		step := 1 + len(pkts)/150
		for i := 0; i < len(pkts); i += step {
			notInverted(t, fmt.Sprintf("first %d packets", i), judge(pkts[:i]), whole)
			notInverted(t, fmt.Sprintf("from packet %d on", i+1), judge(pkts[i:]), whole)
			if t.Failed() {
				return
			}
		}
	})
}
