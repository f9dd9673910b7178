package capture

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"whoasked/parse"
)

func TestSkip(t *testing.T) {
	const hello = handshake + "C data 101 501 hello; S data 501 106 world\n"
	server := []parse.Side{parse.Accepter}
	both := []parse.Side{parse.Opener, parse.Accepter}
	for _, c := range []struct {
		name         string
		before, then string
		skip         []parse.Side
		want         []string
	}{
		{"what comes is not handed over", hello, "S data 506 106 bulk; S data 510 106 bulk; C data 106 514 more", server, []string{"C'more'"}},
		{"what does not come is not missed", hello, "C data 106 900 more; S data 900 110 late; S fin 904 110; C fin 110 905", server, []string{"C'more'", "S fin", "C fin end=fin"}},
		{"ends by FIN behind what was withheld", hello, "S fin 90000 106; C fin 70000 90001", both, []string{"S fin", "C fin end=fin"}},
		{"ends by RST behind what was withheld", hello, "S rst 900000000", both, []string{"S end=rst"}},
		{"a late copy of the FIN", hello, "S fin 90000 106; C fin 70000 90001; S fin 90000 106; C fin 70000 90001", both, []string{"S fin", "C fin end=fin"}},
		{"what was held is let go", hello + "S data 516 106 held", "C data 106 521 more; wait 20ms; C data 110 521 a; C data 111 521 b", server, []string{"C'more'", "C'a'", "C'b'"}},
		{"the ports are used again", hello, "C syn 7000; S synack 8000 7001; C data 7001 8001 again", both, []string{"C end=reused", "C'again'"}},
		{"the other direction may still lose", hello, "C data 110 900 late; C data 114 900 r; S ack 900 115; C ack 115 900; wait 300ms; C data 115 900 x", server, []string{"C lost=4'late'", "C'r'", "C'x'"}},
		{"idle", hello, "tick 11m", both, []string{"C end=idle"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(t, Limits{})
			s.run(c.before)
			for _, side := range c.skip {
				s.trk.Skip(0, side)
				s.trk.Skip(0, side)
			}
			s.got = nil
			s.run(c.then)
			s.expect(c.want...)
			s.run("flush")
			if s.trk.pool.used != 0 {
				t.Errorf("%d blocks are still held", s.trk.pool.used)
			}
		})
	}
}

// TestSkipInFullBuffers: what is handed over to make room for a segment has its
// stream skipped. Nothing may be kept of it then: no room would come of that.
func TestSkipInFullBuffers(t *testing.T) {
	const blocks = 4
	trk := NewTracker(Limits{FlowBytes: blocks * blockSize, TotalBytes: blocks * blockSize}, nil, nil)
	trk.Emit(func(ch *parse.Chunk) bool {
		trk.Skip(ch.Conn, ch.From)
		return true
	})
	at := int64(1e18)
	for n := range 3 { // as many flows, which all need the room of one
		c := numbered(n)
		trk.Segment(at, &Segment{Tuple: c, Seq: 99, Flags: FlagSYN})
		trk.Segment(at, &Segment{Tuple: c.Reverse(), Seq: 499, Ack: 100, Flags: FlagSYN | FlagACK})
		for i := range uint32(3 * blocks) {
			trk.Segment(at, &Segment{Tuple: c, Seq: 200 + 2*i, Ack: 500, Flags: FlagACK | FlagPSH, Payload: []byte("x")})
		}
	}
	checkSound(t, trk)
	trk.Flush(parse.CaptureEnd)
	checkEmpty(t, trk)
}

// TestSkipNobody: a number that is not in use, as after the end of a connection.
func TestSkipNobody(t *testing.T) {
	s := newScript(t, Limits{})
	s.trk.Skip(3, parse.Opener)
	s.run(handshake + "C data 101 501 a; C rst 102")
	s.trk.Skip(0, parse.Opener)
	s.run("wait 2m; " + handshake + "C data 101 501 b")
	s.expect("C'a'", "C end=rst", "C'b'")
}

func TestWithhold(t *testing.T) {
	s := newScript(t, Limits{})
	told := map[Tuple]bool{}
	s.trk.Withhold(func(tuple Tuple, on bool) { told[tuple] = on })
	s.run(handshake + "C data 101 501 hello")
	s.trk.Skip(0, parse.Accepter)
	s.run("S data 501 106 missing=30000")
	if len(told) > 0 {
		t.Errorf("told already after 30 kB: %v", told)
	}
	s.run("S data 30501 106 missing=30000")
	server := tupleOf(s.server, s.client)
	if len(told) != 1 || !told[server] {
		t.Errorf("after 60 kB of the server told %v", told)
	}
	s.run("C syn 9000")
	if told[server] {
		t.Error("not told that another connection needs its segments")
	}
	s.run("S synack 8000 9001; C data 9001 8001 hello")
	s.trk.Skip(0, parse.Accepter)
	s.trk.Skip(0, parse.Opener)
	s.run("S data 8001 9006 missing=60000")
	if !told[server] || !told[tupleOf(s.client, s.server)] {
		t.Errorf("with both directions skipped told %v", told)
	}
	s.run("flush")
	for tuple, on := range told {
		if on {
			t.Errorf("%v is still withheld", tuple)
		}
	}
}

// TestSkipProperties: whatever is withheld of a direction that is skipped, the
// other one is whole, nothing is called lost and the end is the right one.
func TestSkipProperties(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		c := converse(rng)
		c.repeat()
		side := parse.Side(rng.IntN(2))
		after := rng.IntN(20)
		off, ends := [2]int{}, []parse.End(nil)
		skipped := false
		var trk *Tracker
		trk = NewTracker(Limits{}, nil, func(ch *parse.Chunk) bool {
			if ch.Lost > 0 || ch.Conflict > 0 {
				t.Errorf("seed %d: %+v", seed, ch)
			}
			if skipped && ch.From == side && len(ch.Data) > 0 {
				t.Errorf("seed %d: handed over though skipped", seed)
			}
			off[ch.From] += len(ch.Data)
			if after--; after == 0 && ch.End == parse.Open {
				skipped = true
				trk.Skip(ch.Conn, side)
			}
			if ch.End != parse.Open {
				ends = append(ends, ch.End)
			}
			return true
		})
		at := int64(1e18)
		for i := range c.packets {
			p := &c.packets[i]
			if skipped && p.from == side && p.Flags&(FlagSYN|FlagFIN|FlagRST) == 0 && rng.IntN(3) > 0 {
				continue
			}
			at += int64(10 * time.Microsecond)
			seg := p.Segment
			trk.Segment(at, &seg)
		}
		trk.Flush(parse.CaptureEnd)
		if other := side.Other(); off[other] != len(c.streams[other]) || !slices.Equal(ends, []parse.End{parse.FIN}) {
			t.Errorf("seed %d: %d of %d bytes of the other side, ended %v", seed, off[other], len(c.streams[other]), ends)
		}
	}
}
