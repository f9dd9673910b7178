//go:build linux

package lab

import (
	"slices"
	"strings"
	"testing"

	"whoasked/attribute"
)

// checkDemo demands that a demo capture tells its story: the portal asks, the
// API does not, one resumed connection hides the request, one request is
// readable, and a dialog is cancelled.
func checkDemo(t *testing.T, l *Lab, pcap string, truth visitTruth) {
	t.Helper()
	wire := readConns(t, pcap, l.KeyLog())
	for i, c := range wire {
		t.Logf("%d: %v", i+1, c)
	}
	dialog := slices.IndexFunc(wire, func(c *wireConn) bool { return c.answer() == wireDropped })
	if dialog < 0 {
		t.Fatal("nothing was dropped before the dialog")
	}
	book := attribute.NewBook()
	var authorities []string
	for _, c := range judgeConnections(t, pcap) {
		book.Add(c)
		if c.ServerHello == nil {
			continue
		}
		t.Logf("%v %v %v %v resumed %t", c.Start.Format("05.000"), c.ClientHello.ServerName, c.Verdict.Asked, c.Verdict.Basis, c.Verdict.Resumed)
		want := attribute.No
		if c.ClientHello.ServerName == portal && !c.Verdict.Resumed {
			want = attribute.Yes
		}
		if c.Verdict.Asked != want {
			t.Errorf("%s: asked is %v, want %v", c.ClientHello.ServerName, c.Verdict.Asked, want)
		}
		for _, r := range c.Requests {
			authorities = append(authorities, r.Authorities...)
		}
	}
	prompts, askers := book.Finish()
	if len(prompts) != 1 || prompts[0].Outcome != attribute.OutcomeCancelled {
		t.Errorf("prompts %+v, want one that is cancelled", prompts)
	} else {
		checkTimes(t, prompts[0], Browsers()[0], wire[dialog:], truth)
	}
	for _, a := range askers {
		t.Logf("%+v", a)
		if a.SNI == portal && a.Resumed != 1 { // a browser may resume with the API, which hides nothing
			t.Errorf("%s: %d resumed, want 1", a.SNI, a.Resumed)
		}
	}
	if text := strings.Join(authorities, "; "); !strings.Contains(text, "CN=Contoso Device CA") {
		t.Errorf("authorities %q", text)
	}
}
