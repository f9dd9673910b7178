//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hosts are a client, a router that the relay runs on, and a server.
type hosts struct{ client, router, server Namespace }

// newHosts makes three namespaces: 198.18.1.10 and 2001:db8:1::10 are the client,
// 198.18.2.20 and 2001:db8:2::20 the server, and between them a router.
func newHosts(t *testing.T) *hosts {
	t.Helper()
	sweep()
	base := fmt.Sprintf("%s-%d-%x", namePrefix, os.Getpid(), time.Now().UnixNano()&0xffffff)
	h := &hosts{Namespace{Name: base + "-c"}, Namespace{Name: base + "-r"}, Namespace{Name: base + "-s"}}
	for _, ns := range []Namespace{h.client, h.router, h.server} {
		ip(t, "netns", "add", ns.Name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns.Name).Run() })
		ip(t, "-n", ns.Name, "link", "set", "lo", "up")
	}
	ip(t, "link", "add", "lab0", "netns", h.client.Name, "type", "veth", "peer", "name", "lab1", "netns", h.router.Name)
	ip(t, "link", "add", "lab2", "netns", h.router.Name, "type", "veth", "peer", "name", "lab0", "netns", h.server.Name)
	for _, a := range []struct {
		ns       Namespace
		dev      string
		v4, v6   string
		gw4, gw6 string
	}{
		{h.client, "lab0", "198.18.1.10/24", "2001:db8:1::10/64", "198.18.1.1", "2001:db8:1::1"},
		{h.router, "lab1", "198.18.1.1/24", "2001:db8:1::1/64", "", ""},
		{h.router, "lab2", "198.18.2.1/24", "2001:db8:2::1/64", "", ""},
		{h.server, "lab0", "198.18.2.20/24", "2001:db8:2::20/64", "198.18.2.1", "2001:db8:2::1"},
	} {
		ip(t, "-n", a.ns.Name, "addr", "add", a.v4, "dev", a.dev)
		ip(t, "-n", a.ns.Name, "addr", "add", a.v6, "dev", a.dev, "nodad")
		ip(t, "-n", a.ns.Name, "link", "set", a.dev, "up")
		if a.gw4 != "" {
			ip(t, "-n", a.ns.Name, "route", "add", "default", "via", a.gw4)
			ip(t, "-n", a.ns.Name, "-6", "route", "add", "default", "via", a.gw6)
		}
	}
	run(t, h.router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.lab2.rp_filter=0")
	for _, ns := range []Namespace{h.client, h.router, h.server} {
		ns.WaitAddresses(t)
	}
	return h
}

// forMany has hosts forget connections that have ended, so that there is room for
// as many as one likes.
func (h *hosts) forMany(t *testing.T) {
	t.Helper()
	for _, ns := range []Namespace{h.client, h.router} {
		run(t, ns, "sysctl", "-q", "-w", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=10000 65535")
	}
	// Missing until connections are tracked.
	_ = h.router.Command("sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1", "net.netfilter.nf_conntrack_tcp_timeout_close=1").Run()
}

// run runs a command to its end and returns what it wrote.
func run(t testing.TB, ns Namespace, name string, args ...string) string {
	t.Helper()
	out, err := ns.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// relayState is all that rules could leave behind.
func relayState(t *testing.T, ns Namespace) string {
	t.Helper()
	s := run(t, ns, "nft", "list", "ruleset")
	for _, v := range []string{"-4", "-6"} {
		s += run(t, ns, "ip", v, "rule", "show")
		for line := range strings.Lines(run(t, ns, "ip", v, "route", "show", "table", "all")) {
			if !strings.Contains(line, "proto kernel") { // which come with addresses, in their own time
				s += line
			}
		}
	}
	return s
}

// gaveUp demands that a relay keeps no privilege, or that of tproxy.
func gaveUp(t *testing.T, relay *Process, pid int, tproxy bool) {
	t.Helper()
	relay.WaitFor(t, "gave up privileges: root for nobody")
	kept := "0000000000000000"
	if tproxy {
		kept = "0000000000002000" // CAP_NET_RAW
		relay.WaitFor(t, "kept CAP_NET_RAW, to connect from addresses of clients")
	}
	unprivileged(t, pid, kept)
}

// TestRelayOnRouter turns connections of a client aside on a router, in either
// way and IP version, and has real clients go through.
func TestRelayOnRouter(t *testing.T) {
	Need(t, "go", "ip", "nft", "curl", "openssl", "gnutls-cli", "ss", "sysctl")
	dir := t.TempDir()
	program := theProgram(t)
	h := newHosts(t)
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	run(t, h.server, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", key, "-out", cert, "-subj", "/CN=www.contoso.test", "-days", "2")
	for _, v := range []string{"-4", "-6"} {
		Start(t, h.server.Command("openssl", "s_server", v, "-accept", "443", "-key", key, "-cert", cert, "-verify", "1", "-www"))
		h.server.WaitListen(t, 443)
	}
	run(t, h.router, "nft", "add table inet mine; add chain inet mine in { type filter hook input priority 0; policy accept; }; add rule inet mine in tcp dport 9 drop")
	for _, c := range []struct{ way, listen, client, server, router string }{
		{"redirect", "0.0.0.0:8443", "198.18.1.10", "198.18.2.20", "198.18.2.1"},
		{"redirect", "[::]:8443", "2001:db8:1::10", "2001:db8:2::20", "2001:db8:2::1"},
		{"tproxy", "0.0.0.0:8443", "198.18.1.10", "198.18.2.20", "198.18.2.1"},
		{"tproxy", "[::]:8443", "2001:db8:1::10", "2001:db8:2::20", "2001:db8:2::1"},
	} {
		t.Run(c.way+" "+c.client, func(t *testing.T) {
			settings := []string{"--listen", c.listen, "--to", c.way, "--allow", "198.18.1.0/24,2001:db8:1::/64", "--ports", "443,4433",
				"--targets", "198.18.2.0/24,[2001:db8:2::/64]", "--max-rate", "1000000"}
			if c.way == "tproxy" {
				settings = append(settings, "--keep-source")
			}
			before := relayState(t, h.router)
			run(t, h.router, program, append([]string{"relay", "rules", "--apply"}, settings...)...)
			if racing() {
				settings = append(settings, "--keep-privileges")
			}
			cmd := h.router.Command(program, append([]string{"relay"}, settings...)...)
			h.forMany(t)
			relay := Start(t, cmd)
			if racing() {
				relay.WaitFor(t, "listening at ")
			} else {
				gaveUp(t, relay, cmd.Process.Pid, c.way == "tproxy")
			}
			server := c.server
			if strings.Contains(server, ":") {
				server = "[" + server + "]"
			}
			for range 3 {
				if out := run(t, h.client, "curl", "-sk", "--max-time", "20", "https://"+server+"/"); !strings.Contains(out, "s_server") {
					t.Errorf("curl got %.200q", out)
				}
			}
			if out := run(t, h.client, "bash", "-c", "echo | timeout 20 openssl s_client -connect "+server+":443 2>&1"); !strings.Contains(out, "Verify return code") {
				t.Errorf("openssl got %.200q", out)
			}
			if out := run(t, h.client, "bash", "-c", "echo | timeout 20 gnutls-cli --insecure "+c.server+" 2>&1; true"); !strings.Contains(out, "Handshake was completed") {
				t.Errorf("gnutls-cli got %.500q", out)
			}
			peer := c.router
			if c.way == "tproxy" {
				peer = c.client
			}
			if out := run(t, h.server, "ss", "-tan"); !strings.Contains(out, peer) {
				t.Errorf("the server has not seen %s:\n%s", peer, out)
			}
			relay.WaitFor(t, `"client":"`+strings.Replace(server, c.server, c.client, 1))
			relayStreams(t, h, c.server)
			relay.WaitFor(t, server+":443 asked for a client certificate")
			relay.Stop()
			if out := relay.Output(); strings.Contains(out, "DATA RACE") {
				t.Error(out)
			}
			run(t, h.router, program, "relay", "rules", "--remove")
			if after := relayState(t, h.router); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
			run(t, h.router, program, "relay", "rules", "--remove") // once more does no harm
		})
	}
	t.Run("vanish", func(t *testing.T) { relayVanishes(t, h, program) })
}
