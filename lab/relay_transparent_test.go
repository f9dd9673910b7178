//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"whoasked/lab/relaytest"
)

const (
	// streamPort is where the server of relayStreams listens.
	streamPort = 4433
	// asPeer has this test binary be one end of relayStreams, on another host.
	asPeer = "WHOASKED_STREAM_PEER"
	// manyStreams asks for more than a few connections.
	manyStreams = "WHOASKED_CONNECTIONS"
	streamSlots = 64 // connections at one time
)

// relayStreams sends connections with random streams, half-closes and resets from
// the client to the server, past a router that turns them aside, and demands the
// same bytes and ends at the other.
func relayStreams(t *testing.T, h *hosts, server string) {
	t.Helper()
	n := 300
	if v := os.Getenv(manyStreams); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 1 {
			t.Fatalf("%s=%q is no number of connections", manyStreams, v)
		}
	}
	at := net.JoinHostPort(server, strconv.Itoa(streamPort))
	peer := func(ns Namespace, role string) *Process {
		cmd := ns.Command(os.Args[0], "-test.run", "^TestRelayStreamPeer$", "-test.v", "-test.timeout", "1h")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", asPeer, role, at, n))
		return Start(t, cmd)
	}
	begun := time.Now()
	s := peer(h.server, "server")
	s.WaitFor(t, "stream server listens")
	c := peer(h.client, "client")
	for name, p := range map[string]*Process{"client": c, "server": s} {
		select {
		case <-p.Done():
		case <-time.After(time.Hour):
			t.Fatalf("the %s does not end", name)
		}
		p.WaitFor(t, fmt.Sprintf("%d streams are as sent", n))
	}
	t.Logf("%d connections byte-identical at both ends in %v", n, time.Since(begun).Round(time.Millisecond))
}

// TestRelayStreamPeer is one end of relayStreams.
func TestRelayStreamPeer(t *testing.T) {
	var role, at string
	var n int
	if _, err := fmt.Sscan(os.Getenv(asPeer), &role, &at, &n); err != nil {
		t.Skip("part of TestRelayOnRouter")
	}
	pairs := relaytest.Pairs(1, n)
	check := func(i int, r relaytest.Result) error { return r.Check(pairs[i].Client, pairs[i].Server) }
	results := make(chan error, n)
	if role == "server" {
		var lc net.ListenConfig
		l, err := lc.Listen(context.Background(), "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		fmt.Println("stream server listens")
		go serveStreams(l, pairs, func(i int, r relaytest.Result) { results <- check(i, r) })
	} else {
		check = func(i int, r relaytest.Result) error { return r.Check(pairs[i].Server, pairs[i].Client) }
		go visitStreams(at, pairs, func(i int, r relaytest.Result) { results <- check(i, r) })
	}
	for i := range n {
		select {
		case err := <-results:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(90 * time.Second):
			t.Fatalf("%d of %d connections", i, n)
		}
	}
	fmt.Printf("%d streams are as sent\n", n)
}

func serveStreams(l net.Listener, pairs []relaytest.Pair, done func(int, relaytest.Result)) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			done(0, relaytest.Result{Err: err})
			return
		}
		go func() {
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			i, err := relaytest.ReadNumber(c)
			if err != nil || i < 0 || i >= len(pairs) {
				c.Close()
				done(0, relaytest.Result{Err: fmt.Errorf("no number: %d, %w", i, err)})
				return
			}
			done(i, pairs[i].Server.Play(c.(*net.TCPConn)))
		}()
	}
}

func visitStreams(at string, pairs []relaytest.Pair, done func(int, relaytest.Result)) {
	var clients sync.WaitGroup
	slots := make(chan struct{}, streamSlots)
	for i := range pairs {
		slots <- struct{}{}
		clients.Go(func() {
			defer func() { <-slots }()
			c, err := net.DialTimeout("tcp", at, 20*time.Second)
			if err == nil {
				err = relaytest.Number(c, i)
			}
			if err != nil {
				done(i, relaytest.Result{Err: err})
				return
			}
			done(i, pairs[i].Client.Play(c.(*net.TCPConn)))
		})
	}
	clients.Wait()
}
