//go:build linux

package lab

import (
	"crypto/tls"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"whoasked/attribute"
)

// TestBrowserDrops: where a server seals all of its flight in one record, as NSS does,
// only what a browser does next tells whether it dropped a connection because it was
// asked: a Chromium that starts drops what it has, asked or not.
func TestBrowserDrops(t *testing.T) {
	program := theProgram(t)
	for _, b := range Browsers() {
		for _, m := range []Mode{NotAsked, Optional} {
			if b.Holds && m == NotAsked {
				continue // it does not drop then
			}
			t.Run(b.Name+"/"+string(m), func(t *testing.T) {
				t.Parallel()
				l := New(t, append(b.Tools(), "selfserv")...)
				s := l.NewScreen()
				e := Endpoint{Server: "nss", Port: portalPort, Version: tls.VersionTLS13, Mode: m, Key: RSA}
				serveNSS(l, []Endpoint{e})
				l.Net.Server.WaitListen(t, portalPort)
				pcap := filepath.Join(l.Dir, "drops.pcap")
				capture := StartCapture(t, l.Net.Client, Device, pcap)
				p := b.Visit(l, s, "https://"+portal+"/", l.PKI.ClientRSA)
				if m != NotAsked {
					s.WaitDialog(t)
					time.Sleep(think)
					s.Press(t, "Escape")
				}
				if !poll(time.Minute, func() bool { return slices.ContainsFunc(judgeConnections(t, pcap), spoke) }) {
					t.Error("no connection was used within a minute")
				}
				p.Stop()
				if !l.Net.Client.WaitQuiet(t, 20*time.Second) {
					t.Error("the browser is gone, its connections are not")
				}
				capture.Stop(t)
				checkDrops(t, readAnswers(t, program, pcap), m)
				l.Keep(t, "drops-"+b.Name+"-"+string(m), pcap, m)
			})
		}
	}
}

// spoke reports whether the client used a connection.
func spoke(c *attribute.Connection) bool {
	return c.ServerHello != nil && c.Sides[c.Handshake.Client].AppData > 0
}

// checkDrops: whatever is told is right, and what was asked is told.
func checkDrops(t *testing.T, got *Answers, m Mode) {
	t.Helper()
	count := map[any]int{}
	for _, c := range slices.Concat(slices.Collect(maps.Values(got.Connections))...) {
		t.Log(c["id"], c["time"], c["asked"], c["reply"], c["evidence"], c["reason"])
		count[c["asked"]]++
	}
	right, wrong := "no", "yes"
	if m != NotAsked {
		right, wrong = wrong, right
	}
	if count[right] == 0 || count[wrong] > 0 {
		t.Errorf("%v, want %s at least once and never %s", count, right, wrong)
	}
}
