//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPrivileges: watch, started as root, has nothing left once it is ready.
func TestPrivileges(t *testing.T) {
	Need(t, "ip", "go")
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := theProgram(t)
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	if err := os.Chmod(filepath.Join(dir, "notify"), 0o777); err != nil {
		t.Fatal(err)
	}
	ns := newHosts(t).router
	cmd := ns.Command(program, "watch", "-i", "lab1", "-i", "lab2", "--output", filepath.Join(dir, "log", "watch.log"), "--evidence", filepath.Join(dir, "evidence"))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "XDG_CONFIG_HOME="+filepath.Join(dir, "none"))
	p := Start(t, cmd)
	if err := told.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 100)
	n, err := told.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		t.Fatalf("systemd is told %q, %v", message[:n], err)
	}
	n = unprivileged(t, cmd.Process.Pid, "0000000000000000")
	t.Logf("%d threads without privileges", n)
	if out := p.Output(); !strings.Contains(out, "gave up privileges: root for nobody") || strings.Contains(out, "could not") {
		t.Errorf("it says:\n%s", out)
	}
}

// unprivileged demands that all threads of a process belong to nobody and have
// these capabilities only, which none can add to. It returns how many there are.
func unprivileged(t *testing.T, pid int, capabilities string) int {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if len(tasks) == 0 {
		t.Fatal("no threads")
	}
	for _, name := range tasks {
		status, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // a thread that has ended since
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"Name:\twhoasked", "CapInh:\t0000000000000000", "CapPrm:\t" + capabilities, "CapEff:\t" + capabilities,
			"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
			"Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534",
		} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, status)
			}
		}
	}
	return len(tasks)
}
