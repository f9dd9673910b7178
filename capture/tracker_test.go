package capture

import (
	"testing"

	"whoasked/parse"
)

const handshake = "C syn 100; S synack 500 101; C ack 101 501\n"

func TestTracker(t *testing.T) {
	tests := []struct {
		name   string
		script string
		want   []string
	}{
		{
			"in order", handshake + `C data 101 501 hello; S data 501 106 hi; C fin 106 503; S ack 503 107; S fin 503 107; C ack 107 504`,
			[]string{"C'hello'", "S'hi'", "C fin", "S fin end=fin"},
		}, {
			"FIN with payload", handshake + `C fin 101 501 bye; S fin 501 105 ok`,
			[]string{"C'bye'", "C fin", "S'ok'", "S fin end=fin"},
		}, {
			"half closed", handshake + `C data 101 501 get; C fin 104 501; S data 501 105 a; S data 502 105 b; S fin 503 105`,
			[]string{"C'get'", "C fin", "S'a'", "S'b'", "S fin end=fin"},
		}, {
			"sequence wrap",
			`C syn 4294967290; S synack 4294967294 4294967291; C data 4294967291 4294967295 abcdef
			 C data 1 4294967295 ghi; S data 4294967295 4 xyz; S data 2 4 q; C fin 4 3; S fin 3 5`,
			[]string{"C'abcdef'", "C'ghi'", "S'xyz'", "S'q'", "C fin", "S fin end=fin"},
		}, {
			"wrap within what is held",
			`C syn 4294967290; S synack 500 4294967291; C data 1 501 g; C data 4294967294 501 def; C data 4294967291 501 abc`,
			[]string{"C'abc'", "C'def'", "C'g'"},
		},

		// Reordering.
		{
			"neighbours swapped", handshake + `C data 104 501 lo; C data 101 501 hel`,
			[]string{"C'hel'", "C'lo'"},
		}, {
			"reversed", handshake + `C data 105 501 e; C data 104 501 d; C data 103 501 c; C data 102 501 b; C data 101 501 a`,
			[]string{"C'a'", "C'b'", "C'c'", "C'd'", "C'e'"},
		}, {
			"SYN and SYN-ACK swapped", `S synack 500 101; C syn 100; C ack 101 501; C data 101 501 a; S data 501 102 b`,
			[]string{"C'a'", "S'b'"},
		}, {
			"SYN-ACK and ACK swapped", `C syn 100; C ack 101 501; S synack 500 101; C data 101 501 a; S data 501 102 b`,
			[]string{"C'a'", "S'b'"},
		}, {
			"data before the SYN", `C data 101 501 ab; C syn 100; S synack 500 101; S data 501 103 c`,
			[]string{"C'ab'", "S'c'"},
		}, {
			"FIN before the last data", handshake + `C fin 106 501; C data 101 501 hello; S fin 501 107`,
			[]string{"C'hello'", "C fin", "S fin end=fin"},
		}, {
			"RST before the last data", handshake + `S data 501 101 a; S rst 507; S data 502 101 alert`,
			[]string{"S'a'", "S'alert'", "S end=rst"},
		}, {
			"the answer before what it answers", handshake + `S data 501 106 hi; C data 101 501 hello`,
			[]string{"C'hello'", "S'hi'"},
		}, {
			"a whole exchange the wrong way round", handshake + `C data 106 503 again; S data 501 106 hi; C data 101 501 hello`,
			[]string{"C'hello'", "S'hi'", "C'again'"},
		},

		// Loss.
		{
			"gap that the peer acknowledged",
			handshake + `C data 101 501 a; C data 107 501 c; S ack 501 108; wait 20ms; C data 108 501 d; S ack 501 109; S ack 501 109`,
			[]string{"C'a'", "C lost=5'c'", "C'd'"},
		}, {
			"gap that the peer acknowledged, filled soon after",
			handshake + `C data 101 501 a; C data 107 501 c; S ack 501 108; C data 102 501 bbbbb; wait 20ms; S ack 501 109; S ack 501 109`,
			[]string{"C'a'", "C'bbbbb'", "C'c'"},
		}, {
			"gap that the peer did not acknowledge, filled late",
			handshake + `C data 102 501 b; S ack 501 101; wait 1s; S ack 501 101; C ack 103 501; C ack 103 501; C data 101 501 a`,
			[]string{"C'a'", "C'b'"},
		}, {
			"gap that nothing fills", handshake + `C data 102 501 b; tick 3s; C data 103 501 c`,
			[]string{"C lost=1'b'", "C'c'"},
		}, {
			"gap at the end of the capture", handshake + `C data 111 501 b; flush`,
			[]string{"C lost=10'b'", "C end=capture-end"},
		}, {
			"two gaps", handshake + `C data 102 501 b; C data 104 501 d; flush`,
			[]string{"C lost=1'b'", "C lost=1'd'", "C end=capture-end"},
		}, {
			"gap before FIN", handshake + `C data 101 501 a; C fin 112 501; S fin 501 113; flush`,
			[]string{"C'a'", "C lost=10 fin", "S fin end=fin"},
		}, {
			"loss at the very end, acknowledged", handshake + `C data 101 501 a; S ack 501 112; flush`,
			[]string{"C'a'", "C lost=10 end=capture-end"},
		}, {
			"a FIN that was not captured is no lost byte", handshake + `C data 101 501 a; S ack 501 103; flush`,
			[]string{"C'a'", "C end=capture-end"},
		}, {
			"a loss is told before what answers it",
			handshake + `C data 101 501 a; S data 501 112 b; wait 20ms; S ack 502 112; S ack 502 112; S data 502 112 c`,
			[]string{"C'a'", "C lost=10", "S'b'", "S'c'"},
		}, {
			"the same, by time alone", handshake + `C data 101 501 a; S data 501 112 b; tick 100ms; tick 200ms; tick 300ms`,
			[]string{"C'a'", "S'b'"}, // a single acknowledgment proves too little
		}, {
			"one forged acknowledgment costs nothing",
			handshake + `C data 101 501 a; S ack 501 900101; wait 300ms; C data 102 501 b; S ack 501 103; C data 103 501 c; flush`,
			[]string{"C'a'", "C'b'", "C'c'", "C lost=899997 end=capture-end"},
		}, {
			"segments far away", handshake + `C data 101 501 a; C data 2000000000 501 x; C data 3000000000 501 y; C data 102 501 b`,
			[]string{"C'a'", "C'b'"},
		}, {
			"more than a window lost", handshake + `C data 101 501 a; C data 2000000000 501 x; C data 2000000001 501 y; C data 2000000002 501 z`,
			[]string{"C'a'", "C lost=1999999900'z'"},
		},

		// Repetition.
		{
			"retransmission", handshake + `C data 101 501 abc; wait 1s; C data 101 501 abc; C data 101 501 abcdef`,
			[]string{"C'abc'", "C'def'"},
		}, {
			"retransmission in other pieces", handshake + `C data 101 501 abc; C data 107 501 gh; C data 102 501 bcdefg; C data 109 501 i`,
			[]string{"C'abc'", "C'def'", "C'gh'", "C'i'"},
		}, {
			"all twice",
			`C syn 100; C syn 100; S synack 500 101; S synack 500 101; C ack 101 501; C ack 101 501; C data 101 501 abc; C data 101 501 abc
			 S data 501 104 de; S data 501 104 de; C fin 104 503; C fin 104 503; S fin 503 105; S fin 503 105; C ack 105 504; C ack 105 504; flush`,
			[]string{"C'abc'", "S'de'", "C fin", "S fin end=fin"},
		}, {
			"conflict with bytes handed over", handshake + `C data 101 501 hello; C data 101 501 hexxo; C data 106 501 a`,
			[]string{"C'hello'", "C conflict=2'a'"},
		}, {
			"conflict with bytes held", handshake + `C data 103 501 cde; C data 102 501 bCDEf; C data 101 501 a`,
			[]string{"C conflict=3'a'", "C'b'", "C'cde'", "C'f'"},
		}, {
			"conflict told at the end", handshake + `C data 101 501 a; S data 501 102 b; C data 101 501 x; flush`,
			[]string{"C'a'", "S'b'", "C conflict=1 end=capture-end"},
		}, {
			"conflict of the other side told at the end", handshake + `C data 101 501 a; S data 501 102 bb; S data 501 102 xx; C rst 102`,
			[]string{"C'a'", "S'bb'", "S conflict=2", "C end=rst"},
		}, {
			"keep-alive probes", handshake + `C data 101 501 abc; wait 60s; C bare 103 501 x; S ack 501 104; C ack 103 501; S ack 501 104; C data 104 501 d`,
			[]string{"C'abc'", "C'd'"},
		}, {
			"keep-alive before any data", handshake + `C bare 100 501 x; C data 101 501 a`,
			[]string{"C'a'"},
		}, {
			"keep-alive does not stand in for a lost byte",
			handshake + `C data 101 501 abc; S ack 501 109; C bare 108 501 x; S ack 501 109; S ack 501 109; wait 20ms; S ack 501 109; C data 109 501 i`,
			[]string{"C'abc'", "C lost=5", "C'i'"},
		}, {
			"zero-window probe", handshake + `C data 101 501 abc; S ack 501 104; C bare 104 501 d; S ack 501 104; C data 104 501 defg`,
			[]string{"C'abc'", "C'd'", "C'efg'"},
		},

		// Opening.
		{
			"SYN retransmitted", `C syn 100; wait 1s; C syn 100; S synack 500 101; C data 101 501 a; C syn 100; C data 102 501 b`,
			[]string{"C'a'", "C'b'"},
		}, {
			"SYN retransmitted with another number", `C syn 100; C syn 7000; S synack 500 7001; C data 7001 501 a; S data 501 7002 b`,
			[]string{"C'a'", "S'b'"},
		}, {
			"SYN-ACK to an attempt that was not captured", `C syn 100; S synack 500 7001; C data 7001 501 a; S data 501 7002 b`,
			[]string{"C'a'", "S'b'"},
		}, {
			"SYN-ACK of two servers, the first one chosen",
			`C syn 100; S synack 500 101; S synack 9500 101; S synack 500 101; C ack 101 501; S synack 9500 101; S data 501 101 a; S synack 9500 101; S data 502 101 b`,
			[]string{"S'a'", "S'b'"},
		}, {
			"SYN with data", `C syn 100 abc; S synack 500 104; C data 104 501 d`,
			[]string{"C'abc'", "C'd'"},
		}, {
			"SYN with data that was not accepted", `C syn 100 abc; S synack 500 101; C data 101 501 abcd`,
			[]string{"C'abc'", "C'd'"},
		}, {
			"simultaneous open", `C syn 100; S syn 500; C synack 100 501; S synack 500 101; C data 101 501 a; S data 501 102 b`,
			[]string{"C'a'", "S'b'"},
		}, {
			"SYN-ACK shows that the first segment was lost", `S synack 500 101; C data 104 501 b; flush`,
			[]string{"C lost=3'b'", "C end=capture-end"},
		}, {
			"SYN of the server not captured", `C syn 100; C ack 101 501; C data 101 501 a; S data 503 102 c; flush`,
			[]string{"C'a'", "S lost=2'c'", "C end=capture-end"},
		}, {
			"no SYN", `C data 101 501 ab; S data 501 103 c; wait 20ms; C data 103 502 d; S data 502 104 e`,
			[]string{"~C'ab'", "~S'c'", "~C'd'", "~S'e'"},
		}, {
			"no SYN, neighbours swapped", `S data 501 101 c; C data 103 501 d; C data 101 501 ab; wait 20ms; S ack 502 104`,
			[]string{"~S'c'", "~C'ab'", "~C'd'"},
		}, {
			"no SYN, first an acknowledgment", `C ack 101 501; S data 501 101 a; wait 250ms; C data 101 502 b`,
			[]string{"~S'a'", "~C'b'"},
		}, {
			"no SYN, one segment", `C data 101 501 ab; flush`,
			[]string{"~C'ab'", "~C end=capture-end"},
		}, {
			"no SYN, lost behind the beginning", `C data 101 501 ab; wait 250ms; S data 511 103 c; wait 250ms; C ack 103 512; C ack 103 512; wait 20ms; C ack 103 512; flush`,
			[]string{"~C'ab'", "~S lost=10'c'", "~C end=capture-end"},
		},

		// One direction.
		{
			"client only", `C syn 100; C ack 101 501; C data 101 501 abc; C data 104 9501 def; C fin 107 9501; flush`,
			[]string{"C'abc'", "C'def'", "C fin", "S lost=9000", "C end=capture-end"},
		}, {
			"server only", `S synack 500 101; S data 501 104 abc; S data 504 104 def; flush`,
			[]string{"S'abc'", "S'def'", "C lost=3 end=capture-end"},
		},

		// Snap length.
		{
			"payload cut", handshake + `C data 101 501 ab missing=3; C data 106 501 f missing=1; C data 101 501 abcdefg; C fin 108 501`,
			[]string{"C'ab'", "C lost=3", "C'f'", "C lost=1", "C fin"},
		}, {
			"payload cut to nothing", handshake + `C data 101 501 missing=100; C data 201 501 x`,
			[]string{"C lost=100", "C'x'"},
		}, {
			"payload cut while held", handshake + `C data 104 501 d missing=4; C data 101 501 abc; C data 106 501 FGHi`,
			[]string{"C'abc'", "C'd'", "C lost=4", "C'i'"},
		}, {
			"whole segment cut while held", handshake + `C data 104 501 missing=4; C data 101 501 abc; C data 108 501 h`,
			[]string{"C'abc'", "C lost=4", "C'h'"},
		},

		// Closing.
		{
			"RST", handshake + `C data 101 501 a; S rstack 501 102; C data 102 501 b; S rst 501`,
			[]string{"C'a'", "S end=rst"},
		}, {
			"RST out of the window", handshake + `C data 101 501 a; S rst 90000000; C data 102 501 b`,
			[]string{"C'a'", "C'b'"},
		}, {
			"RST whose number runs ahead", handshake + `S data 501 101 a; S rst 601; tick 300ms; tick 600ms`,
			[]string{"S'a'", "S end=rst"},
		}, {
			"RST that did not reset", handshake + `S data 501 101 a; S rst 503; S data 502 101 bcd; tick 300ms; S data 505 101 e`,
			[]string{"S'a'", "S'bcd'", "S'e'"},
		}, {
			"RST of an end not captured", `C syn 100; C ack 101 501; C data 101 501 a; S rst 501`,
			[]string{"C'a'", "S end=rst"},
		}, {
			"RST with bytes held", handshake + `C data 111 501 b; C rst 112; flush`,
			[]string{"C lost=10'b'", "C end=rst"},
		}, {
			"RST after FIN", handshake + `S data 501 101 a; S fin 502 101; C rst 101`,
			[]string{"S'a'", "S fin", "C end=rst"},
		}, {
			"data behind FIN", handshake + `C data 101 501 a; C fin 102 501; C data 103 501 x; C data 102 501 y`,
			[]string{"C'a'", "C fin"},
		}, {
			"stragglers open nothing", handshake + `C data 101 501 a; C fin 102 501; S fin 501 103; C ack 103 502; wait 30s; S fin 501 103; C ack 103 502; S rst 502; C data 101 501 a; flush`,
			[]string{"C'a'", "C fin", "S fin end=fin"},
		}, {
			"ports used again after FIN", handshake + `C data 101 501 a; C fin 102 501; S fin 501 103; C ack 103 502
			 C syn 9100; S synack 9500 9101; C data 9101 9501 b`,
			[]string{"C'a'", "C fin", "S fin end=fin", "C'b'"},
		}, {
			"ports used again while open", handshake + `C data 101 501 a; C syn 9100; S synack 9500 9101; C data 9101 9501 b`,
			[]string{"C'a'", "C end=reused", "C'b'"},
		}, {
			"ports used again, only the SYN-ACK captured", handshake + `C data 101 501 a; S synack 9500 900101; C data 900101 9501 b`,
			[]string{"C'a'", "C end=reused", "C'b'"},
		}, {
			"ports used again, both FIN behind a gap", handshake + `C data 102 501 b; C fin 103 501; S fin 501 101; C syn 9100; C data 9101 9501 c`,
			[]string{"S fin", "C lost=1'b'", "C fin end=fin", "C'c'"},
		}, {
			"ports used again the other way", handshake + `C data 101 501 a; C rst 102; S syn 9500; C synack 9100 9501; S data 9501 9101 b`,
			[]string{"C'a'", "C end=rst", "S'b'"},
		}, {
			"idle", handshake + `C data 101 501 a; wait 599s; C ack 102 501; tick 599s; tick 2s`,
			[]string{"C'a'", "C end=idle"},
		}, {
			"clock set back", handshake + `C data 101 501 a; wait -1h; C data 102 501 b; wait 30m; C data 103 501 c; flush`,
			[]string{"C'a'", "C'b'", "C end=idle", "~C'c'", "~C end=capture-end"},
		},

		// Nothing to tell.
		{"connection without data", handshake + `C fin 101 501; S fin 501 102; C ack 102 502; flush`, nil},
		{"port closed", `C syn 100; S rstack 0 101; flush`, nil},
		{"scan that is not answered", `C syn 100; flush`, nil},
		{"lone RST", `C rst 100; flush`, nil},
		{"lone ACK", `C ack 100 100; flush`, nil},
		{
			"FIN of one side before the other sends", handshake + `C fin 101 501; S data 501 102 late`,
			[]string{"C fin", "S'late'"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, Limits{})
			s.run(tt.script)
			s.expect(tt.want...)
			s.trk.Flush(parse.CaptureEnd)
			checkEmpty(t, s.trk)
			if len(s.chk.open) > 0 {
				t.Errorf("connections without an end: %v", s.chk.open)
			}
		})
	}
}

// checkEmpty fails if a flushed Tracker still holds something.
func checkEmpty(t *testing.T, trk *Tracker) {
	t.Helper()
	if trk.table.n != 0 || trk.pool.used != 0 || trk.waiting.head != none || len(trk.numbers) != len(trk.flows) {
		t.Errorf("left after Flush: %d flows, %d blocks, waiting %d, %d of %d numbers",
			trk.table.n, trk.pool.used, trk.waiting.head, len(trk.flows)-len(trk.numbers), len(trk.flows))
	}
	for _, s := range trk.slots {
		if s.id != none {
			t.Errorf("left in the table: %+v", s)
		}
	}
}
