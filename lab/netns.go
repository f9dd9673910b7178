//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Device is the name of the veth device in both namespaces.
const Device = "lab0"

// Namespace is a network namespace with one device towards its peer, and lo.
type Namespace struct {
	Name string
	// Addr is its own address, Peer that of the namespace at the other end.
	Addr, Peer netip.Addr
}

// Net is a client and a server, one link between them.
type Net struct{ Client, Server Namespace }

// namePrefix and the process id begin the name of every namespace.
const namePrefix = "whoasked"

// NewNet makes two namespaces, 198.18.0.10 and 198.18.0.20, that last as long
// as the test. Namespaces left behind by a killed test are removed first.
func NewNet(t testing.TB) *Net {
	t.Helper()
	sweep()
	client, server := netip.MustParseAddr("198.18.0.10"), netip.MustParseAddr("198.18.0.20")
	base := fmt.Sprintf("%s-%d-%x", namePrefix, os.Getpid(), time.Now().UnixNano()&0xffffff)
	n := &Net{
		Client: Namespace{Name: base + "-c", Addr: client, Peer: server},
		Server: Namespace{Name: base + "-s", Addr: server, Peer: client},
	}
	ends := []Namespace{n.Client, n.Server}
	for _, ns := range ends {
		if out, err := exec.Command("ip", "netns", "add", ns.Name).CombinedOutput(); err != nil {
			unavailable(t, fmt.Sprintf("no right to create a network namespace: %v %s", err, out))
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns.Name).Run() })
	}
	for _, ns := range ends {
		ip(t, "-n", ns.Name, "link", "set", "lo", "up")
	}
	n.connect(t)
	return n
}

// connect lays the link between the namespaces.
func (n *Net) connect(t testing.TB) {
	t.Helper()
	ip(t, "link", "add", Device, "netns", n.Client.Name, "type", "veth", "peer", "name", Device, "netns", n.Server.Name)
	for _, ns := range []Namespace{n.Client, n.Server} {
		ip(t, "-n", ns.Name, "addr", "add", ns.Addr.String()+"/24", "dev", Device)
		ip(t, "-n", ns.Name, "link", "set", Device, "up")
	}
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// sweep removes the namespaces of test processes that are gone, with what still
// runs in them: a server that has changed its user outlives a killed test.
func sweep() {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return // nothing was ever made here
	}
	for _, e := range entries {
		f := strings.Split(e.Name(), "-")
		if len(f) != 4 || f[0] != namePrefix {
			continue
		}
		if pid, err := strconv.Atoi(f[1]); err != nil || syscall.Kill(pid, 0) != syscall.ESRCH {
			continue
		}
		out, _ := exec.Command("ip", "netns", "pids", e.Name()).Output() // none if it fails
		for line := range strings.Lines(string(out)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		_ = exec.Command("ip", "netns", "del", e.Name()).Run()
	}
}

// Command prepares a command that runs inside the namespace, in a process
// group of its own that can be ended as one.
func (ns Namespace) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns.Name, name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// TCP socket states of /proc/net/tcp.
const (
	stateTimeWait = "06"
	stateClose    = "07"
	stateListen   = "0A"
)

// sockets returns local port and state of the TCP sockets in the namespace.
func (ns Namespace) sockets() (ports []uint16, states []string, err error) {
	return ns.socketsOf("tcp")
}

// socketsOf is sockets for "tcp" or "udp".
func (ns Namespace) socketsOf(protocol string) (ports []uint16, states []string, err error) {
	out, err := ns.Command("cat", "/proc/net/"+protocol, "/proc/net/"+protocol+"6").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("read the sockets of %s: %w", ns.Name, err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] == "sl" {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if err != nil {
			return nil, nil, fmt.Errorf("odd line in /proc/net/%s: %q", protocol, line)
		}
		ports, states = append(ports, uint16(port)), append(states, f[3])
	}
	return ports, states, nil
}

// WaitAddresses waits until duplicate address detection (RFC 4862 §5.4) is over: until
// then neighbours may get no answer, also from addresses that are exempt from it.
func (ns Namespace) WaitAddresses(t testing.TB) {
	t.Helper()
	var tentative []byte
	poll(time.Minute, func() bool {
		var err error
		if tentative, err = exec.Command("ip", "-n", ns.Name, "-6", "addr", "show", "tentative").CombinedOutput(); err != nil {
			t.Fatalf("ip: %v\n%s", err, tentative)
		}
		return len(tentative) == 0
	})
	if len(tentative) > 0 {
		t.Fatalf("addresses are tentative after a minute:\n%s", tentative)
	}
}

// WaitListen waits until every port has a listener. It asks the kernel and
// makes no connection, so nothing of it shows in a capture.
func (ns Namespace) WaitListen(t testing.TB, ports ...int) {
	t.Helper()
	var missing []int
	poll(time.Minute, func() bool {
		open, states, err := ns.sockets()
		if err != nil {
			t.Fatal(err)
		}
		listening := map[int]bool{}
		for i, p := range open {
			listening[int(p)] = listening[int(p)] || states[i] == stateListen
		}
		missing = missing[:0]
		for _, p := range ports {
			if !listening[p] {
				missing = append(missing, p)
			}
		}
		return len(missing) == 0
	})
	if len(missing) > 0 {
		t.Fatalf("nothing listens on %v after a minute", missing)
	}
}

// WaitBound waits until every UDP port is bound.
func (ns Namespace) WaitBound(t testing.TB, ports ...int) {
	t.Helper()
	var bound []uint16
	if !poll(time.Minute, func() bool {
		var err error
		if bound, _, err = ns.socketsOf("udp"); err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(ports, func(p int) bool { return !slices.Contains(bound, uint16(p)) })
	}) {
		t.Fatalf("of the UDP ports %v only %v are bound after a minute", ports, bound)
	}
}

// WaitQuiet waits until no TCP connection is open in the namespace, or at most
// limit, and reports whether it became quiet.
func (ns Namespace) WaitQuiet(t testing.TB, limit time.Duration) bool {
	t.Helper()
	return poll(limit, func() bool {
		_, states, err := ns.sockets()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			if s != stateListen && s != stateTimeWait && s != stateClose {
				return false
			}
		}
		return true
	})
}

// poll asks done every 20 ms until it says yes or limit is over.
func poll(limit time.Duration, done func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if done() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
