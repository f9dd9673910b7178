//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tunnelAddrs are the ends of a VXLAN between client and server.
var tunnelAddrs = [2]netip.Addr{netip.MustParseAddr("198.18.9.10"), netip.MustParseAddr("198.18.9.20")}

// addTunnel lays a VXLAN over the link, and returns the net inside.
func (l *Lab) addTunnel() *Net {
	l.T.Helper()
	inside := &Net{Client: l.Net.Client, Server: l.Net.Server}
	for i, ns := range []*Namespace{&inside.Client, &inside.Server} {
		ip(l.T, "-n", ns.Name, "link", "add", "vx0", "type", "vxlan", "id", "7", "dstport", "4789",
			"local", ns.Addr.String(), "remote", ns.Peer.String(), "dev", Device)
		ns.Addr, ns.Peer = tunnelAddrs[i], tunnelAddrs[1-i]
		ip(l.T, "-n", ns.Name, "addr", "add", ns.Addr.String()+"/24", "dev", "vx0")
		ip(l.T, "-n", ns.Name, "link", "set", "vx0", "up")
	}
	return inside
}

// passPort is added to the port of an endpoint where HAProxy leads to it.
const passPort = 1000

// passThrough starts HAProxy, which passes TLS on to the endpoints unopened, also
// from an address inside of a tunnel.
func (l *Lab) passThrough(inside netip.Addr, eps []Endpoint) {
	l.T.Helper()
	var b strings.Builder
	b.WriteString("global\n maxconn 1000\n nbthread 1\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n")
	var ports []int
	for _, e := range eps {
		ports = append(ports, e.Port+passPort)
		fmt.Fprintf(&b, "listen p%d\n bind %s:%d\n bind %s:%d\n server s %s\n",
			e.Port, l.Net.Server.Addr, e.Port+passPort, inside, e.Port, l.address(e))
	}
	l.start("haproxy", "-db", "-f", l.File("pass.cfg", b.String()))
	l.Net.Server.WaitListen(l.T, ports...)
}

// watchJobs are the connections to endpoints of one way, and clients take turns.
func watchJobs(way string, port int, eps []Endpoint) map[string][]Job {
	jobs := map[string][]Job{}
	for i, e := range eps {
		for c, client := range []string{"curl", "openssl", "go"} {
			for k, cert := range []Key{"", RSA} {
				j := Job{SNI: fmt.Sprintf("%s-%d-%d-%d.contoso.test", way, i, c, k), Endpoint: e, Cert: cert}
				j.Endpoint.Port += port
				j.Resume = client != "curl" && (e.Mode == Optional || e.Mode == Required && cert != "")
				if (i+c+k)%3 == 0 {
					j.Path = BulkPage
				}
				jobs[client] = append(jobs[client], j)
			}
		}
	}
	return jobs
}

// runWatchJobs has the clients make their connections and returns how many.
func runWatchJobs(t *testing.T, l *Lab, jobs map[string][]Job) (n int) {
	t.Helper()
	for _, c := range Clients() {
		if len(jobs[c.Name]) == 0 {
			continue
		}
		truth := clientTruth(t, c.Name, jobs[c.Name], c.Run(l, jobs[c.Name]))
		checkClients(t, truth)
		n += len(truth)
	}
	return n
}

// bulkSize is how much some connections go on with after their handshake, in bytes.
const bulkSize = 2 << 20

// TestWatchAgainstRead captures traffic of real servers and clients in several
// ways at once: watch has to tell of each connection what read tells of it from
// the file that tcpdump has written meanwhile.
func TestWatchAgainstRead(t *testing.T) {
	l := New(t, "nginx", "haproxy", "curl", "go")
	program := buildProgram(t, l)
	inside := l.addTunnel()
	l.File(BulkPage, strings.Repeat("bulk data ", bulkSize/10))
	var eps, passed []Endpoint
	for _, s := range Servers() {
		if s.Name != "nginx" && s.Name != "haproxy" {
			continue
		}
		own := everyMode(Endpoint{Server: s.Name, Port: firstPort + len(eps), Cipher: AES128, Key: s.Key}, tls.VersionTLS12, tls.VersionTLS13)
		s.Serve(l, own)
		eps = append(eps, own...)
		if s.Name == "nginx" {
			passed = own
		}
	}
	l.passThrough(inside.Server.Addr, passed)

	file := func(name string) string { return filepath.Join(l.Dir, name) }
	client := StartBulkCapture(t, l.Net.Client, Device, file("client.pcap"))
	server := StartBulkCapture(t, l.Net.Server, "any", file("any.pcap"))
	ways := []struct {
		capture *Capture
		watch   *Watch
		// withholds: with eBPF, bulk data stays in the kernel.
		withholds bool
	}{
		{client, StartWatch(t, l.Net.Client, program, file("lab0.jsonl"), 1, "-i", Device), true},
		{client, StartWatch(t, l.Net.Client, program, file("plain.jsonl"), 1, "-i", Device, "--plain-filter"), false},
		{client, StartWatchPipe(t, l.Net.Client, program, file("pipe.jsonl"), Device), false},
		{server, StartWatch(t, l.Net.Server, program, file("any.jsonl"), 1, "-i", "any"), true},
		{server, StartWatch(t, l.Net.Server, program, file("three.jsonl"), 3, "-i", Device, "-i", "lo", "-i", "vx0"), true},
	}

	start := time.Now()
	n := runWatchJobs(t, l, watchJobs("direct", 0, eps))
	n += runWatchJobs(t, l, watchJobs("passed", passPort, passed))
	through := *l
	through.Net = inside
	n += runWatchJobs(t, &through, watchJobs("tunnel", 0, passed[1:3]))
	if !l.Net.Client.WaitQuiet(t, 10*time.Second) {
		t.Error("connections stay open")
	}
	t.Logf("%d connections in %.1f s", n, time.Since(start).Seconds())
	client.Stop(t)
	server.Stop(t)
	want := map[*Capture]*Answers{}
	for _, c := range []*Capture{client, server} {
		want[c] = ReadCapture(t, program, c.Path)
	}
	for _, w := range ways {
		w.watch.Stop(t)
		got := ReadAnswers(t, w.watch.Path)
		told, asked := got.Same(t, w.watch.Name, want[w.capture])
		t.Logf("watch %-24s %d connections as read tells them: %v; notes %v", w.watch.Name, told, asked, got.Notes)
		if withheld := got.Notes["withheld-packets"] > 0; withheld != w.withholds {
			t.Errorf("watch %s: bulk was left to the kernel: %t", w.watch.Name, withheld)
		}
		if got.Notes["dropped-packets"] > 0 || told < n {
			t.Errorf("watch %s: %d connections told, %d made; notes %v\n%s", w.watch.Name, told, n, got.Notes, w.watch.proc.Output())
		}
	}
	if dir := os.Getenv("WHOASKED_LAB_KEEP"); dir != "" {
		for _, w := range ways {
			l.Keep(t, filepath.Base(w.watch.Path), w.capture.Path, nil)
		}
	}
}
