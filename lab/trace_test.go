//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// route is a client, three routers and a server in a row. Between each two is
// 198.18.N.0/24 and 2001:db8:N::/64, .1 on the client's side, .2 on the other.
type route struct {
	*Lab
	client, server Namespace
	routers        [3]Namespace
	program        string
}

// Addresses of the server, by IP version.
var traceTargets = [2]string{"198.18.3.2", "2001:db8:3::2"}

// routerAt is the address that the router at a hop tells of itself.
func routerAt(version, hop int) string {
	a := netip.MustParseAddr(fmt.Sprintf([]string{"198.18.%d.2", "2001:db8:%d::2"}[version], hop-1))
	return a.String()
}

func newRoute(l *Lab) *route {
	t := l.T
	t.Helper()
	sweep()
	base := fmt.Sprintf("%s-%d-%x", namePrefix, os.Getpid(), time.Now().UnixNano()&0xffffff)
	row := make([]Namespace, 5)
	for i := range row {
		row[i].Name = fmt.Sprintf("%s-%d", base, i)
		ip(t, "netns", "add", row[i].Name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", row[i].Name).Run() })
		ip(t, "-n", row[i].Name, "link", "set", "lo", "up")
	}
	for i := range 4 {
		ip(t, "link", "add", "right", "netns", row[i].Name, "type", "veth", "peer", "name", "left", "netns", row[i+1].Name)
		for _, end := range []struct{ ns, dev, host string }{{row[i].Name, "right", "1"}, {row[i+1].Name, "left", "2"}} {
			ip(t, "-n", end.ns, "addr", "add", fmt.Sprintf("198.18.%d.%s/24", i, end.host), "dev", end.dev)
			ip(t, "-n", end.ns, "addr", "add", fmt.Sprintf("2001:db8:%d::%s/64", i, end.host), "dev", end.dev, "nodad")
			ip(t, "-n", end.ns, "link", "set", end.dev, "up")
		}
	}
	for i := range row {
		for j := range 4 { // networks beyond the neighbours
			via := ""
			switch {
			case j > i:
				via = "right"
			case j < i-1:
				via = "left"
			default:
				continue
			}
			n, host := i, "2"
			if via == "left" {
				n, host = i-1, "1"
			}
			ip(t, "-n", row[i].Name, "route", "add", fmt.Sprintf("198.18.%d.0/24", j), "via", fmt.Sprintf("198.18.%d.%s", n, host))
			ip(t, "-n", row[i].Name, "-6", "route", "add", fmt.Sprintf("2001:db8:%d::/64", j), "via", fmt.Sprintf("2001:db8:%d::%s", n, host))
		}
		set := []string{"-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=0"}
		if i < 4 { // that a neighbour is missing shows sooner
			set = append(set, "net.ipv4.neigh.right.retrans_time_ms=100", "net.ipv6.neigh.right.retrans_time_ms=100")
		}
		if out, err := row[i].Command("sysctl", set...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, ns := range row {
		ns.WaitAddresses(t)
	}
	r := &route{Lab: l, client: row[0], routers: [3]Namespace(row[1:4]), server: row[4]}
	r.serve()
	return r
}

// serve starts a server that asks.
func (r *route) serve() {
	var conf strings.Builder
	fmt.Fprintf(&conf, "daemon off; user root; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\nevents { worker_connections 256; }\nhttp { access_log off;\n", r.Dir)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&conf, "%s_temp_path %s/nginx-%s;\n", temp, r.Dir, temp)
	}
	fmt.Fprintf(&conf, "server { listen 443 ssl; listen [::]:443 ssl; ssl_certificate %s; ssl_certificate_key %s;\nssl_protocols TLSv1.2 TLSv1.3; ssl_verify_client optional; ssl_client_certificate %s; location / { return 200 ok; } }\n}\n",
		r.PKI.ServerRSA.Cert, r.PKI.ServerRSA.Key, r.PKI.ClientCA)
	Start(r.T, r.server.Command("nginx", "-p", r.Dir, "-e", r.Dir+"/nginx.log", "-c", r.File("nginx.conf", conf.String())))
	r.server.WaitListen(r.T, 443)
}

// traced is what the tests read of a line of kind trace.
type traced struct {
	Asked, Reason string
	Interrupted   bool
	RawICMP       bool   `json:"raw_icmp"`
	EndedBy       string `json:"ended_by"`
	Behind        string
	AtOrBefore    string `json:"at_or_before"`
	TCPHop        int    `json:"tcp_hop"`
	TLSHop        int    `json:"tls_hop"`
	AddressHop    int    `json:"address_hop"`
	Hops          []struct {
		TTL                 int
		Routers             []string
		SYN, Hello, Address struct{ Outcome string }
	}
}

// traceLine reads the line of kind trace.
func traceLine(t *testing.T, lines []byte) (tr traced) {
	t.Helper()
	for line := range strings.Lines(string(lines)) {
		if !strings.HasPrefix(line, `{"kind":"trace"`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &tr); err != nil {
			t.Errorf("%v: %s", err, line)
		}
	}
	return tr
}

// row is all of a hop in one line, such as "2 198.18.1.2 expired - expired".
func (tr *traced) row(i int) string {
	h := &tr.Hops[i]
	f := []string{fmt.Sprint(h.TTL), strings.Join(h.Routers, "+"), h.SYN.Outcome, h.Hello.Outcome, h.Address.Outcome}
	for i := range f {
		if f[i] == "" {
			f[i] = "-"
		}
	}
	return strings.Join(f, " ")
}

// end is the verdict in one line: who ended TCP, where, and what router is there.
func (tr *traced) end() string {
	s := fmt.Sprintf("%s tcp %d tls %d address %d asked %s", tr.EndedBy, tr.TCPHop, tr.TLSHop, tr.AddressHop, tr.Asked)
	if tr.Behind+tr.AtOrBefore != "" {
		s += fmt.Sprintf(" behind %q at %q", tr.Behind, tr.AtOrBefore)
	}
	return s
}

// want is the verdict and the rows that are demanded of a trace.
type want struct {
	end    string
	rows   []string
	reason string
}

func (w *want) check(t *testing.T, tr *traced) {
	t.Helper()
	var rows []string
	for i := range tr.Hops {
		rows = append(rows, tr.row(i))
	}
	if tr.end() != w.end || w.rows != nil && !slices.Equal(rows, w.rows) || !strings.Contains(tr.Reason, w.reason) || (tr.Reason == "") != (w.reason == "") {
		t.Errorf("got\n%s\n%s\n%s\nwant\n%s\n%s\n%s", tr.end(), strings.Join(rows, "\n"), tr.Reason, w.end, strings.Join(w.rows, "\n"), w.reason)
	}
}

// trace runs the command for several targets, all at once, and returns its lines
// in their order. Words before the arguments are a command to run it by.
func (r *route) trace(t *testing.T, by, flags []string, targets ...string) []traced {
	t.Helper()
	out := make([]traced, len(targets))
	var all sync.WaitGroup
	for i, target := range targets {
		all.Go(func() {
			words := slices.Concat(by, []string{r.program, "trace", "--format", "json", "--name", "portal.contoso.test"}, flags, []string{target})
			cmd := r.client.Command(words[0], words[1:]...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.Dir}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			data, err := cmd.Output()
			if err != nil || stderr.Len() > 0 {
				t.Errorf("%s: %v\n%s", target, err, stderr.String())
			}
			out[i] = traceLine(t, data)
		})
	}
	all.Wait()
	return out
}

// plain are the rows of a trace that nobody stands in the way of.
func plain(version int, hello string) []string {
	rows := make([]string, 4)
	for i := range 3 {
		rows[i] = fmt.Sprintf("%d %s expired %s expired", i+1, routerAt(version, i+1), hello)
	}
	rows[3] = "4 - answered answered answered"
	return rows
}

// behindDevice are the rows of a trace with a device at a hop.
func behindDevice(version, device int, hello string) []string {
	rows := plain(version, hello)
	for i := device - 1; i < 4; i++ {
		rows[i] = fmt.Sprintf("%d %s - - expired", i+1, routerAt(version, i+1))
	}
	rows[3] = "4 - - - answered"
	rows[device-1] = fmt.Sprintf("%d %s answered answered expired", device, routerAt(version, device))
	return rows
}

// deviceEnd is the verdict of a trace with a device at a hop.
func deviceEnd(version, device int) string {
	behind := ""
	if device > 1 {
		behind = routerAt(version, device-1)
	}
	return fmt.Sprintf("device tcp %d tls %d address 4 asked yes behind %q at %q", device, device, behind, routerAt(version, device))
}

var noRights = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"}

// TestTrace traces through three routers, with and without somebody in the way.
func TestTrace(t *testing.T) {
	l := New(t, "nft", "nginx", "sysctl", "setpriv")
	r := newRoute(l)
	r.program = buildProgram(t, l)
	begun := time.Now()
	const free = "endpoint tcp 4 tls 4 address 4 asked yes"
	count := 0
	both := func(t *testing.T, by, flags []string, w func(version int) want) {
		t.Helper()
		for version, tr := range r.trace(t, by, flags, traceTargets[:]...) {
			expected := w(version)
			expected.check(t, &tr)
			if tr.RawICMP != (by == nil) {
				t.Errorf("raw_icmp is %v", tr.RawICMP)
			}
			count++
		}
	}
	// The kernel's limits on ICMP are in force for this one, which has to do with
	// six messages a router.
	t.Run("no device", func(t *testing.T) {
		both(t, nil, nil, func(v int) want { return want{end: free, rows: plain(v, "expired")} })
	})
	for _, ns := range append(r.routers[:], r.server) {
		run(t, ns, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
	}
	t.Run("no rights", func(t *testing.T) {
		both(t, noRights, nil, func(v int) want { return want{end: free, rows: plain(v, "discarded")} })
	})
	for _, way := range []string{"redirect", "tproxy"} {
		for i := range r.routers {
			t.Run(fmt.Sprintf("%s at hop %d", way, i+1), func(t *testing.T) {
				r.relay(t, r.routers[i], way)
				both(t, nil, nil, func(v int) want { return want{end: deviceEnd(v, i+1), rows: behindDevice(v, i+1, "expired")} })
				if i == 1 && way == "tproxy" {
					both(t, noRights, nil, func(v int) want { return want{end: deviceEnd(v, i+1), rows: behindDevice(v, i+1, "discarded")} })
				}
			})
		}
	}
	t.Logf("%d traces in %.1f s", count, time.Since(begun).Seconds())
}

// relay turns connections aside on a router, as long as the test lasts.
func (r *route) relay(t *testing.T, at Namespace, way string) {
	t.Helper()
	settings := []string{"--listen", "0.0.0.0:8443", "--to", way, "--listen", "[::]:8444", "--to", way,
		"--allow", "198.18.0.0/24,2001:db8::/64", "--targets", "198.18.3.0/24:443,[2001:db8:3::/64]:443"}
	if way == "tproxy" {
		settings = append(settings, "--keep-source")
	}
	run(t, at, r.program, append([]string{"relay", "rules", "--apply"}, settings...)...)
	t.Cleanup(func() { run(t, at, r.program, "relay", "rules", "--remove") })
	Start(t, at.Command(r.program, append([]string{"relay"}, settings...)...)).WaitFor(t, "listening at [::]:8444")
}

// nft applies rules to a host, as long as the test lasts.
func (r *route) nft(t *testing.T, at Namespace, rules string) {
	t.Helper()
	run(t, at, "nft", "add table inet t; "+rules)
	t.Cleanup(func() { run(t, at, "nft", "delete table inet t") })
}

// TestTraceOdd traces what is no plain way to a server that answers.
func TestTraceOdd(t *testing.T) {
	l := New(t, "nft", "nginx", "sysctl")
	r := newRoute(l)
	r.program = buildProgram(t, l)
	for _, ns := range append(r.routers[:], r.server) {
		run(t, ns, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
	}
	quick := []string{"--wait", "400ms"}
	begun := time.Now()
	for _, tt := range []struct {
		name    string
		at      Namespace
		rules   string
		flags   []string
		targets [2]string
		want    func(version int) want
	}{
		{name: "closed port", targets: [2]string{"198.18.3.2:444", "[2001:db8:3::2]:444"}, want: func(v int) want {
			w := want{end: "endpoint tcp 4 tls 0 address 4 asked unknown", rows: plain(v, "-")}
			w.rows[3] = "4 - refused - answered"
			return w
		}},
		{name: "UDP dropped", at: r.server, rules: "add chain inet t in { type filter hook input priority 0; }; add rule inet t in meta l4proto udp drop", flags: quick,
			want: func(v int) want {
				return want{end: "unknown tcp 4 tls 4 address 0 asked yes", reason: "the address answers no UDP, and no router says that it is further than 4 hops"}
			}},
		{name: "translated", at: r.routers[2], targets: [2]string{"198.18.2.2", "2001:db8:2::2"},
			rules: "add chain inet t pre { type nat hook prerouting priority dstnat; }; add rule inet t pre ip daddr 198.18.2.2 tcp dport 443 dnat ip to 198.18.3.2; " +
				"add rule inet t pre ip6 daddr 2001:db8:2::2 tcp dport 443 dnat ip6 to 2001:db8:3::2",
			want: func(v int) want {
				w := want{end: "forwarded tcp 4 tls 4 address 3 asked yes", rows: plain(v, "expired")}
				w.rows[2] = strings.TrimSuffix(w.rows[2], "expired") + "answered"
				w.rows[3] = "4 - answered answered answered"
				return w
			}},
		{name: "silent router", at: r.routers[1], flags: quick,
			rules: "add chain inet t out { type filter hook output priority 0; }; add rule inet t out icmp type time-exceeded drop; add rule inet t out icmpv6 type time-exceeded drop",
			want: func(v int) want {
				w := want{end: "endpoint tcp 4 tls 4 address 4 asked yes", rows: plain(v, "expired")}
				w.rows[1] = "2 - silent silent silent"
				return w
			}},
		{name: "no neighbour", targets: [2]string{"198.18.0.99", "2001:db8::99"}, flags: []string{"--wait", "5s"},
			want: func(int) want {
				return want{end: "unknown tcp 0 tls 0 address 0 asked unknown", reason: "this host does not send it: no neighbour answers"}
			}},
		{name: "no neighbour of a router", targets: [2]string{"198.18.3.99", "2001:db8:3::99"}, flags: []string{"--wait", "5s"},
			want: func(v int) want {
				return want{end: "unknown tcp 0 tls 0 address 0 asked unknown", reason: routerAt(v, 3) + " said that the address cannot be reached, to a SYN with TTL 4"}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.rules != "" {
				r.nft(t, tt.at, tt.rules)
			}
			targets := tt.targets
			if targets[0] == "" {
				targets = traceTargets
			}
			begun := time.Now()
			for version, tr := range r.trace(t, nil, tt.flags, targets[:]...) {
				expected := tt.want(version)
				expected.check(t, &tr)
			}
			t.Logf("%.1f s", time.Since(begun).Seconds())
		})
	}
	t.Run("interrupted", func(t *testing.T) { testTraceInterrupted(t, r) })
	t.Logf("all in %.1f s", time.Since(begun).Seconds())
}

// testTraceInterrupted ends a trace while SYNs get no answer beyond the routers:
// what the routers told until then is told, and nothing is concluded from it.
func testTraceInterrupted(t *testing.T, r *route) {
	r.nft(t, r.server, "add chain inet t in { type filter hook input priority 0; }; add rule inet t in meta l4proto tcp counter drop; add rule inet t in meta l4proto udp drop")
	out := filepath.Join(r.Dir, "interrupted.jsonl")
	p := Start(t, r.client.Command(r.program, "trace", "--format", "json", "--output", out, "--wait", "20s", traceTargets[0]))
	const synSent = "02"
	if !poll(time.Minute, func() bool {
		_, states, err := r.client.sockets()
		if err != nil {
			t.Fatal(err)
		}
		// The fourth was sent a second time, which is a second later, and the first
		// three have expired.
		seen := run(t, r.server, "nft", "list", "chain", "inet", "t", "in")
		return strings.Contains(seen, "counter packets 2 ") && len(slices.DeleteFunc(states, func(s string) bool { return s != synSent })) == 1
	}) {
		t.Fatal("no SYN is under way")
	}
	p.Signal(syscall.SIGINT)
	<-p.Done()
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	tr := traceLine(t, data)
	w := want{end: "unknown tcp 0 tls 0 address 0 asked unknown", rows: plain(0, "-")[:3], reason: "the trace was interrupted"}
	w.check(t, &tr)
	if !tr.Interrupted || !strings.Contains(p.Output(), "interrupted: the answer covers") || !strings.Contains(p.Output(), "exit status 130") {
		t.Errorf("interrupted is %v, and it says:\n%s", tr.Interrupted, p.Output())
	}
}
