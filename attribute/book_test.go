package attribute

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// begun returns a judged connection of a script that begins after some seconds.
func begun(t *testing.T, id uint64, seconds float64, line string) *Connection {
	t.Helper()
	h := script(t, line)
	shift(h, time.Duration(seconds*float64(time.Second)))
	return &Connection{ID: id, Client: h.Flow.Addrs[0], Server: h.Flow.Addrs[1], Handshake: h, Verdict: Judge(h)}
}

var bookStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func outcomes(prompts []Prompt) (out []string) {
	for _, p := range prompts {
		out = append(out, fmt.Sprintf("%v%v", p.Outcome, p.Connections))
	}
	return out
}

const (
	dropped  = "C:hello+chromium S:hello13 " + flight5 + " C:fin"
	answered = "C:hello+chromium S:hello13 " + flight5 + " C:23/588 C:23/281 C:23/53"
)

// TestDue: a dialog is told when it is found to be open, and when it ends, and
// then forgotten.
func TestDue(t *testing.T) {
	b := NewBook()
	due := func(seconds float64, want ...string) {
		t.Helper()
		got := outcomes(b.Due(bookStart.Add(time.Duration(seconds * float64(time.Second)))))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("after %v s: %q, want %q", seconds, got, want)
		}
	}
	b.Add(begun(t, 1, 0, dropped))
	b.Add(begun(t, 2, 0.1, dropped))
	due(1)
	due(3, "unknown[1 2]")
	due(4)
	b.Add(begun(t, 3, 9, answered))
	due(10)
	due(12, "certificate[1 2 3]")
	due(13)
	if len(b.sights) != 0 || b.sightCount != 0 {
		t.Errorf("%d visitors, %d connections are still remembered", len(b.sights), b.sightCount)
	}
	// The latest connection is one that the answer made needless.
	b.Add(begun(t, 3, 20, dropped))
	due(23, "unknown[3]")
	b.Add(begun(t, 4, 29, "C:hello+chromium S:hello13 "+flight1+" @0.2 C:23/588 C:23/281 C:23/53"))
	b.Add(begun(t, 5, 29.001, "C:hello+chromium S:hello13 "+flight5+" @0.2 C:fin"))
	due(32, "certificate[3 4 5]")
	// Nobody comes back: it stays open until nothing can belong to it any more.
	b.Add(begun(t, 6, 100, dropped))
	due(103, "unknown[6]")
	due(600)
	due(701, "unknown[6]")
	if prompts, askers := b.Finish(); len(prompts) != 0 || len(askers) != 1 || askers[0].Prompts != 2 || askers[0].Asked != 7 {
		t.Errorf("%+v, %+v", prompts, askers)
	}
}

// TestDueEqualsFinish: asking every second in between changes no dialog.
func TestDueEqualsFinish(t *testing.T) {
	lines := []string{dropped, answered, dropped, dropped, answered,
		"C:hello+firefox S:hello13 " + flight1 + " @9 C:23/588 C:23/281 C:23/53",
		"C:hello+firefox S:hello13 " + flight5 + " C:fin", "C:hello+firefox S:hello13 " + flight1 + " C:23/588 C:23/281 C:23/53", answered}
	for spacing := 1; spacing < 400; spacing = spacing*2 + 1 {
		all, often := NewBook(), NewBook()
		var got []Prompt
		for i, line := range lines {
			at := float64(i * spacing)
			all.Add(begun(t, uint64(i), at, line))
			c := begun(t, uint64(i), at, line)
			for s := at - float64(spacing); s < c.Last.Sub(bookStart).Seconds(); s++ {
				for _, p := range often.Due(bookStart.Add(time.Duration(s * float64(time.Second)))) {
					if n := len(got); n > 0 && got[n-1].Outcome <= OutcomeOpen && got[n-1].Connections[0] == p.Connections[0] {
						got = got[:n-1] // it was told open before
					}
					got = append(got, p)
				}
			}
			often.Add(c)
		}
		rest, askers := often.Finish()
		for _, p := range rest {
			if n := len(got); n > 0 && got[n-1].Outcome <= OutcomeOpen && got[n-1].Connections[0] == p.Connections[0] {
				got = got[:n-1]
			}
			got = append(got, p)
		}
		want, wantAskers := all.Finish()
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(askers, wantAskers) {
			t.Errorf("%d s apart: %q, want %q", spacing, outcomes(got), outcomes(want))
		}
	}
}

func TestCorrect(t *testing.T) {
	b := NewBook()
	c := begun(t, 1, 0, "C:hello+firefox S:hello13 "+flight1+" @5")
	if c.Verdict.Reply != ReplyStalled {
		t.Fatalf("%+v", c.Verdict)
	}
	b.Add(c)
	before := c.Verdict
	c.Handshake = script(t, "C:hello+firefox S:hello13 "+flight1+" @9 C:23/53")
	c.Verdict = Judge(c.Handshake)
	if c.Verdict.Asked != No {
		t.Fatalf("%+v", c.Verdict)
	}
	b.Correct(c, &before)
	prompts, askers := b.Finish()
	if len(askers) != 1 || askers[0].Asked != 0 || askers[0].NotAsked != 1 || askers[0].Full != 1 || len(prompts) != 0 {
		t.Errorf("%+v, %+v", askers, prompts)
	}
	// An unknown one that turns out to be something else leaves no reason behind.
	b = NewBook()
	c = begun(t, 1, 0, "C:hello S:hello13 "+flight1)
	b.Add(c)
	before = c.Verdict
	c.Handshake = script(t, "C:hello S:hello13 "+flight1+" C:23/53")
	c.Verdict = Judge(c.Handshake)
	b.Correct(c, &before)
	if _, askers := b.Finish(); askers[0].Unknown != 0 || len(askers[0].Reasons) != 0 || askers[0].NotAsked != 1 {
		t.Errorf("%+v", askers)
	}
}

// TestBookBounded: names without end cost no more than a bound.
func TestBookBounded(t *testing.T) {
	b := NewBook()
	for i := range 3 * maxAskers {
		c := begun(t, uint64(i), float64(i), "C:hello S:hello13 "+flight1+" C:23/53")
		c.ClientHello.ServerName = fmt.Sprint(i)
		b.Add(c)
		b.Due(c.Last)
	}
	if len(b.askers) > maxAskers || b.Left() != 0 || b.Forgotten() == 0 {
		t.Errorf("%d askers, %d left out, %d forgotten", len(b.askers), b.Left(), b.Forgotten())
	}
	if _, newest := b.askers[endpoint{netip.AddrPortFrom(netip.MustParseAddr("198.18.0.20"), 443), fmt.Sprint(3*maxAskers - 1)}]; !newest {
		t.Error("the newest was forgotten")
	}
}
