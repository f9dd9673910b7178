//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// program is whoasked, built once for all tests: linking it takes seconds.
var program struct {
	once sync.Once
	dir  string
	err  error
}

// theProgram returns the path of whoasked.
func theProgram(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "whoasked-lab-"); program.err != nil {
			return
		}
		if program.err = os.Chmod(program.dir, 0o755); program.err != nil {
			return
		}
		program.err = goBuild(filepath.Join(program.dir, "whoasked"), "whoasked/cmd/whoasked")
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.dir, "whoasked")
}

// buildProgram returns the path of whoasked in the folder of a Lab.
func buildProgram(t *testing.T, l *Lab) string {
	t.Helper()
	path := filepath.Join(l.Dir, "whoasked-bin")
	if err := os.Link(theProgram(t), path); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir)
	}
	os.Exit(code)
}
