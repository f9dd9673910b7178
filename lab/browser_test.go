//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// think is how long a person looks at a dialog in these tests.
const think = 3 * time.Second

// visit is what happens in front of one browser, and what has to come of it.
type visit struct {
	name    string
	version uint16
	mode    Mode
	ids     func(*PKI) []Identity
	// dialog: one appears. After some time, key is pressed, or the browser is
	// killed where there is none.
	dialog bool
	key    string
	// verify is what nginx says about the certificate; empty if no request came
	// through.
	verify string
	// outcome of the one prompt; empty for none.
	outcome string
}

func visits() []visit {
	match := func(p *PKI) []Identity { return []Identity{p.ClientRSA} }
	stranger := func(p *PKI) []Identity { return []Identity{p.StrangerRSA} }
	none := func(*PKI) []Identity { return nil }
	const tls12, tls13 = tls.VersionTLS12, tls.VersionTLS13
	// Each takes seconds: a certificate in TLS 1.3 and Cancel are also in
	// TestBrowserStory and TestBrowserRelay.
	return []visit{
		{name: "certificate", version: tls13, mode: Optional, ids: match, dialog: true, key: "Return", verify: "SUCCESS", outcome: "certificate"},
		{name: "certificate", version: tls12, mode: Optional, ids: match, dialog: true, key: "Return", verify: "SUCCESS", outcome: "certificate"},
		{name: "cancelled", version: tls12, mode: Optional, ids: match, dialog: true, key: "Escape", verify: "NONE", outcome: "cancelled"},
		{name: "open", version: tls13, mode: Optional, ids: match, dialog: true, outcome: "open"},
		{name: "no-match", version: tls13, mode: Optional, ids: stranger, verify: "NONE", outcome: "none-shown"},
		{name: "empty-store", version: tls12, mode: Optional, ids: none, verify: "NONE", outcome: "none-shown"},
		{name: "not-asked", version: tls13, mode: NotAsked, ids: match, verify: "NONE"},
	}
}

// visitTruth is what is known of a visit by how it went.
type visitTruth struct {
	Browser  string    `json:"browser"`
	Version  string    `json:"version"`
	Scenario string    `json:"scenario"`
	Asked    bool      `json:"asked"`
	Verify   string    `json:"verify,omitempty"`  // by nginx's access log
	Outcome  string    `json:"outcome,omitempty"` // of the prompt
	Started  time.Time `json:"started"`           // when the browser was
	Seen     time.Time `json:"seen,omitzero"`     // when the dialog was seen on the screen
	Ended    time.Time `json:"ended,omitzero"`    // when a key was pressed or the browser killed
	Seconds  float64   `json:"seconds"`           // from Seen to Ended
	Served   time.Time `json:"served,omitzero"`   // when nginx had answered the request for the page
}

// TestBrowserDialog has real browsers show their dialog, ends it in every way,
// and asks the product what happened.
func TestBrowserDialog(t *testing.T) {
	for _, b := range Browsers() {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			l := New(t, append(b.Tools(), "nginx", "tshark")...)
			s := l.NewScreen()
			for _, v := range visits() {
				name := v.name + pick(v.version == tls.VersionTLS13, "-1.3", "-1.2")
				t.Run(name, func(t *testing.T) { v.test(t, l.With(t), s, b) })
			}
		})
	}
}

func (v visit) test(t *testing.T, l *Lab, s *Screen, b Browser) {
	protocol := pick(v.version == tls.VersionTLS13, "TLSv1.3", "TLSv1.2")
	truth := visitTruth{Browser: b.Name, Version: protocol, Scenario: v.name, Asked: v.mode != NotAsked, Outcome: v.outcome}
	pcap := filepath.Join(l.Dir, fmt.Sprintf("browser-%s-%s-%s.pcap", b.Name, v.name, protocol))
	site := l.ServeSites(protocol, l.PKI.ClientCA, Site{Name: portal, Mode: v.mode})
	capture := StartCapture(t, l.Net.Client, Device, pcap)
	truth.Started = time.Now()
	p := b.Visit(l, s, "https://"+portal+"/", v.ids(l.PKI)...)
	if v.dialog {
		v.answer(t, l, s, p, &truth)
	}
	if v.verify != "" {
		r := v.waitRequest(t, s, site)
		truth.Verify, truth.Served = r.Verify, r.Time
	}
	p.Stop()
	if !l.Net.Client.WaitQuiet(t, 20*time.Second) {
		t.Error("the browser is gone, its connections are not")
	}
	capture.Stop(t)
	if got := len(site.Requests(t)); v.verify == "" && got != 0 {
		t.Errorf("%d requests came through while the dialog was open", got)
	}
	if truth.Verify != v.verify {
		t.Errorf("nginx saw %q, want %q", truth.Verify, v.verify)
	}
	l.Keep(t, filepath.Base(pcap[:len(pcap)-len(".pcap")]), pcap, truth)
	wire := checkWire(t, l, pcap, b, truth)
	checkPrompt(t, l, pcap, b, wire, truth)
}

// answer waits for the dialog, looks at it for a while and ends it.
func (v visit) answer(t *testing.T, l *Lab, s *Screen, p *Process, truth *visitTruth) {
	t.Helper()
	truth.Seen = s.WaitDialog(t)
	time.Sleep(think)
	if !s.Dialog(t) {
		t.Fatal("the dialog went away by itself")
	}
	s.keep(t, t.Name())
	truth.Ended = time.Now()
	if v.key == "" {
		p.Stop()
	} else {
		s.Press(t, v.key)
	}
	truth.Seconds = truth.Ended.Sub(truth.Seen).Seconds()
}

// waitRequest waits until the page was served and returns what nginx says of it.
// Where no dialog belongs, there must be none on the way.
func (v visit) waitRequest(t *testing.T, s *Screen, site *Portal) (page Request) {
	t.Helper()
	if !poll(time.Minute, func() bool {
		for _, r := range site.Requests(t) {
			if r.SNI == portal && r.Path == "/" {
				page = r
				return true
			}
		}
		if !v.dialog && s.Dialog(t) {
			s.keep(t, t.Name())
			t.Fatal("a dialog came up")
		}
		return false
	}) {
		s.keep(t, t.Name())
		t.Fatal("the page was not served in a minute")
	}
	return page
}

// keep saves the screen where captures are kept.
func (s *Screen) keep(t *testing.T, name string) {
	t.Helper()
	if dir := os.Getenv("WHOASKED_LAB_KEEP"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s.Save(t, filepath.Join(dir, filepath.Base(filepath.Dir(name))+"-"+filepath.Base(name)+".png"))
	}
}
