//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestMatrix(t *testing.T) {
	tools := []string{"tshark"}
	for _, s := range Servers() {
		tools = append(tools, s.Tools...)
	}
	for _, c := range Clients() {
		tools = append(tools, c.Tools...)
	}
	l := New(t, tools...)
	plan := NewPlan(os.Getenv("WHOASKED_LAB_CIPHERS") == "all")
	t.Logf("%d endpoints, %d jobs; left to rotation %d, absent %v", len(plan.Endpoints), plan.count(), plan.Rotated, plan.Absent)
	pcap, truth := runMatrix(t, l, plan)
	l.Keep(t, "matrix", pcap, truth)
	t.Run("truth", func(t *testing.T) {
		checkClients(t, truth)
		checkTruth(t, l, pcap, truth)
	})
	t.Run("verdicts", func(t *testing.T) { checkVerdicts(t, l, pcap, truth) })
	t.Run("unsealed", func(t *testing.T) { checkUnsealed(t, l, pcap, truth) })
}

// runMatrix starts the servers, runs the clients and captures at the client.
func runMatrix(t *testing.T, l *Lab, plan *Plan) (pcap string, truth []Truth) {
	start := time.Now()
	for _, s := range Servers() {
		var eps []Endpoint
		for _, e := range plan.Endpoints {
			if e.Server == s.Name {
				eps = append(eps, e)
			}
		}
		s.Serve(l, eps)
	}
	t.Logf("servers up after %.1f s", time.Since(start).Seconds())

	pcap = filepath.Join(l.Dir, "matrix.pcap")
	capture := StartCapture(t, l.Net.Client, Device, pcap)
	var mu sync.Mutex
	t.Run("clients", func(t *testing.T) {
		for _, c := range Clients() {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				got := clientTruth(t, c.Name, plan.Jobs[c.Name], c.Run(l.With(t), plan.Jobs[c.Name]))
				t.Logf("%d connections in %.1f s", len(got), time.Since(start).Seconds())
				mu.Lock()
				defer mu.Unlock()
				truth = append(truth, got...)
			})
		}
	})
	if !l.Net.Client.WaitQuiet(t, 5*time.Second) {
		t.Log("some connections stay open at the end of the capture")
	}
	capture.Stop(t)
	t.Logf("captured after %.1f s", time.Since(start).Seconds())
	return pcap, truth
}

// clientTruth pairs results with their jobs; a connection without a result is
// an error.
func clientTruth(t *testing.T, client string, jobs []Job, results []Result) []Truth {
	type key struct {
		sni string
		nth int
	}
	byKey := map[key]Result{}
	for _, r := range results {
		byKey[key{r.SNI, r.Nth}] = r
	}
	var truth []Truth
	for _, j := range jobs {
		for nth := range 2 {
			if nth > 0 && !j.Resume {
				continue
			}
			r, ok := byKey[key{j.SNI, nth}]
			if !ok {
				t.Errorf("%s/%d: the client says nothing of it", j.SNI, nth)
				continue
			}
			truth = append(truth, NewTruth(client, j, r))
		}
	}
	return truth
}

// checkClients demands that connections went as arranged; otherwise the truth
// is none.
func checkClients(t *testing.T, truth []Truth) {
	tried, resumed := map[string]int{}, map[string]int{}
	for _, tr := range truth {
		if tr.OK != tr.WantOK() {
			t.Errorf("%v: answered %t\n%s", tr, tr.OK, tr.Detail)
		}
		if tr.WantResumed {
			cell := tr.Server + " × " + tr.Client
			tried[cell]++
			if tr.Resumed {
				resumed[cell]++
			}
		}
	}
	for cell, n := range tried {
		if resumed[cell] < n {
			t.Logf("%s: %d of %d resumed", cell, resumed[cell], n)
		}
	}
}
