package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestRelayKernel: once the answer is final, what a connection carries is not read
// any more, in each format that tells as it goes, and
// with keys at hand that are of no use.
func TestRelayKernel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("splicing, and the count of bytes that a process reads, are Linux's")
	}
	own := contoso(t)
	to := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{own}})
	others := filepath.Join(t.TempDir(), "keys") // which are tried for a while
	if err := os.WriteFile(others, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"log":          {"--format", "log"},
		"json":         {"--format", "json"},
		"keys of none": {"--format", "log", "--keylog", others},
	} {
		t.Run(name, func(t *testing.T) {
			addr, told, process := startRelayProcess(t, append(args, "--to", to)...)
			conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			block := make([]byte, 256<<10)
			echo := func() {
				if _, err := conn.Write(block); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, block); err != nil {
					t.Fatal(err)
				}
			}
			go func() { // so that it is not held up by its own lines
				for range told {
				}
			}()
			// It settles a moment behind the bytes that decide: how soon, is not
			// what is asked here.
			for deadline := time.Now().Add(15 * time.Second); ; {
				before := bytesRead(t, process)
				for range 8 {
					echo()
				}
				if read := bytesRead(t, process) - before; read < int64(len(block)) {
					return
				} else if time.Now().After(deadline) {
					t.Fatalf("%d bytes read of %d that passed", read, 16*len(block))
				}
			}
		})
	}
}

// bytesRead is how much a process has read so far; what was spliced is not in it.
func bytesRead(t *testing.T, p *os.Process) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.Pid))
	if err != nil {
		t.Skipf("no count: %v", err)
	}
	var n int64
	if _, err := fmt.Sscanf(strings.TrimSpace(string(b)), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}
