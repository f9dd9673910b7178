//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBrowserRenegotiation has browsers load a page of a server that asks by path:
// TLS 1.2 renegotiates, which both do with HTTP/1.1, and the dialog comes up over a
// connection in use.
func TestBrowserRenegotiation(t *testing.T) {
	Need(t, "go")
	program := theProgram(t)
	for _, b := range Browsers() {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			l := New(t, append(b.Tools(), "apache2")...)
			log := serveByPath(l)
			pcap := filepath.Join(l.Dir, "by-path-"+b.Name+".pcap")
			capture := StartCapture(t, l.Net.Client, Device, pcap)
			s := l.NewScreen()
			p := b.Visit(l, s, fmt.Sprintf("https://%s:%d%s", portal, firstPort, pathMaybe), l.PKI.ClientRSA)
			d := storySeen{sni: portal, outcome: "certificate", seen: s.WaitDialog(t)}
			time.Sleep(glance)
			d.ended = time.Now()
			s.Press(t, "Return")
			if !poll(time.Minute, func() bool {
				lines, _ := os.ReadFile(log) // httpd makes it
				return strings.Contains(string(lines), "SUCCESS "+pathMaybe)
			}) {
				s.keep(t, t.Name()+"-reload")
				t.Fatal("the page was not served in a minute")
			}
			d.served = time.Now()
			p.Stop()
			if !l.Net.Client.WaitQuiet(t, 20*time.Second) {
				t.Error("the browser is gone, its connections are not")
			}
			capture.Stop(t)
			l.Keep(t, "by-path-"+b.Name, pcap, nil)
			for _, way := range [][]string{{pcap}, {"--keylog", l.KeyLog(), pcap}} {
				got := readAnswers(t, program, way...)
				checkByPath(t, got, d)
				if cause := got.cause(portal, "by-path"); cause == "" {
					t.Errorf("that a path asks is not told: %v", got.Askers)
				}
			}
		})
	}
}

// checkByPath demands one dialog, and that requests came in renegotiations only.
func checkByPath(t *testing.T, got *Answers, want storySeen) {
	t.Helper()
	const clock = 10 * time.Millisecond
	asked := 0
	for _, c := range got.named(portal) {
		switch {
		case c["asked"] == "yes" && c["when"] == "renegotiation":
			asked++
		case c["asked"] != "no":
			t.Errorf("connection %v", c)
		}
	}
	if asked == 0 || len(got.Prompts) != 1 {
		t.Fatalf("%d asked, prompts %v", asked, got.Prompts)
	}
	p := got.Prompts[0]
	opened, closed := promptTime(t, p, "opened"), promptTime(t, p, "closed")
	if p["sni"] != want.sni || p["outcome"] != want.outcome || p["when"] != "renegotiation" ||
		opened.After(want.seen.Add(clock)) || closed.Before(want.ended.Add(-clock)) || closed.After(want.served.Add(clock)) {
		t.Errorf("prompt %v, want %+v", p, want)
	}
	t.Logf("asked %d times; open %v s: %v", asked, p["seconds"], p["evidence"])
}
