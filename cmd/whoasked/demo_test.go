package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What surrounds the session of the demo in documents.
const begin, end = "```console\n$ whoasked demo\n", "```\n"

// TestSeedIncidentDoc keeps the session in docs/seed-incident.md in step with
// what the command prints.
func TestSeedIncidentDoc(t *testing.T) {
	printed := demonstration(t)
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
		got = printed
		if err := os.WriteFile(name, []byte(before+begin+got+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got != printed {
		t.Errorf("%s is not what the command prints; run this test with -update\n%s", name, printed)
	}
}

// TestReadmeSession holds the parts of the session in the README, between which it
// leaves something out (…), against what the command prints.
func TestReadmeSession(t *testing.T) {
	printed := demonstration(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), begin)
	session, _, ended := strings.Cut(rest, end)
	if !found || !ended || !strings.HasPrefix(printed, session[:strings.Index(session, "\n")]) {
		t.Fatal("README.md holds no session, or none from the beginning")
	}
	for part := range strings.SplitSeq(session, "…\n") {
		_, after, found := strings.Cut(printed, part)
		if !found {
			t.Fatalf("README.md shows this:\n%s\nwhich is not in what the command prints:\n%s", part, printed)
		}
		printed = after
	}
}

// demonstration is what the demo prints on a terminal of 100 columns.
func demonstration(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("whoasked", "demo")
	cmd.Dir = t.TempDir() // no configuration
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+cmd.Dir, "COLUMNS=100")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("whoasked demo: %v\n%s", err, stderr.String())
	}
	return stdout.String()
}
