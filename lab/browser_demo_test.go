//go:build linux

package lab

import (
	"compress/gzip"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// recordDemo names the environment variable with the file to write the capture
// of "whoasked demo" to. cmd/whoasked/demo/README.md tells its story.
const recordDemo = "WHOASKED_RECORD_DEMO"

// maxDemo is how long the file may become, in bytes: it is in every binary.
const maxDemo = 60 << 10

// TestRecordDemo records the capture of "whoasked demo" and checks that it tells
// what it is meant to.
func TestRecordDemo(t *testing.T) {
	path := os.Getenv(recordDemo)
	if path == "" {
		t.Skip("records nothing unless " + recordDemo + " names a file")
	}
	if !filepath.IsAbs(path) {
		t.Fatalf("%s=%s: name the file by an absolute path", recordDemo, path)
	}
	chromium := Browsers()[0]
	l := New(t, append(chromium.Tools(), "nginx", "curl", "tshark")...)
	cas := l.demoPKI()
	screen := l.NewScreen()
	site := l.ServeSites("TLSv1.2 TLSv1.3", cas, Site{portal, Optional}, Site{api, NotAsked}, Site{start, NotAsked})
	// While it starts, a browser opens connections that it does not use: that is
	// another story.
	browser := chromium.Visit(l, screen, "https://"+start+"/", l.PKI.ClientRSA)
	l.demoServed(site, start, 1)
	raw := filepath.Join(l.Dir, "demo-raw.pcap")
	capture := StartCapture(t, l.Net.Client, Device, raw)

	l.demoCurl("https://" + api + "/")
	l.demoServed(site, api, 1)
	l.demoCurl("-H", "Connection: close", "https://"+portal+"/", "https://"+portal+"/")
	l.demoCurl("--tls-max", "1.2", "https://"+portal+"/")
	l.demoServed(site, portal, 3)
	screen.demoOpen(t, api)
	l.demoServed(site, api, 2)
	truth := visitTruth{Asked: true, Outcome: "cancelled", Started: time.Now()}
	screen.demoOpen(t, portal)
	truth.Seen = screen.WaitDialog(t)
	time.Sleep(2 * think)
	truth.Ended = time.Now()
	screen.Press(t, "Escape")
	page := l.demoServed(site, portal, 4)
	truth.Verify, truth.Served = page.Verify, page.Time
	browser.Stop()

	capture.Stop(t)
	pcap := filepath.Join(l.Dir, "demo.pcap")
	// The datagram that ended the capture is not part of the story.
	out, err := exec.Command("tcpdump", "-r", raw, "-w", pcap, fmt.Sprintf("tcp port %d and host %s and host %s",
		portalPort, l.Net.Client.Addr, l.Net.Server.Addr)).CombinedOutput()
	if err != nil {
		t.Fatalf("tcpdump: %v\n%s", err, out)
	}
	for _, r := range site.Requests(t) {
		t.Logf("%+v", r)
	}
	truth.Seconds = truth.Ended.Sub(truth.Seen).Seconds()
	t.Logf("the dialog was up for %.2f s", truth.Seconds)
	checkDemo(t, l, pcap, truth)
	if !t.Failed() {
		compress(t, pcap, path)
	}
}

// demoPKI replaces the PKI of the lab by one whose names make sense to a person,
// and returns the file of the authorities that the portal names.
func (l *Lab) demoPKI() string {
	l.T.Helper()
	m := &mint{t: l.T, dir: l.dir("demo-pki")}
	servers, devices, staff := m.ca("Contoso Server CA"), m.ca("Contoso Device CA"), m.ca("Contoso Staff CA")
	key := m.rsa()
	tmpl := m.template(portal)
	tmpl.NotAfter = tmpl.NotBefore.AddDate(1, 0, 0)
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	tmpl.DNSNames = []string{portal, api, start}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, servers.cert, key.Public(), servers.key)
	m.check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	m.check(err)
	l.PKI = &PKI{
		Dir:      m.dir,
		ServerCA: m.write("server-ca.pem", servers.pem),
		ServerRSA: Identity{
			Cert: m.write("portal.pem", pemBlock("CERTIFICATE", der)),
			Key:  m.write("portal.key", pemBlock("PRIVATE KEY", secret)),
		},
		ClientRSA: m.leaf(devices, "robin", "Robin's laptop", m.rsa(), false),
	}
	return m.write("client-cas.pem", append(devices.pem[:len(devices.pem):len(devices.pem)], staff.pem...))
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
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
func (l *Lab) demoServed(site *Portal, name string, n int) (last Request) {
	l.T.Helper()
	if !poll(30*time.Second, func() bool {
		count := 0
		for _, r := range site.Requests(l.T) {
			if r.SNI == name && r.Path == "/" {
				count, last = count+1, r
			}
		}
		return count == n
	}) {
		l.T.Fatalf("%s was not served %d times in half a minute", name, n)
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
