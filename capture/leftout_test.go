package capture

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestReadLeftOut(t *testing.T) {
	a := LeftOut{Src: serverAddr, From: 511, To: 1<<32 - 1}
	b := LeftOut{Src: netip.MustParseAddrPort("[2001:db8::1]:443"), From: 7}
	got := ReadLeftOut("asked\n" + a.String() + "\nx " + a.String() + "\n" + b.String() + " " + "\n" + strings.Replace(a.String(), "511", "-1", 1) + "\n" + b.String())
	if !slices.Equal(got, []LeftOut{a, b}) {
		t.Errorf("read %v", got)
	}
	if many := ReadLeftOut(strings.Repeat(a.String()+"\n", 2*MaxLeftOut)); len(many) != MaxLeftOut {
		t.Errorf("read %d", len(many))
	}
}

// TestLeaveOut: what is told to be left out is not lost, and nothing else is found.
func TestLeaveOut(t *testing.T) {
	const begun = handshake + "C data 101 501 hello; S data 501 106 world\n"
	const later = "wait 3s; C ack 106 9100; C ack 106 9100; C ack 106 9100; C ack 106 9100; wait 3s; C data 106 9100 more"
	for _, c := range []struct {
		name       string
		from, to   uint32
		then       string
		want       []string
		ofTheOther bool
	}{
		{name: "behind what was read", from: 506, to: 9000, then: "S data 9000 106 next", want: []string{"S walked=8494", "S'next'"}},
		{name: "behind what was on its way", from: 400, to: 9000, then: "S data 9000 106 next", want: []string{"S walked=8494", "S'next'"}},
		{name: "found by what the other side acknowledges", from: 506, to: 9000, then: "C data 106 9000 GET; S data 9000 109 next",
			want: []string{"S walked=8494", "C'GET'", "S'next'"}},
		{name: "behind a loss", from: 600, to: 9000, then: "S data 9000 106 next; " + later,
			want: []string{"S lost=94", "S walked=8400", "S'next'", "S lost=96", "C'more'"}},
		{name: "of the other side", from: 506, to: 9000, ofTheOther: true, then: "S data 9000 106 next; " + later,
			want: []string{"S lost=8494'next'", "S lost=96", "C'more'"}},
		{name: "in front", from: 300, to: 400, then: "S data 506 106 next", want: []string{"S'next'"}},
		{name: "up to where it stands", from: 400, to: 506, then: "S data 506 106 next", want: []string{"S'next'"}},
		{name: "at the end", from: 506, to: 9000, then: "S fin 9000 106; C fin 106 9001", want: []string{"S walked=8494", "S fin", "C fin end=fin"}},
		{name: "of another connection", from: 506, to: 9000, then: "C syn 7000; S synack 505 7001; C data 7001 506 x; S data 506 7002 y",
			want: []string{"S walked=8494", "C end=reused", "C'x'", "S'y'"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(t, Limits{})
			s.run(begun)
			s.got = nil
			l := LeftOut{Src: s.server, From: c.from, To: c.to}
			if c.ofTheOther {
				l.Src = s.client
				l.From, l.To = 5000, 6000
			}
			s.trk.LeaveOut(&Segment{Tuple: tupleOf(s.client, s.server)}, []LeftOut{l})
			s.run(c.then)
			s.expect(c.want...)
			s.run("flush; tick 20m")
			if len(s.trk.leftOut) > 0 || s.trk.pool.used > 0 {
				t.Errorf("%v, and %d blocks are kept", s.trk.leftOut, s.trk.pool.used)
			}
		})
	}
}
