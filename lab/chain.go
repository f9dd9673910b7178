//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Chain is a client with up to three hosts behind each other, a link between
// each two:
//
//	client .0.10 — .0.20 edge .1.20 — .1.30, .1.31 middle .2.30 — .2.40 far
//
// all in 198.18.0.0/16. What a host sends on comes from its own address.
type Chain struct {
	Client, Edge, Middle, Far Namespace
	// Points are where to capture: the client, and behind edge and middle.
	Points []Point
}

// Point is a device to capture at.
type Point struct {
	Name   string
	At     Namespace
	Device string
}

// NewChain makes the namespaces, which last as long as the test.
func NewChain(t testing.TB) *Chain {
	t.Helper()
	sweep()
	base := fmt.Sprintf("%s-%d-%x", namePrefix, os.Getpid(), time.Now().UnixNano()&0xffffff)
	made := func(suffix, addr, peer string) Namespace {
		ns := Namespace{Name: base + suffix, Addr: netip.MustParseAddr(addr), Peer: netip.MustParseAddr(peer)}
		if out, err := exec.Command("ip", "netns", "add", ns.Name).CombinedOutput(); err != nil {
			unavailable(t, fmt.Sprintf("no right to create a network namespace: %v %s", err, out))
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns.Name).Run() })
		ip(t, "-n", ns.Name, "link", "set", "lo", "up")
		return ns
	}
	c := &Chain{
		Client: made("-c", "198.18.0.10", "198.18.0.20"),
		Edge:   made("-e", "198.18.0.20", "198.18.1.30"),
		Middle: made("-m", "198.18.1.30", "198.18.2.40"),
		Far:    made("-f", "198.18.2.40", "198.18.2.30"),
	}
	link := func(a Namespace, deviceA string, addrA string, b Namespace, addrsB ...string) {
		ip(t, "link", "add", deviceA, "netns", a.Name, "type", "veth", "peer", "name", Device, "netns", b.Name)
		ip(t, "-n", a.Name, "addr", "add", addrA+"/24", "dev", deviceA)
		for _, addr := range addrsB {
			ip(t, "-n", b.Name, "addr", "add", addr+"/24", "dev", Device)
		}
		ip(t, "-n", a.Name, "link", "set", deviceA, "up")
		ip(t, "-n", b.Name, "link", "set", Device, "up")
	}
	const inwards = "lab1"
	link(c.Client, inwards, "198.18.0.10", c.Edge, "198.18.0.20")
	link(c.Edge, inwards, "198.18.1.20", c.Middle, "198.18.1.30", "198.18.1.31")
	link(c.Middle, inwards, "198.18.2.30", c.Far, "198.18.2.40")
	c.Points = []Point{{"client", c.Client, inwards}, {"inner", c.Edge, inwards}, {"far", c.Middle, inwards}}
	return c
}

// Translate has the edge be a router that translates addresses both ways: what comes
// for its port 443 goes to a host behind it, or to several in turn, from the edge's own
// address.
func (c *Chain) Translate(t testing.TB, to ...string) {
	t.Helper()
	target, hosts := to[0], []string{strings.Split(to[0], ":")[0]}
	if len(to) > 1 {
		hosts = nil
		var turns []string
		for i, addr := range to {
			host := strings.Split(addr, ":")[0]
			hosts, turns = append(hosts, host), append(turns, fmt.Sprintf("%d : %s", i, host))
		}
		target = fmt.Sprintf("numgen inc mod %d map { %s }", len(to), strings.Join(turns, ", "))
	}
	c.route(t, fmt.Sprintf("table ip lab {\n"+
		" chain in { type nat hook prerouting priority -100; tcp dport 443 dnat to %s; }\n"+
		" chain out { type nat hook postrouting priority 100; ip daddr { %s } masquerade; }\n}\n", target, strings.Join(hosts, ", ")))
}

// AnswerSYNs has the edge be a router that answers SYNs for port 443 in the place of
// the hosts behind it, and opens a connection there once the client has shown that it
// is there, too: a SYN proxy. Client and middle host know the way.
func (c *Chain) AnswerSYNs(t testing.TB) {
	t.Helper()
	ip(t, "-n", c.Client.Name, "route", "add", "198.18.1.0/24", "via", "198.18.0.20")
	ip(t, "-n", c.Middle.Name, "route", "add", "198.18.0.0/24", "via", "198.18.1.20")
	c.route(t, "table ip lab {\n"+
		" chain raw { type filter hook prerouting priority raw; iifname "+Device+" tcp dport 443 tcp flags syn notrack; }\n"+
		" chain pass { type filter hook forward priority filter; iifname "+Device+" tcp dport 443 ct state invalid,untracked "+
		"synproxy mss 1460 wscale 7 timestamp sack-perm; }\n}\n", "net.netfilter.nf_conntrack_tcp_loose=0")
}

// route has the edge forward packets, under rules of nftables and further settings.
func (c *Chain) route(t testing.TB, rules string, settings ...string) {
	t.Helper()
	if out, err := c.Edge.Command("nft", rules).CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	args := append([]string{"-qw", "net.ipv4.ip_forward=1"}, settings...)
	if out, err := c.Edge.Command("sysctl", args...).CombinedOutput(); err != nil {
		t.Fatalf("sysctl: %v\n%s", err, out)
	}
}

// HAProxy runs a configuration, of which the settings common to all are not
// part, and waits until the ports listen.
func (c *Chain) HAProxy(l *Lab, ns Namespace, name, conf string, ports ...int) *Process {
	l.T.Helper()
	p := Start(l.T, ns.Command("haproxy", "-db", "-f", l.File(name+".cfg", haproxyBase+conf)))
	ns.WaitListen(l.T, ports...)
	return p
}

// haproxyBase is what every configuration of an HAProxy in a chain begins with.
const haproxyBase = "global\n maxconn 2000\n nbthread 1\n tune.ssl.default-dh-param 2048\n" +
	"defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n option httpclose\n"

// Record captures at every point while do runs, and returns the files by the
// name of the point.
func (c *Chain) Record(l *Lab, name string, do func()) map[string]string {
	l.T.Helper()
	running := make(map[string]*Capture)
	for _, p := range c.Points {
		running[p.Name] = StartCapture(l.T, p.At, p.Device, filepath.Join(l.Dir, name+"-"+p.Name+".pcap"))
	}
	do()
	for _, ns := range []Namespace{c.Client, c.Edge, c.Middle, c.Far} {
		ns.WaitQuiet(l.T, 5*time.Second)
	}
	files := make(map[string]string)
	for at, r := range running {
		r.Stop(l.T)
		files[at] = r.Path
	}
	return files
}
