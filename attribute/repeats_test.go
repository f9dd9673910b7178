package attribute

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestRepeats: each case is dialogs as they are told, "start client asker name
// ids outcome", start in seconds.
func TestRepeats(t *testing.T) {
	tests := []struct {
		name    string
		dialogs []string
		want    []string // nth: before
	}{
		{"reload after cancel", []string{"0 c1 a portal 1,2 cancelled", "9 c1 a portal 3,4 cancelled", "20 c1 a portal 5 certificate"},
			[]string{"1:", "2: 0s portal", "3: 0s portal 9s portal"}},
		{"several hosts in a row", []string{"0 c1 a portal 1 cancelled", "5 c1 a vault 2 certificate"}, []string{"1:", "2: 0s portal"}},
		{"another person", []string{"0 c1 a portal 1 cancelled", "5 c2 a portal 2 certificate"}, []string{"1:", "1:"}},
		{"another asker", []string{"0 c1 a portal 1 cancelled", "5 c1 b portal 2 certificate"}, []string{"1:", "1:"}},
		{"told open, then closed", []string{"0 c1 a portal 1,2 open", "0 c1 a portal 1,2,3 cancelled", "7 c1 a portal 4 cancelled"}, []string{"1:", "1:", "2: 0s portal"}},
		{"opened earlier than was told first", []string{"1 c1 a portal 9 open", "4 c1 a portal 2 open", "3 c1 a portal 1,2 cancelled", "7 c1 a portal 4 cancelled"},
			[]string{"1:", "2: 1s portal", "2: 1s portal", "3: 1s portal 3s portal"}},
		{"not shown", []string{"0 c1 a portal 1 none-shown", "5 c1 a portal 2 unknown", "7 c1 a portal 3 cancelled"}, []string{"0:", "0:", "1:"}},
		{"days apart", []string{"0 c1 a portal 1 cancelled", "86401 c1 a portal 2 cancelled"}, []string{"1:", "1:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Repeats
			for i, text := range tt.dialogs {
				one := []Prompt{dialogOf(t, text)}
				r.Mark(one)
				got := fmt.Sprintf("%d:", one[0].Nth)
				for _, b := range one[0].Before {
					got += fmt.Sprintf(" %v %s", b.Opened.Sub(bookStart), b.SNI)
				}
				if got != tt.want[i] {
					t.Errorf("%s: %q, want %q", text, got, tt.want[i])
				}
			}
		})
	}
}

func dialogOf(t *testing.T, text string) Prompt {
	t.Helper()
	f := strings.Fields(text)
	start, err := time.ParseDuration(f[0] + "s")
	if err != nil {
		t.Fatal(err)
	}
	p := Prompt{Opened: bookStart.Add(start), SNI: f[3], Client: netip.MustParseAddr("198.18.0.1" + f[1][1:]),
		AskedBy: netip.MustParseAddrPort(map[string]string{"a": "198.18.0.20:443", "b": "198.18.0.21:443"}[f[2]])}
	for _, id := range strings.Split(f[4], ",") {
		p.Connections = append(p.Connections, uint64(id[0]))
	}
	for p.Outcome.String() != f[5] {
		p.Outcome++
	}
	return p
}

// TestRepeatsIsBounded: who is prompted often, and many who are prompted once.
func TestRepeatsIsBounded(t *testing.T) {
	var r Repeats
	for i := range 100 {
		p := []Prompt{{Opened: bookStart.Add(time.Duration(i) * time.Minute), Outcome: OutcomeCancelled, Connections: []uint64{uint64(i)}}}
		r.Mark(p)
		if p[0].Nth != i+1 || len(p[0].Before) != min(i, maxBefore) {
			t.Fatalf("dialog %d: the %d., %d before", i, p[0].Nth, len(p[0].Before))
		}
	}
	client := netip.MustParseAddr("198.18.0.0")
	for i := range maxRepeats + 10 {
		client = client.Next()
		r.Mark([]Prompt{{Client: client, Opened: bookStart.Add(3*time.Hour + time.Duration(i)*time.Second), Outcome: OutcomeCancelled}})
	}
	if len(r.of) != maxRepeats || r.of[clientAsker{}] != nil || r.of[clientAsker{client: client}] == nil {
		t.Errorf("%d clients are remembered", len(r.of))
	}
}
