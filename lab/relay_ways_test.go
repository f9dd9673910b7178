//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Where the relay listens on the router, and what a way in adds to an endpoint's
// port.
const (
	connectPort = 3128
	socksPort   = 1080
	turnedPort  = 8443
	sniOffset   = 1000
)

// family is one IP version of the lab of three hosts.
type family struct {
	name                   string
	client, router, server netip.Addr
}

func families() []family {
	a := netip.MustParseAddr
	return []family{
		{"v4", a("198.18.1.10"), a("198.18.1.1"), a("198.18.2.20")},
		{"v6", a("2001:db8:1::10"), a("2001:db8:1::1"), a("2001:db8:2::20")},
	}
}

// relayWay is a way into the relay, as clients take it.
type relayWay struct {
	name string
	// turns: the packet filter leads there; the relay has no other way in then.
	turns bool
	// curl is what it takes to get to the server of a job.
	curl func(f family, j Job) []string
	// proxy is the kind of proxy that it is, as proxychains calls it; empty for none.
	proxy string
	// address is where a client connects that knows no proxies; for a proxy, where
	// it is to lead to.
	address func(f family, port int) string
}

func relayWays() []relayWay {
	resolved := func(at netip.Addr, j Job, port int) []string {
		return []string{"--connect-to", fmt.Sprintf("%s:%d:%s", j.SNI, j.Endpoint.Port, netip.AddrPortFrom(at, uint16(port)))}
	}
	to := func(at netip.Addr, port int) string { return netip.AddrPortFrom(at, uint16(port)).String() }
	direct := func(f family, j Job) []string { return resolved(f.server, j, j.Endpoint.Port) }
	atServer := func(f family, port int) string { return to(f.server, port) }
	return []relayWay{
		{"fixed", false, func(f family, j Job) []string { return resolved(f.router, j, j.Endpoint.Port) }, "",
			func(f family, port int) string { return to(f.router, port) }},
		{"sni", false, func(f family, j Job) []string { return resolved(f.router, j, j.Endpoint.Port+sniOffset) }, "",
			func(f family, port int) string { return to(f.router, port+sniOffset) }},
		{"connect", false, func(f family, _ Job) []string { return []string{"--proxy", "http://" + to(f.router, connectPort)} }, "http", atServer},
		{"socks5", false, func(f family, _ Job) []string { return []string{"--proxy", "socks5h://" + to(f.router, socksPort)} }, "socks5", atServer},
		{"redirect", true, direct, "", atServer},
		{"tproxy", true, direct, "", atServer},
	}
}

// relayLab is a lab with a router between client and server that the relay runs
// on.
type relayLab struct {
	*Lab
	hosts   *hosts
	program string
	ports   []int // of the servers
	names   map[string]netip.Addr
	chains  *atomic.Int32 // files written for proxychains
}

// newRelayLab makes the hosts and the program; servers are for the test to start.
func newRelayLab(t *testing.T, tools ...string) *relayLab {
	t.Helper()
	l := New(t, append(tools, "nginx", "haproxy", "curl", "nft", "sysctl")...)
	h := newHosts(t)
	f := families()[0]
	h.client.Addr, h.client.Peer = f.client, f.router
	h.server.Addr, h.server.Peer = f.server, netip.MustParseAddr("198.18.2.1")
	l.Net = &Net{Client: h.client, Server: h.server}
	return &relayLab{chains: new(atomic.Int32), Lab: l, hosts: h, program: buildProgram(t, l), names: map[string]netip.Addr{}}
}

// overIPv6 leads connections to the server's other address on.
func (l *relayLab) overIPv6() {
	l.T.Helper()
	var b strings.Builder
	b.WriteString("global\n maxconn 1000\n nbthread 1\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n")
	f := families()
	for _, p := range l.ports {
		fmt.Fprintf(&b, "listen p%d\n bind %s\n server s %s:%[1]d\n", p, netip.AddrPortFrom(f[1].server, uint16(p)), f[0].server)
	}
	l.start("haproxy", "-db", "-f", l.File("ipv6.cfg", b.String()))
	if !poll(20*time.Second, func() bool { // WaitListen does not tell addresses apart
		out, _ := l.Net.Server.Command("ss", "-Htln6").Output()
		return !slices.ContainsFunc(l.ports, func(p int) bool { return !strings.Contains(string(out), fmt.Sprintf("]:%d ", p)) })
	}) {
		l.T.Fatal("HAProxy does not listen")
	}
}

// relaying is a relay at work.
type relaying struct {
	l     *relayLab
	proc  *Process
	path  string   // of its answers
	rules []string // the command that takes its rules away; nil for none
}

// relay runs the relay with the settings of ways, names resolving as in l.names.
func (l *relayLab) relay(name string, rules bool, settings ...string) *relaying {
	l.T.Helper()
	var hosts strings.Builder
	for n, a := range l.names {
		fmt.Fprintln(&hosts, a, n)
	}
	settings = append(settings, "--allow", "198.18.1.0/24,2001:db8:1::/64", "--targets", "198.18.2.0/24,[2001:db8:2::/64]")
	r := &relaying{l: l, path: filepath.Join(l.Dir, name+".jsonl")}
	if rules {
		run(l.T, l.hosts.router, l.program, append([]string{"relay", "rules", "--apply"}, settings...)...)
		r.rules = []string{"relay", "rules", "--remove"}
	}
	out, err := os.Create(r.path)
	if err != nil {
		l.T.Fatal(err)
	}
	defer out.Close()
	// ip netns exec gives each command mounts of its own: the names are its alone.
	cmd := l.hosts.router.Command("sh", append([]string{"-c", `mount --bind "$0" /etc/hosts && exec "$@"`,
		l.File(name+".hosts", hosts.String()), l.program, "relay", "--format", "json"}, settings...)...)
	cmd.Stdout = out
	r.proc = Start(l.T, cmd)
	r.proc.WaitFor(l.T, "gave up privileges")
	return r
}

// stop ends the relay, which has no connections any more, and returns its answers.
func (r *relaying) stop() *Answers {
	r.l.T.Helper()
	r.proc.Signal(syscall.SIGTERM)
	select {
	case <-r.proc.Done():
	case <-time.After(time.Minute):
		r.l.T.Fatalf("the relay does not end:\n%s", r.proc.Output())
	}
	if r.rules != nil {
		run(r.l.T, r.l.hosts.router, r.l.program, r.rules...)
	}
	return ReadAnswers(r.l.T, r.path)
}

// settingsOf are the relay's for a way and IP version.
func (l *relayLab) settingsOf(w relayWay, f family) (s []string) {
	at := func(port int) string { return netip.AddrPortFrom(f.router, uint16(port)).String() }
	switch w.name {
	case "fixed":
		for _, p := range l.ports {
			s = append(s, "--listen", at(p), "--to", netip.AddrPortFrom(f.server, uint16(p)).String())
		}
	case "sni":
		for _, p := range l.ports {
			s = append(s, "--listen", at(p+sniOffset), "--to", fmt.Sprintf("sni:%d", p))
		}
	case "connect":
		s = []string{"--listen", at(connectPort), "--to", "connect"}
	case "socks5":
		s = []string{"--listen", at(socksPort), "--to", "socks5"}
	default:
		all := netip.IPv4Unspecified()
		if f.server.Is6() {
			all = netip.IPv6Unspecified()
		}
		s = []string{"--listen", netip.AddrPortFrom(all, turnedPort).String(), "--to", w.name, "--ports", strings.Trim(strings.ReplaceAll(fmt.Sprint(l.ports), " ", ","), "[]")}
		if w.name == "tproxy" {
			s = append(s, "--keep-source")
		}
	}
	return s
}

// byRandom lists the connections of an answer by the client random, which the
// relay carries from one side to the other.
func byRandom(t *testing.T, a *Answers) map[string]map[string]any {
	t.Helper()
	m := map[string]map[string]any{}
	for _, list := range a.Connections {
		for _, c := range list {
			key := fmt.Sprint(c["client_random"])
			if m[key] != nil {
				t.Fatalf("two connections of %s: %v and %v", key, m[key], c)
			}
			m[key] = c
		}
	}
	return m
}

// without returns a line less some of its fields. The evidence names the server,
// which on either side of the relay is another one.
func without(line map[string]any, fields ...string) map[string]any {
	m := map[string]any{}
	for k, v := range line {
		if k == "evidence" {
			v = strings.ReplaceAll(fmt.Sprint(v), fmt.Sprint(line["server"]), "the server")
		}
		if !slices.Contains(fields, k) {
			m[k] = v
		}
	}
	return m
}

// ofRelay are the fields that differ because the relay is two connections: its
// own stamps, the way in, what of a client is said to it alone, and packets, of
// which it sees none.
var ofRelay = append([]string{"via", "community_id", "preamble", "target", "tcp"}, stamped...)

// sameAsRead demands of every connection what read tells of either side of the
// relay, and returns how many there are by answer.
func sameAsRead(t *testing.T, got, atClient, atServer *Answers) map[string]int {
	t.Helper()
	count := map[string]int{}
	relayed, first, second := byRandom(t, got), byRandom(t, atClient), byRandom(t, atServer)
	for key, c := range relayed {
		count[fmt.Sprint(c["asked"])]++
		for _, leg := range []struct {
			name string
			read map[string]any
			more []string
		}{
			{"in front", first[key], []string{"server", "asked_by"}}, // the relay's own address, where clients connect to it
			{"behind", second[key], []string{"client"}},
		} {
			if leg.read == nil {
				t.Errorf("%v: not in the capture %s of the relay", c, leg.name)
				continue
			}
			skip := append(leg.more, ofRelay...)
			if d := differences(without(c, skip...), without(leg.read, skip...)); len(d) > 0 {
				t.Errorf("%s %v: %s of the relay, read tells otherwise: %s", c["via"], c["sni"], leg.name, strings.Join(d, "; "))
			}
		}
	}
	for key, c := range first {
		if relayed[key] == nil {
			t.Errorf("not told by the relay: %v", c)
		}
	}
	return count
}

// fetch is what one program does through a way.
type fetch struct {
	name string
	run  func(l *relayLab, w relayWay, f family, j Job) error
}

// fetches are programs that transfer something and check it.
func fetches() []fetch {
	return []fetch{
		{"http2", fetchHTTP2},
		{"git", fetchGit},
		{"openssl", func(l *relayLab, w relayWay, f family, j Job) error {
			args := []string{"openssl", "s_client", "-connect", w.address(f, j.Endpoint.Port), "-servername", j.SNI, "-ign_eof"}
			if w.proxy == "http" {
				args = append(args, "-proxy", netip.AddrPortFrom(f.router, connectPort).String())
			} else {
				args = l.chained(w, f, args)
			}
			return answers(l.invoke(httpRequest(j), args[0], args[1:]...), "bulk data bulk data")
		}},
		{"gnutls", func(l *relayLab, w relayWay, f family, j Job) error {
			at := netip.MustParseAddrPort(w.address(f, j.Endpoint.Port))
			host := at.Addr().String()
			if w.proxy != "" {
				host = j.SNI // proxychains says IPv6 addresses without brackets in a CONNECT
			}
			j.Path = "work/README" // it takes seconds to print much
			args := l.chained(w, f, []string{"gnutls-cli", "--insecure", "--sni-hostname", j.SNI, "--port", fmt.Sprint(at.Port()), host})
			return answers(l.invoke(httpRequest(j), args[0], args[1:]...), "from contoso.test")
		}},
	}
}

// chained has a program that knows no such proxies connect through one, if the way
// is one.
func (l *relayLab) chained(w relayWay, f family, args []string) []string {
	if w.proxy == "" {
		return args
	}
	port := connectPort
	if w.proxy == "socks5" {
		port = socksPort
	}
	// A file of its own: another program may be reading that of the one before.
	name := fmt.Sprintf("chain-%d.conf", l.chains.Add(1))
	conf := l.File(name, fmt.Sprintf("strict_chain\nproxy_dns\n[ProxyList]\n%s %s %d\n", w.proxy, f.router, port))
	return append([]string{"proxychains4", "-q", "-f", conf}, args...)
}

// answers wants a page in what a client has written.
func answers(out, page string) error {
	if strings.Contains(out, "200 OK") && strings.Contains(out, page) {
		return nil
	}
	return fmt.Errorf("%.500s", out)
}

// fetchHTTP2 downloads the page over HTTP/2 and compares it.
func fetchHTTP2(l *relayLab, w relayWay, f family, j Job) error {
	to := filepath.Join(l.Dir, j.SNI+".got")
	out := l.invoke("", "curl", append(w.curl(f, j), "-sSk", "--http2", "--noproxy", "", "-o", to, "-w", "HTTP/%{http_version}",
		fmt.Sprintf("https://%s:%d/%s", j.SNI, j.Endpoint.Port, BulkPage))...)
	if out != "HTTP/2" {
		return fmt.Errorf("%.500s", out)
	}
	if cmp, err := exec.Command("cmp", to, filepath.Join(l.Dir, BulkPage)).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, cmp)
	}
	return nil
}

// fetchGit clones a repository, which git checks by its hashes.
func fetchGit(l *relayLab, w relayWay, f family, j Job) error {
	args := []string{"-c", "http.sslVerify=false"}
	for i, a := range w.curl(f, j) {
		switch a {
		case "--proxy":
			args = append(args, "-c", "http.proxy="+w.curl(f, j)[i+1])
		case "--connect-to": // git has no such option: HOST:PORT:ADDRESS
			at := netip.MustParseAddrPort(strings.TrimPrefix(w.curl(f, j)[i+1], fmt.Sprintf("%s:%d:", j.SNI, j.Endpoint.Port)))
			args = append(args, "-c", fmt.Sprintf("http.curloptResolve=%s:%d:%s", j.SNI, at.Port(), at.Addr()))
			j.Endpoint.Port = int(at.Port())
		}
	}
	to := filepath.Join(l.Dir, j.SNI+".clone")
	out := l.invoke("", "git", append(args, "clone", "-q", fmt.Sprintf("https://%s:%d/repo.git", j.SNI, j.Endpoint.Port), to)...)
	if got, err := os.ReadFile(filepath.Join(to, "README")); err != nil || string(got) != "from contoso.test\n" {
		return fmt.Errorf("%q, %w: %.500s", got, err, out)
	}
	return nil
}
