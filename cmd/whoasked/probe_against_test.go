package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProbeAgainst: what differs from a saved run is told, in text and JSON, and
// by the exit status.
func TestProbeAgainst(t *testing.T) {
	s := newSite(t, newPeers(t))
	dir := t.TempDir()
	before := filepath.Join(dir, "before.jsonl")
	s.left.Store(1 << 20)
	probe := func(args ...string) (string, int) {
		t.Helper()
		out := filepath.Join(dir, "out")
		var stderr bytes.Buffer
		root := newRoot(&terminal{err: &stderr})
		root.SetArgs(append([]string{"probe", "--output", out, "--name", "changing.contoso.test", "--exit-code", "https://" + s.addr}, args...))
		var status exitStatus
		if err := root.ExecuteContext(t.Context()); err != nil && !errors.As(err, &status) {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(data)), " "), int(status)
	}
	if _, status := probe("--save", before); status != exitAsked {
		t.Fatalf("exit status %d", status)
	}
	if text, status := probe("--against", before); status != exitFine || !strings.Contains(text, "5 kinds of connection in both, 0 differ") {
		t.Errorf("exit status %d\n%s", status, text)
	}
	s.left.Store(0)
	text, status := probe("--against", before, "--as", "chrome")
	if status != exitAsked || !strings.Contains(text, "What differs - changing.contoso.test at "+s.addr+": asked in 5 of 5 (optional) then, asked in 0 of 5 now") ||
		!strings.Contains(text, "5 kinds of connection in both, 5 differ") {
		t.Errorf("exit status %d\n%s", status, text)
	}
	text, _ = probe("--against", before, "--format", "json", "--tls", "1.3")
	for _, want := range []string{`"kind":"finding"`, `"factor":"run"`, `"values":[{"value":"then","asked":3,"of":3},{"value":"now","asked":0,"of":3}]`, `"server":"` + s.addr, `"note":"compared"`, "2 are in one only"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	// A file may be compared with and replaced in one run.
	if _, status := probe("--against", before, "--save", before); status != exitAsked {
		t.Errorf("exit status %d, want %d", status, exitAsked)
	}
	if _, status := probe("--against", before); status != exitFine {
		t.Errorf("exit status %d after saving, want %d", status, exitFine)
	}
}

func TestProbeAgainstRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ text, want string }{
		"empty":      {"", "holds nothing that was probed"},
		"others":     {`{"kind":"note","note":"x","count":1,"text":"x"}` + "\n", "holds nothing that was probed"},
		"no JSON":    {"hello\n", "line 1: is no line of whoasked"},
		"a list":     {"[1]\n", "line 1: is no line of whoasked"},
		"no server":  {`{"kind":"probe","version":"TLS 1.2","demand":"optional"}` + "\n", "line 1: names no server"},
		"no demand":  {`{"kind":"probe","server":"198.18.0.1:443","version":"TLS 1.2","demand":"strong"}` + "\n", `"strong" is no demand`},
		"below zero": {`{"kind":"probe","server":"198.18.0.1:443","version":"TLS 1.2","demand":"optional","sent":1,"asked":-1}` + "\n", "counts what cannot be"},
		"long":       {strings.Repeat("x", 5<<20), "line 1 has more than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			root := newRoot(&terminal{err: new(bytes.Buffer)})
			root.SetArgs([]string{"probe", "--against", file, "127.0.0.1:1"})
			if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	for _, args := range [][]string{{"--against", filepath.Join(dir, "nothing")}, {"--save", "-"}, {"--save", dir}} {
		root := newRoot(&terminal{err: new(bytes.Buffer)})
		root.SetArgs(append([]string{"probe", "127.0.0.1:1"}, args...))
		if err := root.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
