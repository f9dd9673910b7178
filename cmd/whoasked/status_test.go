package main

import "testing"

// TestVerdictStatus: a request that was seen counts for more than what could
// not be seen, and silence only where nothing was hidden.
func TestVerdictStatus(t *testing.T) {
	for name, c := range map[string]struct {
		tally tally
		want  exitStatus
	}{
		"asked":           {tally{asked: 1, notAsked: 3, unknown: 2, tunnels: 1}, exitAsked},
		"not asked":       {tally{notAsked: 3}, exitFine},
		"partly unknown":  {tally{notAsked: 3, unknown: 1}, exitUnknown},
		"a tunnel inside": {tally{notAsked: 3, tunnels: 1}, exitUnknown},
		"no TLS":          {tally{plain: 4}, exitUnknown},
	} {
		got, _ := verdictStatus(&c.tally).(exitStatus)
		if got != c.want {
			t.Errorf("%s: status %d, want %d", name, got, c.want)
		}
	}
}
