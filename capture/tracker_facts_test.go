package capture

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"whoasked/parse"
)

func TestTrackerOpener(t *testing.T) {
	tests := []struct {
		name           string
		client, server uint16
		script         string
		opener         string
	}{
		{"SYN", 443, 50000, "C syn 1; C data 2 9 a", "C"},
		{"SYN-ACK", 443, 50000, "S synack 1 9; S data 2 9 a", "C"},
		{"simultaneous open", 50000, 443, "S syn 1; C syn 9; S synack 1 10; C synack 9 2; C data 10 2 a", "S"},
		{"well-known port accepts", 443, 50000, "C data 1 1 a", "S"},
		{"well-known port accepts, seen first", 50000, 443, "C data 1 1 a", "C"},
		{"lower port accepts", 8443, 20000, "C data 1 1 a", "S"},
		{"both ephemeral: first", 40000, 50000, "C data 1 1 a", "C"},
		{"both well-known: first", 25, 587, "C data 1 1 a", "C"},
		{"same port: first", 179, 179, "S data 1 1 a", "S"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, Limits{})
			s.client = netip.AddrPortFrom(clientAddr.Addr(), tt.client)
			s.server = netip.AddrPortFrom(serverAddr.Addr(), tt.server)
			var flow parse.Flow
			s.trk.emit = func(ch *parse.Chunk) bool { flow = ch.Flow; return true }
			s.run(tt.script + "; flush")
			want := s.client
			if tt.opener == "S" {
				want = s.server
			}
			if flow.Addrs[parse.Opener] != want {
				t.Errorf("flow %v, want opener %v", flow, want)
			}
		})
	}
}

// Bytes kept back keep their time, as far as that leaves time running forwards.
func TestTrackerTime(t *testing.T) {
	s := newScript(t, Limits{})
	start := s.now
	var at []time.Duration
	s.trk.emit = func(ch *parse.Chunk) bool {
		at = append(at, time.Duration(ch.Time.UnixNano()-start))
		return true
	}
	s.run(handshake)
	s.run("C data 102 501 b")                                      // 400 µs, given up after 3 s
	s.run("wait 3s; C ack 103 501; C data 104 501 d; wait 1ms")    // the second at 3000.6 ms
	s.run("C data 103 501 c; wait -1h; C data 105 501 e; tick 1s") // 3001.7 ms; before the start
	want := []time.Duration{400 * time.Microsecond, 3001700 * time.Microsecond, 3001700 * time.Microsecond, 3001800*time.Microsecond - time.Hour}
	if !slices.Equal(at, want) {
		t.Errorf("got %v, want %v", at, want)
	}
}

func TestTrackerVia(t *testing.T) {
	names := map[uint32]string{7: "vlan 7", 8: "vlan 8"}
	var got []string
	trk := NewTracker(Limits{}, func(n uint32) string { return names[n] }, func(ch *parse.Chunk) bool {
		got = append(got, fmt.Sprintf("%d %s %s", ch.Conn, ch.Flow.Via, ch.Data))
		return true
	})
	for _, via := range []uint32{0, 7, 8, 7} {
		seg := &Segment{Tuple: tupleOf(clientAddr, serverAddr), Flags: FlagSYN, Seq: 100, Payload: []byte("x")}
		seg.Via = via
		trk.Segment(1, seg)
	}
	if want := []string{"0  x", "1 vlan 7 x", "2 vlan 8 x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTrackerStops(t *testing.T) {
	calls := 0
	trk := NewTracker(Limits{}, nil, func(*parse.Chunk) bool { calls++; return false })
	seg := &Segment{Tuple: tupleOf(clientAddr, serverAddr), Flags: FlagSYN, Seq: 100, Payload: []byte("x")}
	if trk.Segment(1, seg) || trk.Segment(2, seg) || trk.Advance(3) || trk.Flush(parse.CaptureEnd) {
		t.Error("true although the consumer stopped")
	}
	if calls != 1 {
		t.Errorf("%d chunks after the consumer stopped, want 1 in all", calls)
	}
}

func TestTrackerNotes(t *testing.T) {
	const open = "C syn 100; S synack 500 101; C data 101 501 a;"
	tests := []struct {
		name, script string
		limits       Limits
		want         string // kind and count
	}{
		{"clean", open + "S ack 501 102; flush", Limits{}, ""},
		{"lost", open + "C data 112 501 b; flush", Limits{}, "lost-segments 1"},
		{"one-sided", "C syn 100; C data 101 501 a; flush", Limits{}, "one-sided 1"},
		{"conflict", open + "wait 1s; C data 101 501 x; flush", Limits{}, "conflicting-overlaps 1"},
		{"duplicates", open + "C data 101 501 a; C data 102 501 b; C data 102 501 b; flush", Limits{}, "duplicates 2"},
		{"retransmission is no duplicate", open + "wait 200ms; C data 101 501 a; flush", Limits{}, ""},
		{"stray", open + "C data 2000000000 501 a; flush", Limits{}, "stray-segments 1"},
		{
			"buffers", open + "C data 103 501 c; C data 105 501 e; C data 107 501 g; flush", Limits{FlowBytes: 2 * blockSize},
			"full-buffers 1, lost-segments 3",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, tt.limits)
			s.run(tt.script)
			var got []string
			for _, n := range s.trk.Notes() {
				got = append(got, fmt.Sprint(n.Kind, " ", n.Count))
				if n.Text == "" || strings.Contains(n.Text, "%!") {
					t.Errorf("text of %s: %q", n.Kind, n.Text)
				}
			}
			if got := strings.Join(got, ", "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
