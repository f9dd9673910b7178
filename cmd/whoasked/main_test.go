package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this program the command whoasked, for scripts and tests.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"whoasked": main})
}

func TestScripts(t *testing.T) {
	p := newPeers(t)
	s := newSite(t, p)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("TERM", "xterm")
			env.Setenv("SITE", s.addr)                // asks as the first label of its name says
			env.Setenv("GORACE", "atexit_sleep_ms=0") // under the race detector every exit takes a second else
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":  cmdStatus,
			"capture": func(ts *testscript.TestScript, neg bool, args []string) { cmdCapture(ts, p, args) },
			"cut":     cmdCut,
		},
	})
}

// cmdStatus is "status N COMMAND ARG...": exec that demands an exit status.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [argument...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdCapture is "capture FILE CONNECTION...": it writes a pcap file of real
// handshakes. A connection is VERSION/REQUEST/CLIENT[/NAME], for instance
// 1.3/asked/cert, or "plain" for one without TLS. FILE.keys is their key log.
func cmdCapture(ts *testscript.TestScript, p *peers, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: capture FILE [CONNECTION...]")
	}
	var keys bytes.Buffer
	data, err := p.pcap(&keys, args[1:]...)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".keys"), keys.Bytes(), 0o600))
}

// cmdCut is "cut FILE N": it takes the last N bytes off a file.
func cmdCut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE N")
	}
	n, err := strconv.Atoi(strings.TrimSpace(args[1]))
	ts.Check(err)
	data := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(data[:len(data)-n]), 0o600))
}
