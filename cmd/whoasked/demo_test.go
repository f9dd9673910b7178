package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSeedIncidentDoc keeps the session in docs/seed-incident.md in step with
// what the command prints.
func TestSeedIncidentDoc(t *testing.T) {
	const begin, end = "```console\n$ whoasked demo\n", "```\n"
	cmd := exec.Command("whoasked", "demo")
	cmd.Dir = t.TempDir() // no configuration
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+cmd.Dir, "COLUMNS=100")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("whoasked demo: %v\n%s", err, stderr.String())
	}
	name := filepath.Join("..", "..", "docs", "seed-incident.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s holds no session", name)
	}
	if *update {
		got = stdout.String()
		if err := os.WriteFile(name, []byte(before+begin+got+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got != stdout.String() {
		t.Errorf("%s is not what the command prints; run this test with -update\n%s", name, stdout.String())
	}
}
