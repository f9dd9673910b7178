package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"whoasked/parse"
)

// gone demands that a connection ends with a reset.
func gone(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}

// refused demands that a new connection ends with a reset, be it already while
// it is opened.
func refused(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = io.ReadAll(c)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}

// echo sends back what it gets. It hides what c is, as the pipes that the
// standard library would keep look like descriptors left behind.
func echo(c *net.TCPConn) {
	defer c.Close()
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
}

// closedPort is a port that nobody listens at.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestUpstreamRefuses(t *testing.T) {
	to := closedPort(t)
	r := start(t, fixedTo(t, to), Options{})
	refused(t, r.addr)
	if tr := r.has(t, KindRefused); tr.Target != to.String() || !tr.Client.IsValid() {
		t.Errorf("told %v", tr)
	}
}

func TestNameDoesNotResolve(t *testing.T) {
	w, err := Fixed("www.contoso.test:443")
	if err != nil {
		t.Fatal(err)
	}
	none := func(context.Context, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "www.contoso.test", IsNotFound: true}
	}
	r := start(t, w, Options{Dial: Dial{Resolver: none}})
	refused(t, r.addr)
	r.has(t, KindDNS)
}

func TestResolverHangs(t *testing.T) {
	w, err := Fixed("www.contoso.test:443")
	if err != nil {
		t.Fatal(err)
	}
	hang := func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() }
	r := start(t, w, Options{Dial: Dial{Resolver: hang, Timeout: 50 * time.Millisecond}})
	refused(t, r.addr)
	r.has(t, KindTimeout)
}

// TestUpstreamResets: what came before the reset is still delivered.
func TestUpstreamResets(t *testing.T) {
	to := serve(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 5))
		_, _ = c.Write([]byte("half a flight"))
		awaitSent(c, time.Second)
		_ = c.SetLinger(0)
		c.Close()
	})
	r := start(t, fixedTo(t, to), Options{})
	c := dialTCP(t, r.addr)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if string(got) != "half a flight" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v", got, err)
	}
	if e := r.endedConn(t, 1); e.end != parse.RST || e.from != parse.Accepter {
		t.Errorf("told an end by %v from the %v", e.end, e.from)
	}
}

// TestClientVanishes: the reset of a client reaches the server.
func TestClientVanishes(t *testing.T) {
	ended := make(chan error, 1)
	to := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	r := start(t, fixedTo(t, to), Options{})
	c := dialTCP(t, r.addr)
	_, _ = c.Write([]byte("hello"))
	_ = c.SetLinger(0)
	c.Close()
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server saw %v", err)
	}
	if e := r.endedConn(t, 1); e.end != parse.RST || e.from != parse.Opener {
		t.Errorf("told an end by %v from the %v", e.end, e.from)
	}
}

// TestHalfClose: a response that follows the end of the request arrives whole.
func TestHalfClose(t *testing.T) {
	to := serve(t, func(c *net.TCPConn) {
		defer c.Close()
		b, _ := io.ReadAll(c)
		for range 100 {
			_, _ = c.Write(b)
		}
	})
	r := start(t, fixedTo(t, to), Options{})
	c := dialTCP(t, r.addr)
	_, _ = c.Write(make([]byte, 10_000))
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); len(b) != 1_000_000 || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestSilenceEnds(t *testing.T) {
	to := serve(t, echo)
	r := start(t, fixedTo(t, to), Options{Limits: Limits{Idle: 200 * time.Millisecond}})
	c := dialTCP(t, r.addr)
	for range 8 { // alive for longer than that
		_, _ = c.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	gone(t, c)
	if e := r.endedConn(t, 1); e.end != parse.Idle {
		t.Errorf("ended by %v", e.end)
	}
}

// TestStalledTap: with nobody to take the copies the bytes pass all the same,
// and what was not told is counted as lost.
func TestStalledTap(t *testing.T) {
	to := serve(t, echo)
	l, err := Listen(t.Context(), "127.0.0.1:0", Way{})
	if err != nil {
		t.Fatal(err)
	}
	r := New(Options{Entries: []Entry{{Listener: l, Way: fixedTo(t, to)}}, Limits: Limits{Tap: 64 << 10}})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	resume := make(chan struct{})
	var seen, lost [2]int
	var end parse.End
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ch, err := range r.Chunks(ctx) {
			if err != nil {
				t.Error(err)
				continue
			}
			<-resume
			seen[ch.From] += len(ch.Data)
			lost[ch.From] += ch.Lost
			end = ch.End
		}
	}()
	const size = 4 << 20
	c := dialTCP(t, l.Addr().String())
	go func() {
		_, _ = c.Write(make([]byte, size))
		_ = c.CloseWrite()
	}()
	if b, err := io.ReadAll(c); len(b) != size || err != nil {
		t.Errorf("%d bytes came back, %v", len(b), err)
	}
	close(resume)
	stop()
	<-done
	for side := range seen {
		if seen[side]+lost[side] != size || lost[side] == 0 || seen[0] == 0 {
			t.Errorf("side %d: %d bytes told, %d lost, of %d", side, seen[side], lost[side], size)
		}
	}
	if end != parse.FIN {
		t.Errorf("ended by %v", end)
	}
	if n := r.Notes(); len(n) != 1 || n[0].Kind != "relay-unobserved" || n[0].Count != int64(lost[0]+lost[1]) {
		t.Errorf("notes %+v", n)
	}
}

// TestDrain: connections at work when the relay stops end by themselves, those
// that do not are ended when the time is over, and nobody new comes in.
func TestDrain(t *testing.T) {
	to := serve(t, echo)
	r := start(t, fixedTo(t, to), Options{Limits: Limits{Drain: 500 * time.Millisecond}})
	orderly, stuck := dialTCP(t, r.addr), dialTCP(t, r.addr)
	for _, c := range []*net.TCPConn{orderly, stuck} {
		_, _ = c.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
	for deadline := time.Now().Add(5 * time.Second); ; {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			break
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("still accepting")
		}
	}
	_, _ = orderly.Write([]byte("late"))
	_ = orderly.CloseWrite()
	if b, err := io.ReadAll(orderly); string(b) != "late" || err != nil {
		t.Errorf("draining delivered %q, %v", b, err)
	}
	gone(t, stuck)
	r.wait(t)
	ends := map[parse.End]int{}
	for _, e := range r.ended {
		ends[e.end]++
	}
	if ends[parse.FIN] < 1 || ends[parse.CaptureEnd] != 1 {
		t.Errorf("ends %v", ends)
	}
}

// TestDescriptorsExhausted: clients are sent away, and it goes on afterwards.
func TestDescriptorsExhausted(t *testing.T) {
	to := serve(t, echo)
	r := start(t, fixedTo(t, to), Options{})
	connect, free := exhaust(t, r.addr)
	connect()
	tr := r.has(t, KindAccept)
	free()
	if !errors.Is(tr, syscall.EMFILE) {
		t.Errorf("told %v", tr)
	}
	for deadline := time.Now().Add(5 * time.Second); ; { // the next may still be sent away
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = c.Write([]byte("ping"))
			_, err = io.ReadFull(c, make([]byte, 4))
			c.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is relayed afterwards: %v", err)
		}
	}
}

// TestLargeHelloIsNotDelayed: neither one byte at a time nor 64 KiB at once waits
// for anything.
func TestLargeHelloIsNotDelayed(t *testing.T) {
	to := serve(t, echo)
	r := start(t, fixedTo(t, to), Options{})
	c := dialTCP(t, r.addr)
	// A stall by delayed acknowledgments meets every exchange of a size, a busy
	// machine only some: the fastest one tells.
	const stall, repeats = 40 * time.Millisecond, 8
	for _, n := range []int{1, 1500, 64 << 10} {
		best := time.Hour
		for range repeats {
			b := make([]byte, n)
			begun := time.Now()
			if _, err := c.Write(b[:1]); err != nil { // in two segments, as hellos of this size come
				t.Fatal(err)
			}
			if _, err := c.Write(b[1:]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(begun))
		}
		if best >= stall {
			t.Errorf("no exchange of %d bytes took less than %v", n, best)
		}
	}
}
