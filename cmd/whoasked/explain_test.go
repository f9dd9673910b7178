package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what docs/ holds of output")

// TestCausesDoc keeps docs/causes.md in step with the table.
func TestCausesDoc(t *testing.T) {
	name := filepath.Join("..", "..", "docs", "causes.md")
	want := causesDoc()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says; run this test with -update", name)
	}
}
