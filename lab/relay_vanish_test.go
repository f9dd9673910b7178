//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// asPump has this test binary be one end of relayVanishes, on another host.
const asPump = "WHOASKED_PUMP_PEER"

// relayVanishes takes a host off the network in the middle of a transfer, once
// that of the client and once that of the server, and demands that the relay
// says so and resets the other.
func relayVanishes(t *testing.T, h *hosts, program string) {
	run(t, h.router, "sysctl", "-q", "-w", "net.ipv4.tcp_retries2=1") // a quarter of an hour else
	relay := Start(t, h.router.Command(program, "relay", "--listen", "198.18.1.1:4434", "--to", "198.18.2.20:4434", "--allow", "198.18.1.0/24"))
	relay.WaitFor(t, "gave up privileges")
	peer := func(ns Namespace, what string) *Process {
		cmd := ns.Command(os.Args[0], "-test.run", "^TestRelayPumpPeer$", "-test.v", "-test.timeout", "5m")
		cmd.Env = append(os.Environ(), asPump+"="+what)
		return Start(t, cmd)
	}
	for _, gone := range []Namespace{h.client, h.server} {
		server := peer(h.server, "server 198.18.2.20:4434")
		server.WaitFor(t, "pump listens")
		client := peer(h.client, "client 198.18.1.1:4434")
		client.WaitFor(t, "pump runs")
		server.WaitFor(t, "pump runs")
		run(t, gone, "nft", "add table inet gone; add chain inet gone in { type filter hook input priority 0; policy drop; }; add chain inet gone out { type filter hook output priority 0; policy drop; }")
		left, from := server, "client"
		if gone == h.server {
			left, from = client, "server"
		}
		left.WaitFor(t, "pump was reset")
		relay.WaitFor(t, "an end of a connection vanished; client 198.18.1.10")
		t.Logf("the %s vanished", from)
		for _, p := range []*Process{client, server} {
			p.Stop()
		}
		run(t, gone, "nft", "delete table inet gone")
		relay.Stop()
		if gone == h.client {
			relay = Start(t, h.router.Command(program, "relay", "--listen", "198.18.1.1:4434", "--to", "198.18.2.20:4434", "--allow", "198.18.1.0/24"))
			relay.WaitFor(t, "gave up privileges")
		}
	}
}

// TestRelayPumpPeer is one end of relayVanishes: it sends and takes for as long
// as it can.
func TestRelayPumpPeer(t *testing.T) {
	var role, at string
	if _, err := fmt.Sscan(os.Getenv(asPump), &role, &at); err != nil {
		t.Skip("part of TestRelayOnRouter")
	}
	var c net.Conn
	var err error
	if role == "server" {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("pump listens")
		if c, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
	} else if c, err = net.DialTimeout("tcp", at, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended := make(chan error, 2) // of either direction: the kernel tells of a reset once
	go func() {
		some := make([]byte, 16<<10)
		for range time.NewTicker(time.Millisecond).C { // the machine has others to serve
			if _, err := c.Write(some); err != nil {
				ended <- err
				return
			}
		}
	}()
	if _, err := io.ReadFull(c, make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	fmt.Println("pump runs")
	go func() {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}()
	first, second := <-ended, <-ended
	if !errors.Is(first, syscall.ECONNRESET) && !errors.Is(second, syscall.ECONNRESET) {
		t.Fatalf("it ended with %v, %v", first, second)
	}
	fmt.Println("pump was reset")
}
