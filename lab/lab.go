//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Lab is what one test works in. Everything it starts ends with the test.
type Lab struct {
	T   testing.TB
	Net *Net
	PKI *PKI
	// Dir is removed at the end; servers that drop their privileges can read it.
	Dir string

	build *sync.Once // of gopeer
}

// New makes a Lab, or skips the test where a tool or a right is missing.
func New(t testing.TB, tools ...string) *Lab {
	t.Helper()
	Need(t, append([]string{"ip", "tcpdump", "bash", "openssl"}, tools...)...)
	dir := t.TempDir()
	// The directory made for the whole test is closed to other users.
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &Lab{T: t, Net: NewNet(t), PKI: NewPKI(t, filepath.Join(dir, "pki")), Dir: dir, build: new(sync.Once)}
}

// With returns the same Lab for a subtest: what it starts ends with that.
func (l *Lab) With(t testing.TB) *Lab {
	c := *l
	c.T = t
	return &c
}

// Need skips the test unless the lab was asked for, by WHOASKED_LAB, it runs as
// root and every tool is on the path.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	if os.Getenv("WHOASKED_LAB") == "" {
		t.Skip("set WHOASKED_LAB=run to start real servers and clients in network namespaces")
	}
	var missing []string
	slices.Sort(tools)
	for _, tool := range slices.Compact(tools) {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	switch {
	case len(missing) > 0:
		unavailable(t, "not installed: "+strings.Join(missing, ", ")+" (see lab/packages.txt)")
	case os.Geteuid() != 0:
		unavailable(t, "creating network namespaces needs root")
	}
}

// unavailable ends a test that cannot run here.
func unavailable(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("WHOASKED_LAB") == "require" {
		t.Fatalf("WHOASKED_LAB=require, but %s", why)
	}
	t.Skip(why)
}

// File writes a file into Dir and returns its path.
func (l *Lab) File(name, content string) string {
	l.T.Helper()
	path := filepath.Join(l.Dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		l.T.Fatal(err)
	}
	return path
}

// dir makes a directory in Dir, if it is not there, and returns its path.
func (l *Lab) dir(name string) string {
	l.T.Helper()
	path := filepath.Join(l.Dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		l.T.Fatal(err)
	}
	return path
}

// goPeer builds the Go server and client once and returns its path.
func (l *Lab) goPeer() string {
	l.T.Helper()
	l.build.Do(func() {
		if err := goBuild(filepath.Join(l.Dir, "gopeer-bin"), "whoasked/lab/gopeer"); err != nil {
			l.T.Error(err)
		}
	})
	return filepath.Join(l.Dir, "gopeer-bin")
}

// racing reports whether programs are to be built with the race detector, for
// tests that look at what it says. They keep their privileges then.
func racing() bool { return os.Getenv("WHOASKED_RACE") != "" }

// goBuild makes the static binary of a command of this module.
func goBuild(path, pkg string) error {
	c := exec.Command("go", "build", "-o", path, pkg)
	c.Env = append(os.Environ(), "CGO_ENABLED=0") // with cgo not all threads can give up privileges
	if racing() {
		c = exec.Command("go", "build", "-race", "-o", path, pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
