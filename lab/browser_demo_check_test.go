//go:build linux

package lab

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"whoasked/attribute"
)

// demoHops are the names by which "whoasked demo" calls the hops.
const demoHops = "hops:\n- name: appgw\n  kind: appgw\n  addresses: [198.18.0.20, 198.18.1.20]\n" +
	"- name: apim\n  kind: apim\n  addresses: [198.18.1.30]\n"

// checkDemo demands that the captures tell their story: what the gateway passes
// through reaches API Management, which asks under the API's name and not under
// the portal's; one resumed connection hides it, one request is readable, and a
// dialog over the portal's page is cancelled.
func checkDemo(t *testing.T, l *Lab, truth visitTruth, client, appgw string) {
	t.Helper()
	got := readPaths(t, theProgram(t), l.File("demo.yaml", demoHops), client, appgw)
	t.Log(got.text)
	const chain = "198.18.0.10 → appgw (passes through) → apim "
	for way := range maps.Keys(got.ways) {
		if way != chain+"(ASKED)"+reaches && way != chain+"(did not ask)" {
			t.Errorf("a way %q", way)
		}
	}
	if own := got.own(); !slices.Equal(own, []string{"198.18.1.30:443 " + api}) {
		t.Errorf("asked: %q, want the API at API Management only", own)
	}
	for _, file := range []string{client, appgw} {
		checkDemoFile(t, file, truth)
	}
}

// checkDemoFile checks what one of the captures tells by itself.
func checkDemoFile(t *testing.T, file string, truth visitTruth) {
	t.Helper()
	book := attribute.NewBook()
	var authorities []string
	resumed := 0
	for _, c := range judgeConnections(t, file) {
		book.Add(c)
		if c.ServerHello == nil {
			continue
		}
		want := attribute.No
		if c.ClientHello.ServerName == api && !c.Verdict.Resumed {
			want = attribute.Yes
		}
		if c.ClientHello.ServerName == api && c.Verdict.Resumed {
			resumed++
		}
		if c.Verdict.Asked != want {
			t.Errorf("%s: asked is %v, want %v", c.ClientHello.ServerName, c.Verdict.Asked, want)
		}
		for _, r := range c.Requests {
			authorities = append(authorities, r.Authorities...)
		}
	}
	if resumed != 1 {
		t.Errorf("%d resumed, want 1", resumed)
	}
	prompts, _ := book.Finish()
	const clock = 10 * time.Millisecond // the kernel stamps packets by a coarser clock
	if len(prompts) != 1 || prompts[0].Outcome != attribute.OutcomeCancelled {
		t.Errorf("prompts %+v, want one that is cancelled", prompts)
	} else if p := prompts[0]; p.SNI != api || p.Opened.After(truth.Seen.Add(clock)) ||
		p.Closed.Before(truth.Ended.Add(-clock)) || p.Closed.After(truth.Served.Add(clock)) {
		t.Errorf("prompt %+v, want %+v", p, truth)
	}
	if text := strings.Join(authorities, "; "); !strings.Contains(text, "CN=Contoso Device CA") {
		t.Errorf("authorities %q", text)
	}
}
