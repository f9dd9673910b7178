//go:build linux

package lab

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/parse"
)

// checkPrompt asks the product who asked, and what the person saw of it.
func checkPrompt(t *testing.T, l *Lab, pcap string, b Browser, wire []*wireConn, truth visitTruth) {
	t.Helper()
	book := attribute.NewBook()
	conns := judgeConnections(t, pcap)
	answers := map[attribute.Answer]int{}
	for _, c := range conns {
		book.Add(c)
		if c.ServerHello == nil {
			continue // closed before there was anything to ask
		}
		v := c.Verdict
		answers[v.Asked]++
		want := attribute.No
		if truth.Asked {
			want = attribute.Yes
		}
		if v.Asked != want {
			t.Errorf("connection %d: asked is %v, want %v; evidence %v, reason %q\n%s", c.ID, v.Asked, want, v.Evidence, v.Reason, tapes(c.Handshake))
		}
		asker := netip.AddrPortFrom(l.Net.Server.Addr, portalPort)
		if v.Asked == attribute.Yes && v.By != asker {
			t.Errorf("connection %d: asked by %v, want %v", c.ID, v.By, asker)
		}
	}
	prompts, _ := book.Finish()
	t.Logf("asked %d, not asked %d, unknown %d; prompts %v", answers[attribute.Yes], answers[attribute.No], answers[attribute.Unknown], outcomes(prompts))
	told := truth.Outcome
	if told == "open" && !b.Holds {
		told = "unknown" // it may as well have connected in advance
	}
	switch last := len(wire) - 1; {
	case answers[attribute.Yes]+answers[attribute.No] == 0:
		t.Error("no connection was judged")
	case truth.Outcome == "" && len(prompts) == 0:
	case truth.Outcome == "none-shown" && last > 0 && wire[last].reaction.Sub(wire[last-1].reaction) > time.Second:
		t.Skip("nobody was asked, but a person could have been as quick as this browser on this machine now")
	case truth.Outcome == "" || len(prompts) != 1 || prompts[0].Outcome.String() != told:
		t.Errorf("prompts %+v, want %q\n%s", prompts, told, replies(conns))
	default:
		checkTimes(t, prompts[0], b, wire, truth)
	}
}

// checkTimes holds a prompt's times against the screen, the keyboard and nginx,
// and against tshark. It opens when the browser has got the request, which the
// screen shows a little later, and closes when the answer is on the wire, a
// little after the key.
func checkTimes(t *testing.T, p attribute.Prompt, b Browser, wire []*wireConn, truth visitTruth) {
	t.Helper()
	const clock = 10 * time.Millisecond // the kernel stamps packets by a coarser clock, nginx its log in milliseconds
	if p.SNI != portal || p.Client != netip.MustParseAddr("198.18.0.10") {
		t.Errorf("the prompt is for %q at %v", p.SNI, p.Client)
	}
	if truth.Seen.IsZero() {
		return
	}
	within := func(what string, at, from, to time.Time) {
		t.Helper()
		if at.Before(from.Add(-clock)) || at.After(to.Add(clock)) {
			t.Errorf("%s at %v, want between %v and %v", what, at, from, to)
		}
	}
	opened, closed := dialogTimes(wire, b)
	within("opened", p.Opened, opened, truth.Seen)
	if p.Outcome <= attribute.OutcomeOpen {
		if !p.Closed.IsZero() {
			t.Errorf("an open prompt closed at %v", p.Closed)
		}
		return
	}
	within("closed", p.Closed, truth.Ended, truth.Served.Add(nginxLag))
	within("closed", p.Closed, closed, closed)
	t.Logf("the prompt is %.2f s long, the dialog was on the screen for %.2f s", p.Closed.Sub(p.Opened).Seconds(), truth.Seconds)
}

// nginxLag is how late the clock of nginx may be, which it reads once for all that
// has come meanwhile.
const nginxLag = 100 * time.Millisecond

func outcomes(prompts []attribute.Prompt) (names []string) {
	for _, p := range prompts {
		names = append(names, p.Outcome.String())
	}
	return names
}

// replies tells how each connection went on, for a failing test.
func replies(conns []*attribute.Connection) (text string) {
	for _, c := range conns {
		text += c.Start.Format("05.000") + " " + c.Verdict.Asked.String() + " " + c.Verdict.Reply.String() + "\n"
	}
	return text
}

// judgeConnections runs the line of the product over a file. Connections that
// carried no TLS are left out, as the product does.
func judgeConnections(t *testing.T, pcap string) []*attribute.Connection {
	t.Helper()
	r, err := file.Open(pcap)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	open := parse.NewParser(parse.Options{}).NewConns()
	var conns []*attribute.Connection
	for ch, err := range file.NewSource(r, capture.Limits{}).Chunks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		conn, _ := open.Feed(ch)
		if h := conn.Handshake(); ch.End != parse.Open && h.TLS {
			c := &attribute.Connection{ID: uint64(len(conns) + 1), Capture: pcap, Handshake: h, Verdict: attribute.Judge(h)}
			c.Client, c.Server = h.Ends()
			conns = append(conns, c)
		}
	}
	slices.SortStableFunc(conns, func(a, b *attribute.Connection) int { return a.Start.Compare(b.Start) })
	return conns
}
