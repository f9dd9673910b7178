package capture

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"whoasked/parse"
)

// TestSplit: the two directions of a connection in different tunnels.
func TestSplit(t *testing.T) {
	tests := []struct {
		name   string
		script string
		want   []string
	}{
		{
			"two tunnels", `C/7 syn 100; S/8 synack 500 101; C/7 ack 101 501; C/7 data 101 501 a; S/8 data 501 102 b; C/7 fin 102 502; S/8 fin 502 103`,
			[]string{"(7 | 8)C'a'", "(7 | 8)S'b'", "(7 | 8)C fin", "(7 | 8)S fin end=fin"},
		}, {
			"there in a tunnel, back in none", `C/7 syn 100; S synack 500 101; C/7 data 101 501 a; S data 501 102 b`,
			[]string{"(7 | none)C'a'", "(7 | none)S'b'"},
		}, {
			"there in none, back in a tunnel", `C syn 100; S/8 synack 500 101; C data 101 501 a; S/8 data 501 102 b`,
			[]string{"(none | 8)C'a'", "(none | 8)S'b'"},
		}, {
			"the answer first", `S/8 synack 500 101; C/7 syn 100; C/7 data 101 501 a; S/8 data 501 102 b`,
			[]string{"(7 | 8)C'a'", "(7 | 8)S'b'"},
		}, {
			"without SYN", `C/7 data 101 501 a; S/8 data 501 102 b; C/7 data 102 502 c; S/8 ack 502 103; wait 20ms; C/7 data 103 502 d`,
			[]string{"(7 | 8)~C'a'", "(7 | 8)~S'b'", "(7 | 8)~C'c'", "(7 | 8)~C'd'"},
		}, {
			"the other direction late", `C/7 syn 100; C/7 data 101 501 a; tick 5s; C/7 data 102 501 b; S/8 data 501 103 c; C/7 data 103 502 d; tick 5s`,
			[]string{"(7)C'a'", "(7)C'b'", "(7 | 8)S'c'", "(7 | 8)C'd'"},
		}, {
			"refused", `C/7 syn 100 early; S/8 rstack 0 101`,
			[]string{"(7)C'early'", "(7 | 8)S end=rst"},
		}, {
			"another connection on the same ports", `C/7 syn 100; S/8 synack 500 101; C/7 data 101 501 a; C/7 syn 9000; S/8 synack 7000 9001; C/7 data 9001 7001 b; S/8 data 7001 9002 c`,
			[]string{"(7 | 8)C'a'", "(7 | 8)C end=reused", "(7 | 8)C'b'", "(7 | 8)S'c'"},
		}, {
			"the next one stays in its tunnel", `C/7 syn 100; S/8 synack 500 101; C/7 data 101 501 a; C/7 syn 9000; S/7 synack 7000 9001; C/7 data 9001 7001 b; S/7 data 7001 9002 c`,
			[]string{"(7 | 8)C'a'", "(7 | 8)C end=reused", "(7)C'b'", "(7)S'c'"},
		}, {
			"a server that opens again", `C/7 syn 100; S/8 synack 500 101; C/7 data 101 501 a; C/7 rst 102; S/8 syn 9000; C/7 synack 7000 9001; S/8 data 9001 7001 b`,
			[]string{"(7 | 8)C'a'", "(7 | 8)C end=rst", "(8 | 7)S'b'"},
		},

		// Near misses.
		{
			"two connections, each in its own", `C/7 syn 100; C/8 syn 300; S/7 synack 500 101; S/8 synack 700 301; C/7 data 101 501 a; C/8 data 301 701 b; S/7 data 501 102 c; S/8 data 701 302 d`,
			[]string{"(7)C'a'", "1:(8)C'b'", "(7)S'c'", "1:(8)S'd'"},
		}, {
			"an answer to another SYN", `C/7 syn 100; S/8 synack 500 102; C/7 data 101 501 a; S/8 data 501 103 b; tick 5s`,
			[]string{"(7)C'a'", "1:(8)S'b'"},
		}, {
			"numbers far from each other", `C/7 data 101 501 a; S/8 data 9000000 102 b; tick 1s; tick 1s; flush`,
			[]string{"(7)~C'a'", "1:(8)~S'b'", "(7)~C end=capture-end", "1:(8)~C end=capture-end"},
		}, {
			"both directions are there already", `C/7 syn 100; S/7 synack 500 101; C/7 data 101 501 a; S/8 data 501 102 b; S/7 data 501 102 b; tick 5s`,
			[]string{"(7)C'a'", "(7)S'b'", "1:(8)~S'b'"},
		}, {
			"copies outside of the tunnel", `C syn 100; C/7 syn 100; S/7 synack 500 101; S synack 500 101; C data 101 501 a; C/7 data 101 501 a`,
			[]string{"C'a'", "1:(7)C'a'"},
		}, {
			"a third tunnel", `C/7 syn 100; S/8 synack 500 101; S/9 synack 500 101; C/7 data 101 501 a`,
			[]string{"(7 | 8)C'a'"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, Limits{})
			s.run(tt.script)
			s.expect(tt.want...)
		})
	}
}

// TestSplitTable: flows with two slots are found by both and leave none behind.
func TestSplitTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var got int
	trk := NewTracker(Limits{Flows: 300}, func(via uint32) string { return fmt.Sprint(via) }, func(ch *parse.Chunk) bool {
		if len(ch.Data) > 0 {
			got++
			if there, back := CutVias(ch.Flow.Via); there == back || !strings.Contains(ch.Flow.Via, viaBeside) {
				t.Fatalf("via %q", ch.Flow.Via)
			}
		}
		return true
	})
	play := func(tuple Tuple, via uint32, flags uint8, seq, ack uint32, payload string) {
		tuple.Via = via
		trk.Segment(1e9, &Segment{Tuple: tuple, Flags: flags, Seq: seq, Ack: ack, Payload: []byte(payload)})
	}
	const connections = 4000 // many times what is kept
	for i := range connections {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), uint16(40000+i%7))
		there, seq := tupleOf(client, serverAddr), rng.Uint32()
		a, b := uint32(2+rng.IntN(5)), uint32(10+rng.IntN(5))
		if i%3 == 0 {
			a = 0
		}
		play(there, a, FlagSYN, seq, 0, "")
		play(there.Reverse(), b, FlagSYN|FlagACK, 500, seq+1, "")
		play(there, a, FlagACK, seq+1, 501, "x")
		play(there.Reverse(), b, FlagACK, 501, seq+2, "y")
	}
	if got != 2*connections {
		t.Errorf("%d chunks of %d", got, 2*connections)
	}
	trk.Flush(parse.CaptureEnd)
	used := 0
	for _, s := range trk.slots {
		if s.id != none {
			used++
		}
	}
	if used != 0 || trk.n != 0 || trk.more != 0 || len(trk.tunnelled) != 0 {
		t.Errorf("left: %d slots, %d flows, %d split, %d tunnelled", used, trk.n, trk.more, len(trk.tunnelled))
	}
}

func TestCutVias(t *testing.T) {
	for _, tt := range [][2]string{{"", ""}, {"vlan 3", ""}, {"", "vxlan 8"}, {"vlan 3/gre", "vxlan 8"}} {
		via := JoinVias(tt[0], tt[1])
		if tt[0] == tt[1] {
			via = tt[0]
		}
		if there, back := CutVias(via); there != tt[0] || back != tt[1] {
			t.Errorf("%q: %q and %q", via, there, back)
		}
	}
}
