package attribute

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSettle: each case is the connections of one name in order of time,
// "start=script" with start in seconds, behind ~ for another name and ! for a sighting
// of the one before, and the verdict on each in the end. The server shows nothing of its
// flight.
func TestSettle(t *testing.T) {
	const (
		hello    = "C:hello+chromium S:hello13 " + flight1
		drop     = hello + " C:fin S:fin"
		empty    = hello + " C:20/1 C:23/25 C:23/53 S:23/250 C:23/80 S:23/900"
		clear    = hello + " C:20/1 C:23/53 C:23/80 S:23/900"
		resumed  = "C:hello+chromium S:hello13+psk S:23/40 S:23/53 C:23/53"
		fire     = "C:hello+firefox S:hello13 " + flight1
		idle     = fire + " C:fin S:fin"
		held     = fire + " @6 C:23/25 C:23/53"
		other    = "C:hello S:hello13 " + flight1 + " C:23/25 C:23/53"
		notOther = "C:hello S:hello13 " + flight1 + " C:23/53"
		later    = "C:hello S:hello12 S:cert S:ske S:done C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/300 round S:22/28 C:22/500 S:22/100 S:22/800 S:22/324 S:22/106 S:22/28 C:22/7 C:22/37 C:22/28"
	)
	for _, tt := range []struct {
		name  string
		conns []string
		want  string // y, n or ? for each
		text  string // part of the evidence, or of the reason, of the first
	}{
		{"alone", []string{"0=" + drop}, "?", "no other connection"},
		{"of one event", []string{"0=" + drop, "0.001=" + drop, "0.004=" + drop}, "???", "also when it ends"},
		{"again and again", []string{"0=" + drop, "0.03=" + drop}, "yy", "did the same there on another connection 30 ms later"},
		{"then an answer", []string{"0=" + drop, "8.4=" + empty}, "yy", "asked there on another connection 8.4 s later"},
		{"behind an answer", []string{"0=" + empty, "8.4=" + drop}, "yy", ""},
		{"long before an answer", []string{"0=" + drop, "1200=" + empty}, "yy", "for certain was asked, on 1 connection"},
		{"again, much later", []string{"0=" + drop, "1200=" + drop}, "??", ""},
		{"drops what it has when it starts, and is not asked", []string{"0=" + drop, "0.05=" + drop, "0.1=" + clear}, "??n", ""},
		{"not asked at the same time, and asked later", []string{"0=" + drop, "0.001=" + clear, "60=" + empty}, "?ny", ""},
		{"not asked long before", []string{"0=" + clear, "60=" + drop, "60.03=" + drop}, "nyy", ""},
		{"asked and not asked elsewhere", []string{"0=" + drop, "1=" + other, "2=" + notOther}, "?yn", ""},
		{"asked elsewhere", []string{"0=" + drop, "1=" + other}, "yy", "for certain was asked, on 1 connection"},
		{"asked elsewhere in a renegotiation", []string{"0=" + drop, "1=" + later}, "?y", ""},
		{"resumed meanwhile", []string{"0=" + drop, "0.03=" + drop, "0.05=" + resumed}, "??n", ""},
		{"resumed beside the first of two", []string{"0=" + drop, "0.05=" + resumed, "100=" + drop}, "?n?", ""},
		{"resumed meanwhile, and answered", []string{"0=" + drop, "0.03=" + drop, "4=" + empty, "5=" + resumed}, "yyyn", ""},
		{"Firefox drops one and holds one", []string{"0=" + idle, "0.002=" + held}, "yy", ""},
		{"another browser", []string{"0=" + drop, "0.03=" + idle}, "??", ""},
		{"there later, and not back", []string{"0=" + drop, "0.001=" + drop, "~9=" + clear}, "yyn", "connected elsewhere 9.0 s later"},
		{"there later, and back at once", []string{"0=" + drop, "1=C:hello+chromium S:hello13", "~9=" + clear}, "??n", ""},
		{"there soon", []string{"0=" + drop, "~2=" + clear}, "?n", ""},
		{"somebody else is there later", []string{"0=" + drop, "~9=" + notOther, "~9=" + fire + " C:23/53"}, "?nn", ""},
		{"twice the same connection", []string{"0=" + drop, "!0.03=" + drop}, "??", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := make([]*Connection, len(tt.conns))
			for i, line := range tt.conns {
				at, text, _ := strings.Cut(line, "=")
				at, again := strings.CutPrefix(at, "!")
				at, elsewhere := strings.CutPrefix(at, "~")
				delay, err := time.ParseDuration(at + "s")
				if err != nil {
					t.Fatal(err)
				}
				all[i] = connection(t, uint64(i+1), text, delay)
				random := uint64(i + 1)
				if again {
					random--
				}
				binary.BigEndian.PutUint64(all[i].ClientHello.Random[:], random)
				if elsewhere {
					all[i].ClientHello.ServerName = "wiki.contoso.test"
				}
			}
			// In whatever order they are heard of, and weighed.
			for _, back := range []bool{false, true} {
				b := NewBook()
				order := func(do func(*Connection)) {
					for i := range all {
						if back {
							i = len(all) - 1 - i
						}
						do(all[i])
					}
				}
				order(func(c *Connection) { c.Verdict, c.SameAs = Judge(c.Handshake), 0; b.Add(c) })
				order(func(c *Connection) {
					if c.Verdict.Waits() {
						b.Settle(c, time.Time{})
					}
				})
				got := ""
				asked := 0
				for _, c := range all {
					got += map[Answer]string{Yes: "y", No: "n", Unknown: "?"}[c.Verdict.Asked]
					if c.Verdict.Asked == Yes {
						asked++
					}
				}
				if got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				if text := fmt.Sprint(all[0].Verdict.Evidence, all[0].Verdict.Reason); !strings.Contains(text, tt.text) && !back {
					t.Errorf("%s, want %s", text, tt.text)
				}
				if a := b.Asker(all[0]); a.Asked != asked || a.Traits.Asked13+a.Traits.Asked12 != asked {
					t.Errorf("counts %+v, want %d asked", a, asked)
				}
			}
		})
	}
}

// TestSettleWaits: what a browser that was not asked does next is waited for, unless
// an answer tells at once; and what comes later still takes an answer back.
func TestSettleWaits(t *testing.T) {
	const drop = "C:hello+chromium S:hello13 " + flight1 + " C:fin S:fin"
	make := func(id uint64, at time.Duration, text string) *Connection {
		c := connection(t, id, text, at)
		binary.BigEndian.PutUint64(c.ClientHello.Random[:], id)
		return c
	}
	b := NewBook()
	one, two := make(1, 0, drop), make(2, 30*time.Millisecond, drop)
	b.Add(one)
	b.Add(two)
	if b.Settle(one, bookStart.Add(time.Second)).Changed || one.Verdict.Asked != Unknown {
		t.Errorf("after a second: %+v", one.Verdict)
	}
	if was := b.Settle(one, bookStart.Add(5*time.Second)); !was.Changed || !was.Counted || was.Asked != Unknown || one.Verdict.Asked != Yes {
		t.Errorf("after five seconds: %+v, %+v", was, one.Verdict)
	}
	b.Add(make(3, 6*time.Second, "C:hello+chromium S:hello13 "+flight1+" C:20/1 C:23/53 C:23/80 S:23/900"))
	if was := b.Settle(one, bookStart.Add(7*time.Second)); !was.Changed || was.Asked != Yes || one.Verdict.Asked != Unknown || one.Verdict.Reason == "" {
		t.Errorf("not asked then: %+v, %+v", was, one.Verdict)
	}
	if prompts, askers := b.Finish(); len(prompts) != 0 || askers[0].Asked != 0 || askers[0].Unknown != 2 || askers[0].NotAsked != 1 {
		t.Errorf("%+v, %+v", prompts, askers)
	}

	b = NewBook()
	b.Add(one)
	b.Add(make(4, 100*time.Millisecond, "C:hello+chromium S:hello13 "+flight1+" C:20/1 C:23/25 C:23/53 S:23/250 C:23/80 S:23/900"))
	if b.Settle(one, bookStart.Add(time.Second)); one.Verdict.Asked != Yes {
		t.Errorf("answered at once: %+v", one.Verdict)
	}
	if prompts, _ := b.Finish(); len(prompts) != 1 || prompts[0].Outcome != OutcomeNoneShown {
		t.Errorf("%+v", prompts)
	}
}

// TestTrailsAreBounded: what is remembered of browsers is bounded, and a connection of
// which it may lack something is not told to have been asked.
func TestTrailsAreBounded(t *testing.T) {
	b := NewBook()
	c := connection(t, 0, "C:hello+chromium S:hello13 "+flight1+" C:20/1 C:23/53 C:23/80 S:23/900", 0)
	const visitors = 2 * maxSteps / maxTrail
	for v := range visitors {
		c.ClientHello.ServerName = fmt.Sprint(v)
		for i := range maxTrail + 10 {
			c.ID++
			c.Start = bookStart.Add(time.Duration(v*maxTrail+i) * time.Second)
			b.Add(c)
		}
	}
	if b.trails.n > maxSteps || len(b.trails.of) == visitors || len(b.trails.of) == 0 {
		t.Errorf("%d connections of %d visitors", b.trails.n, len(b.trails.of))
	}
	old := []*Connection{}
	for i := range 2 {
		d := connection(t, uint64(1<<40+i), "C:hello+chromium S:hello13 "+flight1+" C:fin", time.Duration(i)*time.Second)
		binary.BigEndian.PutUint64(d.ClientHello.Random[:], uint64(i))
		d.ClientHello.ServerName = "of long ago"
		b.Add(d)
		old = append(old, d)
	}
	if b.Settle(old[0], time.Time{}); old[0].Verdict.Asked != Unknown {
		t.Errorf("%+v", old[0].Verdict)
	}
}
