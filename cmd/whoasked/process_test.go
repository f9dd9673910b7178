package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// bulky is a capture of at least size bytes.
func bulky(t *testing.T, size int) []byte {
	t.Helper()
	p := newPeers(t)
	one, err := p.pcap(nil, "1.2/asked/none")
	if err != nil {
		t.Fatal(err)
	}
	const header = 24
	out := bytes.Clone(one)
	for len(out) < size {
		out = append(out, one[header:]...)
	}
	return out
}

// TestInterrupt: a signal ends the reading of a pipe that stays open, and what
// was known by then is told.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	cmd := exec.Command("whoasked", "read", "--format", "json", "-")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Dir = t.TempDir()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// When this returns, most of it was read: more than pipes and buffers hold.
	if _, err := stdin.Write(bulky(t, 8<<20)); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitSignal {
		t.Errorf("got %v, want exit status %d", err, exitSignal)
	}
	if !strings.Contains(stderr.String(), "whoasked: note: interrupted") || strings.Contains(stderr.String(), "error") {
		t.Errorf("standard error:\n%s", &stderr)
	}
	if !strings.Contains(stdout.String(), `"asked":"yes"`) || !strings.Contains(stdout.String(), `"kind":"asker"`) {
		t.Errorf("what was known is not told:\n%.2000s", &stdout)
	}
}

// TestBrokenPipe: a reader that has seen enough is no error.
func TestBrokenPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "bulky.pcap")
	if err := os.WriteFile(name, bulky(t, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json", "log"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("whoasked", "read", "--format", format, name)
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
		cmd.Dir = t.TempDir()
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = w, &stderr
		r.Close()
		err = cmd.Run()
		w.Close()
		if stderr.Len() > 0 {
			t.Errorf("%s: %v, standard error:\n%s", format, err, &stderr)
		}
	}
}

// TestInterruptBeforeTheFirstByte: nothing has come yet, and nothing will.
func TestInterruptBeforeTheFirstByte(t *testing.T) {
	hanging, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openStream(ctx, hanging, "pipe"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v from a stream that hangs", err)
	}
}

func TestVersion(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, tc := range []struct {
		stamped string
		info    *debug.BuildInfo
		want    []string
	}{
		{want: []string{"whoasked devel"}},
		{info: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, want: []string{"whoasked devel"}},
		{info: &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, want: []string{"whoasked v1.2.3"}},
		{stamped: "v9", info: &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, want: []string{"whoasked v9"}},
		{
			info: &debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.revision", "abc"), setting("vcs.modified", "true")}},
			want: []string{"whoasked devel", "commit abc, modified"},
		},
		{
			info: &debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.modified", "false"), setting("vcs.revision", "abc")}},
			want: []string{"whoasked devel", "commit abc"},
		},
	} {
		var b strings.Builder
		if err := printVersion(&b, tc.stamped, tc.info); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(b.String()), "\n")
		if last := len(got) - 1; !strings.HasPrefix(got[last], "go1.") || !slices.Equal(got[:last], tc.want) {
			t.Errorf("got %q, want %q and the toolchain", got, tc.want)
		}
	}
}
