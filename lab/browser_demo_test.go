//go:build linux

package lab

import (
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// recordDemo names the environment variable with the directory to write the
// captures of "whoasked demo" to. cmd/whoasked/demo/README.md tells their story.
const recordDemo = "WHOASKED_RECORD_DEMO"

// maxDemo is how long one file may become, in bytes: it is in every binary.
const maxDemo = 60 << 10

// demoStatus is what the portal's page loads from the API.
const demoStatus = "/status"

// TestRecordDemo records the captures of "whoasked demo", at the client and
// behind the gateway, and checks that they tell what they are meant to.
func TestRecordDemo(t *testing.T) {
	dir := os.Getenv(recordDemo)
	if dir == "" {
		t.Skip("records nothing unless " + recordDemo + " names a directory")
	}
	if !filepath.IsAbs(dir) {
		t.Fatalf("%s=%s: name the directory by an absolute path", recordDemo, dir)
	}
	chromium := Browsers()[0]
	l := New(t, append(chromium.Tools(), "nginx", "haproxy", "curl", "go")...)
	c := NewChain(t)
	cas, ids := l.sitePKI([]string{portal, start}, []string{api})
	portalID, apiID := ids[0], ids[1]
	l.Net = &Net{Client: c.Client, Server: c.Middle}
	site := l.ServeSites("TLSv1.2 TLSv1.3", cas, Site{Name: api, Mode: Optional, Identity: apiID}, Site{Name: start, Identity: portalID, Mode: NotAsked},
		Site{Name: portal, Mode: NotAsked, Identity: portalID, Body: fmt.Sprintf(`<p><img src="https://%s%s" alt="status">`, api, demoStatus)})
	edge(l, c, "\n server apim 198.18.1.30:443\n")
	l.Net = &Net{Client: c.Client, Server: c.Edge} // the names lead to the gateway
	screen := l.NewScreen()
	// While it starts, a browser opens connections that it does not use: that is
	// another story.
	browser := chromium.Visit(l, screen, "https://"+start+"/", l.PKI.ClientRSA)
	l.demoServed(site, start, "/", 1)
	at := map[string]Point{"client": c.Points[0], "appgw": c.Points[1]}
	running := make(map[string]*Capture)
	for name, p := range at {
		running[name] = StartCapture(t, p.At, p.Device, filepath.Join(l.Dir, name+"-raw.pcap"))
	}
	truth := l.demoStory(t, site, screen)
	browser.Stop()
	for name, r := range running {
		r.Stop(t)
		keepTCP(t, r.Path, filepath.Join(l.Dir, name+".pcap"))
	}
	for _, r := range site.Requests(t) {
		t.Logf("%+v", r)
	}
	checkDemo(t, l, truth, filepath.Join(l.Dir, "client.pcap"), filepath.Join(l.Dir, "appgw.pcap"))
	for name := range at {
		if !t.Failed() {
			compress(t, filepath.Join(l.Dir, name+".pcap"), filepath.Join(dir, name+".pcap.gz"))
		}
	}
}

// demoStory is what happens in front of the captures.
func (l *Lab) demoStory(t *testing.T, site *Portal, screen *Screen) visitTruth {
	l.demoCurl("https://" + portal + "/")
	l.demoServed(site, portal, "/", 1)
	l.demoCurl("-H", "Connection: close", "https://"+api+demoStatus, "https://"+api+demoStatus)
	l.demoCurl("--tls-max", "1.2", "https://"+api+demoStatus)
	l.demoServed(site, api, demoStatus, 3)
	truth := visitTruth{Asked: true, Outcome: "cancelled", Started: time.Now()}
	screen.demoOpen(t, portal)
	truth.Seen = screen.WaitDialog(t)
	time.Sleep(2 * think)
	if keep := os.Getenv("WHOASKED_LAB_KEEP"); keep != "" {
		screen.Save(t, filepath.Join(keep, "demo.png"))
	}
	truth.Ended = time.Now()
	screen.Press(t, "Escape")
	answer := l.demoServed(site, api, demoStatus, 4)
	truth.Verify, truth.Served = answer.Verify, answer.Time
	truth.Seconds = truth.Ended.Sub(truth.Seen).Seconds()
	t.Logf("the dialog was up for %.2f s", truth.Seconds)
	return truth
}

// keepTCP copies a capture without the datagram that ended it, which is not part
// of the story.
func keepTCP(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("tcpdump", "-r", from, "-w", to, fmt.Sprintf("tcp port %d", portalPort)).CombinedOutput(); err != nil {
		t.Fatalf("tcpdump: %v\n%s", err, out)
	}
}

// demoCurl runs curl on pages.
func (l *Lab) demoCurl(args ...string) {
	l.T.Helper()
	l.invoke("", "curl", append([]string{"-sS", "--http1.1", "--noproxy", "*", "--cacert", l.PKI.ServerCA,
		"--resolve", fmt.Sprintf("%s:%d:%s", portal, portalPort, l.Net.Server.Addr),
		"--resolve", fmt.Sprintf("%s:%d:%s", api, portalPort, l.Net.Server.Addr)}, args...)...)
}

// demoOpen leads the browser on the screen to another page.
func (s *Screen) demoOpen(t *testing.T, name string) {
	t.Helper()
	s.Press(t, "ctrl+l")
	s.Type(t, "https://"+name+"/")
	s.Press(t, "Return")
}

// demoServed waits until a page was served n times in all and the connections
// are closed. It returns the last request.
func (l *Lab) demoServed(site *Portal, name, path string, n int) (last Request) {
	l.T.Helper()
	if !poll(30*time.Second, func() bool {
		count := 0
		for _, r := range site.Requests(l.T) {
			if r.SNI == name && r.Path == path {
				count, last = count+1, r
			}
		}
		return count == n
	}) {
		l.T.Fatalf("%s%s was not served %d times in half a minute", name, path, n)
	}
	if !l.Net.Client.WaitQuiet(l.T, 30*time.Second) {
		l.T.Fatal("connections stay open")
	}
	return last
}
func compress(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxDemo {
		t.Errorf("%s has %d bytes, more than %d", to, info.Size(), maxDemo)
	}
	t.Logf("%s: %d bytes", to, info.Size())
}
