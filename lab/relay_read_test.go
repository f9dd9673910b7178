//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// downloads is the port of the server that the other programs download from.
const downloads = firstPort + 900

// serveDownloads starts an nginx with a large page and a repository, over HTTP/2
// too; it asks for a certificate and goes on without.
func (l *relayLab) serveDownloads() {
	l.T.Helper()
	l.File(BulkPage, strings.Repeat("bulk data ", bulkSize/10))
	script := `set -e; cd "$0"; git init -q -b main work; cd work; printf 'from contoso.test\n' > README; git add README
git -c user.name=alice -c user.email=alice@contoso.test commit -q -m first; cd ..; git clone -q --bare work repo.git; cd repo.git; git update-server-info`
	if out, err := exec.Command("bash", "-c", script, l.Dir).CombinedOutput(); err != nil {
		l.T.Fatalf("make a repository: %v\n%s", err, out)
	}
	id, dir := l.PKI.ServerRSA, l.dir("downloads")
	var temp strings.Builder
	for _, t := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s/%[1]s;\n", t, dir)
	}
	l.start("nginx", "-p", dir, "-e", dir+"/log", "-c", l.File("downloads.conf", fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; user root;
events { worker_connections 256; }
http { access_log off; %[2]s
 server { listen %[3]s:%[4]d ssl http2; ssl_certificate %[5]s; ssl_certificate_key %[6]s; ssl_verify_client optional; ssl_client_certificate %[7]s; root %[8]s; }
}
`, dir, &temp, l.Net.Server.Addr, downloads, id.Cert, id.Key, l.PKI.ClientCA, l.Dir)))
	l.ports = append(l.ports, downloads)
}

// scenario is a connection that a client makes through a way.
type scenario struct {
	w   relayWay
	f   family
	job Job
	by  *fetch // nil for curl with a certificate or without
}

// scenarios lays out: every endpoint with and without a certificate by curl, and
// every program, through every way over either IP version.
func (l *relayLab) scenarios(eps []Endpoint) (all []scenario) {
	all = []scenario{}
	add := func(w relayWay, f family, e Endpoint, cert Key, by *fetch) {
		s := scenario{w, f, Job{SNI: fmt.Sprintf("%s-%s-%d.contoso.test", w.name, f.name, len(all)), Endpoint: e, Cert: cert}, by}
		if by != nil {
			s.job.Path = BulkPage
		}
		l.names[s.job.SNI] = f.server
		all = append(all, s)
	}
	programs := fetches()
	for _, w := range relayWays() {
		for _, f := range families() {
			for i, e := range eps {
				if f.server.Is6() && e.Server == "haproxy" {
					continue // what is new over IPv6 is how to get there
				}
				add(w, f, e, "", nil)
				add(w, f, e, []Key{RSA, EC}[i%2], nil)
			}
			for i := range programs {
				add(w, f, Endpoint{Server: "nginx", Port: downloads, Version: tls.VersionTLS13, Mode: Optional, Key: RSA}, "", &programs[i])
			}
		}
	}
	return all
}

// make makes the connection, and says what it wants to be known of it.
func (s *scenario) make(l *relayLab) error {
	if s.by != nil {
		if err := s.by.run(l, s.w, s.f, s.job); err != nil {
			return fmt.Errorf("%s through %s %s: %w", s.by.name, s.w.name, s.f.name, err)
		}
		return nil
	}
	args := append(s.w.curl(s.f, s.job), "-sSk", "--http1.1", "--noproxy", "", "-o", "/dev/null", "-w", "status %{http_code}",
		fmt.Sprintf("https://%s:%d/", s.job.SNI, s.job.Endpoint.Port))
	if id := l.clientIdentity(s.job); id != nil {
		args = append(args, "--cert", id.Cert, "--key", id.Key)
	}
	out := l.invoke("", "curl", args...)
	_, status, _ := strings.Cut(out, "status ")
	tr := NewTruth("curl", s.job, Result{SNI: s.job.SNI, OK: status != "" && status != "000", Detail: out})
	if tr.OK != tr.WantOK() {
		return fmt.Errorf("%v: answered %t\n%s", tr, tr.OK, out)
	}
	return nil
}

// TestRelayAgainstRead has real clients make connections of every kind through
// every way into the relay, over IPv4 and IPv6: the relay has to tell of each what
// read tells from the captures on either side of it, and both have to be right.
// What is downloaded meanwhile has to come out whole.
func TestRelayAgainstRead(t *testing.T) {
	l := newRelayLab(t, "openssl", "gnutls-cli", "proxychains4", "git", "cmp", "ss", "sh", "mount")
	var eps []Endpoint
	for _, s := range Servers() {
		if s.Name != "nginx" && s.Name != "haproxy" {
			continue
		}
		own := everyMode(Endpoint{Server: s.Name, Port: firstPort + len(eps), Cipher: AES128, Key: s.Key}, tls.VersionTLS12, tls.VersionTLS13)
		for _, e := range own {
			l.ports = append(l.ports, e.Port)
		}
		s.Serve(l.Lab, own)
		eps = append(eps, own...)
	}
	l.serveDownloads()
	l.Net.Server.WaitListen(t, downloads)
	l.overIPv6()
	all := l.scenarios(eps)

	// Ways that are not turned aside share a relay.
	groups := map[string][]scenario{}
	var order []string
	settings := map[string][]string{}
	for _, s := range all {
		name := pick(s.w.turns, s.w.name+"-"+s.f.name, "said")
		if groups[name] == nil {
			order = append(order, name)
		}
		groups[name] = append(groups[name], s)
	}
	for _, w := range relayWays() {
		for _, f := range families() {
			name := pick(w.turns, w.name+"-"+f.name, "said")
			settings[name] = append(settings[name], l.settingsOf(w, f)...)
		}
	}
	for _, name := range order {
		t.Run(name, func(t *testing.T) { l.against(t, name, settings[name], groups[name]) })
	}
}

// against makes the connections of one relay and compares.
func (l *relayLab) against(t *testing.T, name string, settings []string, group []scenario) {
	within := *l
	within.Lab = l.With(t)
	client := StartBulkCapture(t, l.Net.Client, Device, filepath.Join(l.Dir, name+"-client.pcap"))
	server := StartBulkCapture(t, l.Net.Server, Device, filepath.Join(l.Dir, name+"-server.pcap"))
	r := within.relay(name, group[0].w.turns, settings...)
	start := time.Now()
	slots := make(chan struct{}, 3)
	var running sync.WaitGroup
	for i := range group {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if err := group[i].make(&within); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if !l.Net.Client.WaitQuiet(t, 10*time.Second) {
		t.Error("connections stay open")
	}
	got := r.stop()
	client.Stop(t)
	server.Stop(t)
	count := sameAsRead(t, got, ReadCapture(t, l.program, client.Path), ReadCapture(t, l.program, server.Path))
	for _, kind := range []string{"relay-unobserved", "relay-aborted", "relay-vanished"} {
		if n := got.Notes[kind]; n > 0 {
			t.Errorf("%s: %d", kind, n)
		}
	}
	checkAsked(t, got, group)
	t.Logf("%d connections in %.1f s, as read tells them on either side: %v", len(group), time.Since(start).Seconds(), count)
}

// checkAsked holds the answers against what was arranged.
func checkAsked(t *testing.T, got *Answers, group []scenario) {
	t.Helper()
	asked := map[string]string{}
	for _, c := range byRandom(t, got) {
		if sni := fmt.Sprint(c["sni"]); asked[sni] != "yes" { // git may take more than one
			asked[sni] = fmt.Sprint(c["asked"])
		}
	}
	for _, s := range group {
		if want := pick(s.job.Endpoint.Mode == NotAsked, "no", "yes"); asked[s.job.SNI] != want {
			t.Errorf("%v through %s %s: asked is %q, want %q", s.job.Endpoint, s.w.name, s.f.name, asked[s.job.SNI], want)
		}
	}
}
