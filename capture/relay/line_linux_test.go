package relay

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"whoasked/parse"
)

// TestUrgent: an urgent byte, in front of which reading and moving within the kernel
// stop, passes in its place, and ends nothing.
func TestUrgent(t *testing.T) {
	for _, settled := range []bool{false, true} {
		got := make(chan string, 1)
		to := serve(t, func(c *net.TCPConn) {
			defer c.Close()
			first := make([]byte, 1)
			_, _ = io.ReadFull(c, first)
			_, _ = c.Write(first)
			b, _ := io.ReadAll(c)
			got <- string(first) + string(b)
		})
		r := start(t, fixedTo(t, to), Options{})
		c := dialTCP(t, r.addr)
		_, _ = c.Write([]byte("0"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if settled {
			r.Settle(0)
		}
		want := "0"
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			piece := []byte{'a' + byte(i%26), '!'}
			if err := control(raw, func(fd uintptr) error { return unix.Send(int(fd), piece, unix.MSG_OOB) }); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("behind")); err != nil {
				t.Fatal(err)
			}
			want += string(piece) + "behind"
			if i%10 == 0 {
				time.Sleep(time.Millisecond) // and in pieces of their own
			}
		}
		_ = c.CloseWrite()
		if s := <-got; s != want {
			t.Errorf("settled %t: the server got %q, want %q", settled, s, want)
		}
	}
}

// TestNoDelay: both sockets of a connection send at once what they have.
func TestNoDelay(t *testing.T) {
	to := serve(t, echo)
	r := start(t, fixedTo(t, to), Options{})
	c := dialTCP(t, r.addr)
	_, _ = c.Write([]byte("0"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Relay.mu.Lock()
	loops := r.loops
	r.Relay.mu.Unlock()
	lines := 0
	for _, l := range loops {
		for _, ln := range l.all() {
			lines++
			for _, side := range []parse.Side{parse.Opener, parse.Accepter} {
				if on, err := unix.GetsockoptInt(ln.fd[side], unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
					t.Errorf("side %d: TCP_NODELAY %d, %v", side, on, err)
				}
			}
		}
	}
	if lines != 1 {
		t.Errorf("%d lines", lines)
	}
}
