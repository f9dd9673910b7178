package relay

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"whoasked/parse"
)

// told is what a Relay told of one connection.
type told struct {
	flow    parse.Flow
	data    [2]bytes.Buffer
	lost    int
	skipped int
	fin     [2]bool
	end     parse.End
	from    parse.Side
}

// running is a Relay at work, and what it has told.
type running struct {
	*Relay
	addr string // of its first entry

	mu      sync.Mutex
	ended   []*told
	trouble []*Trouble
	stop    context.CancelFunc
	done    chan struct{}
}

// start runs a relay with one entry, and checks at the end of the test that it
// leaves nothing behind.
func start(t testing.TB, way Way, o Options) *running {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0", Way{})
	if err != nil {
		t.Fatal(err)
	}
	o.Entries = append([]Entry{{Listener: l, Way: way}}, o.Entries...)
	r := &running{Relay: New(o), addr: l.Addr().String(), done: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	before := descriptors(t)
	goroutines := relayGoroutines()
	go r.watch(ctx)
	t.Cleanup(func() {
		r.wait(t)
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			g, fds := relayGoroutines(), descriptors(t)
			if g <= goroutines && fds <= before {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("left behind: %d goroutines, %d descriptors\n%s", g-goroutines, fds-before, stacks())
				return
			}
		}
	})
	return r
}

// relayGoroutines counts the goroutines that run code of a relay; what tests, the
// runtime and other packages start is none of its.
func relayGoroutines() int {
	n := 0
	for g := range strings.SplitSeq(stacks(), "\n\n") {
		for line := range strings.Lines(g) {
			if strings.Contains(line, "/capture/relay/") && !strings.Contains(line, "_test.go:") {
				n++
				break
			}
		}
	}
	return n
}

func stacks() string {
	b := make([]byte, 4<<20)
	return string(b[:runtime.Stack(b, true)])
}

// wait stops a relay and waits until all is told.
func (r *running) wait(t testing.TB) {
	t.Helper()
	r.stop()
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the relay does not end")
	}
}

func (r *running) watch(ctx context.Context) {
	defer close(r.done)
	open := make(map[int]*told)
	for ch, err := range r.Chunks(ctx) {
		if err != nil {
			var tr *Trouble
			errors.As(err, &tr)
			r.mu.Lock()
			r.trouble = append(r.trouble, tr)
			r.mu.Unlock()
			continue
		}
		c := open[ch.Conn]
		if c == nil {
			c = &told{flow: ch.Flow}
			open[ch.Conn] = c
		}
		c.lost += ch.Lost
		c.skipped += ch.Skipped
		c.data[ch.From].Write(ch.Data)
		c.fin[ch.From] = c.fin[ch.From] || ch.Fin
		if ch.End != parse.Open {
			c.end, c.from = ch.End, ch.From
			delete(open, ch.Conn)
			r.mu.Lock()
			r.ended = append(r.ended, c)
			r.mu.Unlock()
		}
	}
}

// has waits for a trouble of a kind.
func (r *running) has(t testing.TB, kind Kind) *Trouble {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.mu.Lock()
		for _, tr := range r.trouble {
			if tr.Kind == kind {
				r.mu.Unlock()
				return tr
			}
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Fatalf("no trouble %v among %v", kind, r.trouble)
	return nil
}

// endedConn waits for n connections to end and returns the last of them.
func (r *running) endedConn(t testing.TB, n int) *told {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.mu.Lock()
		if len(r.ended) >= n {
			c := r.ended[n-1]
			r.mu.Unlock()
			return c
		}
		r.mu.Unlock()
	}
	t.Fatalf("connection %d did not end", n)
	return nil
}

// descriptors counts the open ones, 0 where that cannot be told.
func descriptors(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// serve runs a server until the end of the test.
func serve(t testing.TB, handle func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil: // a test has taken its descriptors away
				time.Sleep(time.Millisecond)
				continue
			}
			running.Go(func() { handle(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// fixedTo is a way in to one address.
func fixedTo(t testing.TB, to netip.AddrPort) Way {
	t.Helper()
	w, err := Fixed(to.String())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func dialTCP(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}
