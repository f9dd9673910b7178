package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manyHalfOpen is the environment variable that asks for more than a few clients
// that do not say where to go.
const manyHalfOpen = "WHOASKED_HALF_OPEN"

// TestRelayHalfOpen: clients that connect and say nothing, or one byte at a time,
// cost little memory, the same however often they come, are sent away in time,
// counted, and keep nobody else out.
func TestRelayHalfOpen(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds for them to be sent away")
	}
	n := 300
	if v := os.Getenv(manyHalfOpen); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 1 {
			t.Fatalf("%s=%q is no number of clients", manyHalfOpen, v)
		}
	}
	to, held := echo(t), hold(t)
	output := filepath.Join(t.TempDir(), "told")
	patience := time.Second + time.Duration(n)*time.Millisecond
	most, rate := strconv.Itoa(n+10), "1000000"
	// What lies about uncollected would hide what is kept.
	t.Setenv("GOMEMLIMIT", strconv.Itoa(24<<20+n*6<<10))
	relay := startPassed(t, held, "--listen", held.Addr().String(), "--to", "connect", "--handshake", patience.String(), "--keep-privileges",
		"--max-connections", most, "--max-per-client", most, "--max-rate", rate, "--format", "json", "--output", output)
	before := resident(t, relay.Process.Pid)
	var peaks []int64
	const waves = 3
	for range waves {
		clients := make([]net.Conn, n)
		begun := time.Now()
		for i := range clients {
			c, err := net.Dial("tcp", held.Addr().String())
			if err != nil {
				t.Fatalf("client %d: %v", i, err)
			}
			defer c.Close()
			clients[i] = c
			if i%2 == 0 {
				_, _ = io.WriteString(c, "C")
			}
		}
		for i := 0; i < n; i += 2 {
			_, _ = io.WriteString(clients[i], "O") // some are away already on a busy machine
		}
		if err := proxied(held.Addr().String(), to); err != nil {
			t.Errorf("another client: %v", err)
		}
		opened := time.Since(begun)
		peaks = append(peaks, resident(t, relay.Process.Pid))
		for i, c := range clients {
			_ = c.SetReadDeadline(begun.Add(opened + patience + 20*time.Second))
			if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Fatalf("client %d is still there", i)
			}
			c.Close()
		}
		t.Logf("%d clients in %v, all sent away by %v", n, opened.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	}
	const allowance = 8 << 20 // of the runtime, which gives back what it likes when it likes
	each := (peaks[0] - before) / int64(n)
	if most := int64(n)*20<<10 + allowance; peaks[0]-before > most {
		t.Errorf("%d clients took %d KiB, want %d at most", n, (peaks[0]-before)>>10, most>>10)
	}
	if last := peaks[waves-1]; last > peaks[0]*5/4+allowance {
		t.Errorf("memory grew with each wave: %d bytes", peaks)
	}
	t.Logf("%d KiB before, then %d KiB with each wave: %d bytes a client", before>>10, kib(peaks), each)

	_ = relay.Process.Signal(syscall.SIGTERM)
	if err := relay.Wait(); err != nil {
		t.Error(err)
	}
	told, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	counted, lines := 0, 0
	for line := range bytes.Lines(told) {
		var note struct {
			Note, Text string
			Count      int
		}
		if err := json.Unmarshal(line, &note); err != nil {
			t.Fatal(err)
		}
		switch {
		case note.Note == "relay-total" && strings.HasPrefix(note.Text, "a client did not say where"):
			counted = note.Count
		case note.Note == "relay-no-target":
			lines++
		}
	}
	if counted != waves*n || lines == 0 || n > 1000 && lines > n {
		t.Errorf("%d were counted of %d, in %d lines", counted, waves*n, lines)
	}
}

func kib(bytes []int64) (out []int64) {
	for _, b := range bytes {
		out = append(out, b>>10)
	}
	return out
}

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// proxied goes to a server and back through a proxy.
func proxied(proxy, to string) error {
	c, err := net.DialTimeout("tcp", proxy, 20*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\n\r\nping", to)
	const want = "HTTP/1.1 200 Connection established\r\n\r\nping"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		return fmt.Errorf("it got %q, %w", got, err)
	}
	return nil
}
