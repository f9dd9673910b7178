package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestRelayUpgrade: under load one relay takes the place of another at a socket
// that is held open for them. No client is refused, and what goes on is drained.
func TestRelayUpgrade(t *testing.T) {
	for name, overlap := range map[string]bool{"one beside the other": true, "one after the other": false} {
		t.Run(name, func(t *testing.T) {
			to := echo(t)
			held := hold(t)
			addr := held.Addr().String()
			first := startPassed(t, held, "--listen", addr, "--to", to)
			long, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer long.Close()
			heard(t, long)
			l := beginLoad(addr)
			defer l.end(t)
			l.goesOn(t)

			var second *exec.Cmd
			if overlap {
				second = startPassed(t, held, "--listen", addr, "--to", to)
				l.goesOn(t)
			}
			_ = first.Process.Signal(syscall.SIGTERM)
			if overlap { // the old one is there for what it had
				l.goesOn(t)
				heard(t, long)
			}
			long.Close()
			if err := first.Wait(); err != nil {
				t.Errorf("the first ended with %v", err)
			}
			if !overlap {
				second = startPassed(t, held, "--listen", addr, "--to", to)
			}
			l.goesOn(t)
			l.end(t)
			_ = second.Process.Signal(syscall.SIGTERM)
			if err := second.Wait(); err != nil {
				t.Errorf("the second ended with %v", err)
			}
			t.Logf("%d connections", l.done.Load())
		})
	}
}

// TestRelayPassedElsewhere: a socket that no --listen is for is not left to itself.
func TestRelayPassedElsewhere(t *testing.T) {
	held := hold(t)
	out, err := passed(t, held, "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9").CombinedOutput()
	if want := "no --listen is for " + held.Addr().String(); err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, %s", err, out)
	}
}

// hold listens, and leaves accepting to others.
func hold(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // as systemd does, unless told to
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// passed is a relay that is given a socket as systemd does.
func passed(t *testing.T, held net.Listener, args ...string) *exec.Cmd {
	t.Helper()
	f, err := held.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec whoasked relay "$@"`, "relay", "--drain", "20s", "--max-rate", "1000000"}, args...)...)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Dir = t.TempDir()
	return cmd
}

// startPassed starts it and waits until it listens.
func startPassed(t *testing.T, held net.Listener, args ...string) *exec.Cmd {
	t.Helper()
	cmd := passed(t, held, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var said strings.Builder
	for s := bufio.NewScanner(stderr); s.Scan(); said.WriteString(s.Text() + "\n") {
		if strings.Contains(s.Text(), "listening at "+held.Addr().String()) {
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return cmd
		}
	}
	t.Fatalf("it does not listen: %s", said.String())
	return nil
}

// echo is the address of a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return echoing(t, l)
}

func heard(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
}

// load is clients that come one after the other, a few at a time.
type load struct {
	stop    chan struct{}
	once    sync.Once
	clients sync.WaitGroup
	done    atomic.Int64
	mu      sync.Mutex
	failed  []error
}

func beginLoad(addr string) *load {
	l := &load{stop: make(chan struct{})}
	for range 4 {
		l.clients.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				if err := visit(addr); err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, err)
					l.mu.Unlock()
					return
				}
				l.done.Add(1)
			}
		})
	}
	return l
}

// visit sends something through and wants it back.
func visit(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make([]byte, 5000)
	_, _ = rand.Read(sent)
	if _, err := c.Write(sent); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(got, sent) {
		err = fmt.Errorf("%d of %d bytes came back, or others", len(got), len(sent))
	}
	return err
}

// goesOn waits until so many more have come through.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	want := l.done.Load() + 100
	for deadline := time.Now().Add(30 * time.Second); l.done.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.end(t)
			t.Fatalf("%d connections went through, want %d", l.done.Load(), want)
		}
	}
}

// end stops the clients; it is an error if one of them failed.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.once.Do(func() {
		close(l.stop)
		l.clients.Wait()
		for _, err := range l.failed {
			t.Error(err)
		}
	})
}
