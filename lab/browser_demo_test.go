//go:build linux

package lab

import (
	"compress/gzip"
	"crypto/rand"
	"crypto/x509"
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
	site := l.ServeSites("TLSv1.2 TLSv1.3", cas, Site{portal, Optional}, Site{api, NotAsked})
	raw := filepath.Join(l.Dir, "demo-raw.pcap")
	capture := StartCapture(t, l.Net.Client, Device, raw)

	l.demoCurl(site, 1, "https://"+api+"/")
	l.demoCurl(site, 2, "-H", "Connection: close", "https://"+portal+"/", "https://"+portal+"/")
	l.demoCurl(site, 1, "--tls-max", "1.2", "https://"+portal+"/")
	l.demoVisit(site, screen, chromium, api, nil)
	truth := visitTruth{Asked: true, Outcome: "cancelled"}
	l.demoVisit(site, screen, chromium, portal, &truth)

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
	tmpl.DNSNames = []string{portal, api}
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

// demoCurl runs curl and demands that it was answered n times.
func (l *Lab) demoCurl(site *Portal, n int, args ...string) {
	l.T.Helper()
	before := len(site.Requests(l.T))
	args = append([]string{"-sS", "--http1.1", "--noproxy", "*", "--cacert", l.PKI.ServerCA,
		"--resolve", fmt.Sprintf("%s:%d:%s", portal, portalPort, l.Net.Server.Addr),
		"--resolve", fmt.Sprintf("%s:%d:%s", api, portalPort, l.Net.Server.Addr)}, args...)
	out := l.invoke("", "curl", args...)
	// nginx writes its log when the answer is out, and curl does not wait for it.
	if !poll(5*time.Second, func() bool { return len(site.Requests(l.T)) == before+n }) {
		l.T.Fatalf("curl %v was not answered %d times:\n%s", args, n, out)
	}
}

// demoVisit opens a page in a new browser. With a truth, a dialog has to come
// up, and is cancelled after a while.
func (l *Lab) demoVisit(site *Portal, s *Screen, b Browser, name string, truth *visitTruth) {
	l.T.Helper()
	before := len(site.Requests(l.T))
	started := time.Now()
	p := b.Visit(l, s, "https://"+name+"/", l.PKI.ClientRSA)
	if truth != nil {
		truth.Started, truth.Seen = started, s.WaitDialog(l.T)
		time.Sleep(2 * think)
		truth.Ended = time.Now()
		truth.Seconds = truth.Ended.Sub(truth.Seen).Seconds()
		s.Press(l.T, "Escape")
	}
	var page *Request
	if !poll(30*time.Second, func() bool {
		for _, r := range site.Requests(l.T)[before:] {
			if r.SNI == name && r.Path == "/" {
				page = &r
			}
		}
		return page != nil
	}) {
		l.T.Fatalf("%s was not served in half a minute", name)
	}
	if truth != nil {
		truth.Verify, truth.Served = page.Verify, page.Time
	}
	p.Stop()
	if !l.Net.Client.WaitQuiet(l.T, 5*time.Second) {
		l.T.Error("the browser is gone, its connections are not")
	}
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
