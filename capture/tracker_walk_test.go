package capture

import (
	"errors"
	"maps"
	"testing"

	"whoasked/parse"
)

// puppet is a Walker that stands where it is told to.
type puppet struct {
	stands  map[Tuple]WalkStand
	permits map[Tuple]uint32
	quiet   map[Tuple]bool
	refuses bool
}

func newPuppet() *puppet {
	return &puppet{stands: map[Tuple]WalkStand{}, permits: map[Tuple]uint32{}, quiet: map[Tuple]bool{}}
}

func (p *puppet) Seek(t *Tuple, quiet bool, _ uint32) error {
	if p.refuses {
		return errors.New("full")
	}
	p.stands[*t], p.quiet[*t] = WalkStand{Mode: WalkSeeks}, quiet
	return nil
}

func (p *puppet) Quiet(t *Tuple, _ uint32) error {
	p.stands[*t], p.quiet[*t] = WalkStand{}, true
	return nil
}

func (p *puppet) Permit(t *Tuple, run uint32) error {
	p.permits[*t] = run
	return nil
}

func (p *puppet) Stand(t *Tuple) (WalkStand, bool) {
	s, ok := p.stands[*t]
	return s, ok
}

func (p *puppet) Forget(t *Tuple) {
	delete(p.stands, *t)
	delete(p.permits, *t)
}

// keeping is a script whose server's records end 10 bytes behind each chunk of it, and
// in which the kernel has got as far as keeping what comes from 516 on.
func keeping(t *testing.T) (*script, *puppet, *WalkStand, Tuple) {
	t.Helper()
	s, p := newScript(t, Limits{}), newPuppet()
	s.trk.Walk(p, nil)
	emit := s.trk.emit
	follow := true
	s.trk.Emit(func(ch *parse.Chunk) bool {
		if follow && ch.From == parse.Accepter && len(ch.Data) > 0 {
			s.trk.Follow(ch.Conn, ch.From, 10)
		}
		return emit(ch)
	})
	server := tupleOf(s.server, s.client)
	s.run(handshake + "C data 101 501 hello; S data 501 106 world")
	if p.stands[server].Mode != WalkSeeks {
		t.Fatalf("after the first chunk the kernel is at %+v", p.stands)
	}
	p.stands[server] = WalkStand{Mode: WalkFollows, Run: 7, Next: 523}
	s.run("S data 506 106 first")
	if len(p.permits) > 0 {
		t.Fatal("permitted with no record seen where it is taken to be")
	}
	s.run("S data 511 106 other; C data 106 516 x") // a record begins at 526, none at 523
	if len(p.permits) > 0 {
		t.Fatal("permitted though no record begins at 523")
	}
	p.stands[server] = WalkStand{Mode: WalkFollows, Run: 8, Next: 531}
	s.run("S data 516 107 again")
	if p.permits[server] != 8 || !p.quiet[server.Reverse()] {
		t.Fatalf("at the header permitted %v, quiet %v", p.permits, p.quiet)
	}
	s.got, follow = nil, false
	stand := &WalkStand{Mode: WalkKeeps, Run: 8, Next: 531}
	p.stands[server] = *stand
	return s, p, stand, server
}

func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name   string
		then   string // before the stand
		stand  WalkStand
		gone   bool // the kernel knows nothing of it
		behind string
		want   []string
		over   bool // all comes again
	}{
		{name: "what is known already", stand: WalkStand{Mode: WalkKeeps, Next: 5000}, behind: "S data 600 107 old; S data 4995 107 ended", want: nil},
		{name: "a record of another type", stand: WalkStand{Mode: WalkLapsed, Next: 5000}, behind: "S data 4998 107 __new; S data 5003 107 more",
			want: []string{"S walked=4479", "S'new'", "S'more'"}, over: true},
		{name: "the first one is late", stand: WalkStand{Mode: WalkLapsed, Next: 5000}, behind: "S data 5003 107 more; S data 4998 107 __new",
			want: []string{"S walked=4479", "S'new'", "S'more'"}, over: true},
		{name: "and does not come", stand: WalkStand{Mode: WalkLapsed, Next: 5000}, behind: "S data 5003 107 more; wait 3s; C data 107 5007 y",
			want: []string{"S walked=4479", "S lost=3'more'", "C'y'"}, over: true},
		{name: "a cut header goes on", stand: WalkStand{Mode: WalkCuts, Next: 5000}, behind: "S data 4998 107 __hd; S data 5002 107 r",
			want: []string{"S walked=4479", "S'hd'", "S'r'"}},
		{name: "a cut header", stand: WalkStand{Mode: WalkCuts, Next: 5000}, behind: "S data 4998 107 __hd", want: []string{"S walked=4479", "S'hd'"}},
		{name: "FIN", stand: WalkStand{Mode: WalkLapsed, Next: 5000}, behind: "S fin 5000 107; C fin 107 5001", want: []string{"S fin", "C fin end=fin"}, over: true},
		{name: "FIN inside of a record", stand: WalkStand{Mode: WalkLapsed, Next: 5000}, behind: "S fin 4000 107; C fin 107 4001", want: []string{"S fin", "C fin end=fin"}, over: true},
		{name: "FIN behind what did not come", stand: WalkStand{Mode: WalkLapsed, Next: 5000}, behind: "S fin 5100 107; C fin 107 5101; wait 300ms; C ack 108 5101; C ack 108 5101; C ack 108 5101; wait 300ms; C ack 108 5101",
			want: []string{"S walked=4479", "S lost=100 fin", "C fin end=fin"}, over: true},
		{name: "RST", stand: WalkStand{Mode: WalkLapsed, Next: 5000}, behind: "S rst 5000", want: []string{"S end=rst"}, over: true},
		{name: "idle", stand: WalkStand{Mode: WalkKeeps, Next: 5000}, behind: "tick 11m", want: []string{"C end=idle"}, over: true},
		{name: "idle, and what passed did not come", stand: WalkStand{Mode: WalkLapsed, Next: 5000}, behind: "tick 11m", want: []string{"S lost=65536", "C end=idle"}, over: true},
		{name: "idle, and the peer has more", stand: WalkStand{Mode: WalkKeeps, Next: 5000}, then: "acked 5100", behind: "tick 11m", want: []string{"S lost=100", "C end=idle"}, over: true},
		{name: "forgotten", gone: true, behind: "S data 9000 107 more", want: []string{"S lost=65536'more'"}, over: true},
		{name: "the run was given up before", stand: WalkStand{Mode: WalkSeeks, Run: 8}, behind: "S data 521 107 more", want: []string{"S'more'"}, over: true},
		{name: "another run", stand: WalkStand{Mode: WalkFollows, Run: 9, Next: 700}, behind: "S data 521 107 more", want: []string{"S'more'"}, over: true},
		{name: "not yet kept", stand: WalkStand{Mode: WalkFollows, Run: 8, Next: 541}, behind: "S data 521 107 more", want: []string{"S'more'"}},
		{name: "not yet kept, and a gap", stand: WalkStand{Mode: WalkFollows, Run: 8, Next: 541}, behind: "S data 525 107 more; S data 521 107 late",
			want: []string{"S'late'", "S'more'"}, over: true},
		{name: "the ports are used again", stand: WalkStand{Mode: WalkEnded, Next: 5000}, behind: "C syn 7000; S synack 8000 7001; C data 7001 8001 again",
			want: []string{"C end=reused", "C'again'"}, over: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p, _, server := keeping(t)
			if c.stand.Run == 0 {
				c.stand.Run = 8
			}
			p.stands[server] = c.stand
			if c.then != "" {
				p.stands[server.Reverse()] = WalkStand{Ack: 5100}
			}
			if c.gone {
				delete(p.stands, server)
			}
			s.run(c.behind)
			s.expect(c.want...)
			if over := len(p.stands) == 0; over != c.over {
				t.Errorf("the kernel still knows of %v", p.stands)
			}
			s.run("flush")
			if len(p.stands)+len(p.permits)+len(s.trk.walks) > 0 {
				t.Errorf("at the end the kernel knows of %v, permitted %v; %d are kept", p.stands, p.permits, len(s.trk.walks))
			}
			if s.trk.pool.used != 0 {
				t.Errorf("%d blocks are still held", s.trk.pool.used)
			}
		})
	}
}

// TestFollowRests: behind a lapse nothing is tried for a while, nor where the kernel has
// no room.
func TestFollowRests(t *testing.T) {
	s, p := newScript(t, Limits{}), newPuppet()
	s.trk.Walk(p, nil)
	s.run(handshake + "C data 101 501 hello; S data 501 106 world")
	p.refuses = true
	s.trk.Follow(0, parse.Accepter, 3)
	p.refuses = false
	s.trk.Follow(0, parse.Accepter, 3)
	if len(p.stands) > 0 {
		t.Errorf("tried again at once: %v", p.stands)
	}
	s.trk.Skip(0, parse.Accepter)
	s.trk.Follow(0, parse.Accepter, 3)
	s.trk.Follow(7, parse.Accepter, 3)
	if len(p.stands)+len(s.trk.walks) > 0 {
		t.Errorf("what is skipped is followed: %v", p.stands)
	}
	s.run("flush")
}

// FuzzFollow is FuzzTracker with a Walker that may stand anywhere.
func FuzzFollow(f *testing.F) {
	for _, c := range fuzzSeeds() {
		f.Add(c, []byte("\x03\x13\x25\x37\x41"))
	}
	f.Fuzz(func(t *testing.T, in, stands []byte) {
		if len(stands) == 0 {
			return
		}
		p := newPuppet()
		trk := NewTracker(Limits{Flows: 4, FlowBytes: 2 * blockSize, TotalBytes: 3 * blockSize}, nil, nil)
		trk.Walk(p, nil)
		n := 0
		trk.Emit(func(ch *parse.Chunk) bool {
			n++
			b := stands[n%len(stands)]
			if len(ch.Data) > 0 {
				trk.Follow(ch.Conn, ch.From, int(b>>4))
				for tuple := range maps.Clone(p.stands) {
					s := WalkStand{Mode: WalkMode(b&15) % (WalkEnded + 1), Run: 1, Next: 0xffff8000 + uint32(b)<<8}
					if b&15 == 15 {
						delete(p.stands, tuple)
						continue
					}
					if s.Mode == WalkFollows {
						f, d := trk.flowOf(ch.Conn), int(ch.From)
						if f != nil {
							s.Next = f.dirs[d^int(f.opener)].next + uint32(b>>4)
						}
					}
					p.stands[tuple] = s
				}
			}
			return true
		})
		feedFuzz(t, trk, in)
		if len(p.stands)+len(trk.walks) > 0 {
			t.Errorf("the kernel still knows of %v, and %d are kept", p.stands, len(trk.walks))
		}
	})
}

// FuzzLeaveOut is FuzzTracker with parts that are told to be left out.
func FuzzLeaveOut(f *testing.F) {
	for _, c := range fuzzSeeds() {
		f.Add(c, uint16(7), uint16(900))
	}
	f.Fuzz(func(t *testing.T, in []byte, from, n uint16) {
		trk := NewTracker(Limits{Flows: 4, FlowBytes: 2 * blockSize, TotalBytes: 3 * blockSize}, nil, func(*parse.Chunk) bool { return true })
		var seg Segment
		at := int64(1e18)
		for ; len(in) >= 8; in = in[8:] {
			at += fuzzSegment(&seg, in)
			trk.Segment(at, &seg)
			if l := (LeftOut{Src: seg.SrcAddr(), From: seg.Seq + uint32(from), To: seg.Seq + uint32(from) + uint32(n)}); in[7]&1 == 0 {
				trk.LeaveOut(&seg, []LeftOut{l})
			} else if in[7]&2 == 0 {
				l.Src = seg.DstAddr()
				trk.LeaveOut(&seg, []LeftOut{l})
			}
			checkSound(t, trk)
		}
		trk.Flush(parse.CaptureEnd)
		checkEmpty(t, trk)
		if len(trk.leftOut) > 0 {
			t.Errorf("%v is remembered", trk.leftOut)
		}
	})
}
