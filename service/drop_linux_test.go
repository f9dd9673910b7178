//go:build linux && !cgo

package service

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const childDir = "WHOASKED_TEST_DROP"

// attempts are made after Drop, by a thread of the process; each but the first
// has to fail.
var attempts = []struct {
	name string
	try  func(dir string) error
}{
	{"write in its folder", func(dir string) error { return os.WriteFile(filepath.Join(dir, "own", "a"), nil, 0o600) }},
	{"write elsewhere", func(dir string) error { return os.WriteFile(filepath.Join(dir, "open", "a"), nil, 0o600) }},
	{"read elsewhere", func(dir string) error { _, err := os.ReadFile(filepath.Join(dir, "open", "there")); return err }},
	{"packet socket", func(string) error { return socket(unix.AF_PACKET, unix.SOCK_DGRAM) }},
	{"raw socket", func(string) error { return socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC) }},
	{"raw IPv6 socket", func(string) error { return socket(unix.AF_INET6, unix.SOCK_RAW) }},
	{"start a program", func(string) error { return unix.Exec("/bin/true", []string{"true"}, nil) }},
	{"trace", func(string) error { return unix.PtraceAttach(1) }},
	{"become root", func(string) error { return unix.Setuid(0) }},
	{"make a namespace", func(string) error { return unix.Unshare(unix.CLONE_NEWUSER) }},
}

func socket(family, kind int) error {
	fd, err := unix.Socket(family, kind, 1)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// TestChild gives up its privileges for TestDrop.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("started by TestDrop only")
	}
	// Threads from before have to be held to it, too.
	const threads = 4
	var ready, done sync.WaitGroup
	dropped := make(chan struct{})
	var mu sync.Mutex
	for range threads {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-dropped
			for i, a := range attempts {
				if err := a.try(dir); (err == nil) != (i == 0) {
					mu.Lock()
					fmt.Printf("wrong: %s: %v\n", a.name, err)
					mu.Unlock()
				}
			}
		})
	}
	ready.Wait()
	out := Drop(Options{User: "nobody", Writes: []string{filepath.Join(dir, "own")}})
	close(dropped)
	done.Wait()
	if len(out.Kept) > 0 {
		fmt.Printf("wrong: kept %q\n", out.Kept)
	}
	fmt.Println("ready:", out.String())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// TestDrop proves from outside, and by trying, that a process has given up what
// it had, in each of its threads.
func TestDrop(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has something to give up")
	}
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := Own(filepath.Join(dir, "own"), "nobody"); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.WriteFile(filepath.Join(open, "there"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	ready := false
	for lines := bufio.NewScanner(pipe); !ready && lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "wrong") {
			t.Error(line)
		}
		if ready = strings.HasPrefix(line, "ready"); ready {
			t.Log(line)
		}
	}
	if !ready {
		t.Fatal("the process has ended")
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
	if len(tasks) < 5 {
		t.Errorf("%d threads", len(tasks))
	}
	for _, name := range tasks {
		status, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // a thread that has ended since
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
			"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
			"Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534", "Groups:\t \n",
		} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, status)
			}
		}
	}
}

// TestPermits: who may write where, by the bits of every folder on the way.
func TestPermits(t *testing.T) {
	dir := t.TempDir()
	if permits(dir, 65534, 65534, 3) || permits(filepath.Join(dir, "missing"), os.Getuid(), os.Getgid(), 1) {
		t.Error("a folder that is closed, or missing, is not")
	}
	if !permits("/", 65534, 65534, 1) || !permits(os.TempDir(), 65534, 65534, 3) {
		t.Error("open folders are not")
	}
}
