package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadMistakes: what cannot be meant is refused before anything is read.
func TestReadMistakes(t *testing.T) {
	b, err := newPeers(t).pcap(nil, "1.2/asked/none")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "client.pcap")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"no capture given":                  {},
		"standard input (-) is named twice": {"-", "-"},
		"is a packet capture":               {"--keylog", name, name},
	} {
		root := newRoot(&terminal{err: io.Discard})
		root.SetArgs(append([]string{"read"}, args...))
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

// TestOpenPipe: a pipe that nobody writes to does not keep a signal from ending the
// program.
func TestOpenPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if r, err := fileInput(name).open(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", r, err)
	}
	// Lets the one who waits go on.
	if f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		f.Close()
	}
}
