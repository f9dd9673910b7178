package capture_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/parse"
)

const matrix = "../../shared/captures/matrix"

type half struct {
	addr, port string
	from       parse.Side
}

// halves reads a capture and returns what each direction carried.
func halves(t *testing.T, name string) map[half]string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(matrix, name)); err != nil {
		t.Skipf("the shared captures are not here: %v", err)
	}
	r, err := file.Open(filepath.Join(matrix, name))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[half]string)
	for ch, err := range file.NewSource(r, capture.Limits{}).Chunks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if ch.Lost > 0 || ch.Conflict > 0 {
			t.Errorf("%s: %v: %d lost, %d in conflict", name, ch.Flow, ch.Lost, ch.Conflict)
		}
		got[half{ch.Flow.Addrs[0].String(), ch.Flow.Addrs[1].String(), ch.From}] += string(ch.Data)
	}
	return got
}

// The same eight connections, captured in different ways, carry the same bytes.
func TestTrackerRealVariants(t *testing.T) {
	want := halves(t, "one.pcap")
	if len(want) != 16 {
		t.Fatalf("%d directions in one.pcap, want 16", len(want))
	}
	for _, name := range []string{"v_seg.pcap", "v_ooo.pcap", "v_dup.pcap", "v_nosyn.pcap", "v_vlan.pcap"} {
		t.Run(name, func(t *testing.T) {
			if got := halves(t, name); !maps.Equal(got, want) {
				t.Errorf("%d directions, not the same bytes as in one.pcap: %v", len(got), slices.Collect(maps.Keys(got)))
			}
		})
	}
}
