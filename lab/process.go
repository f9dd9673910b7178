//go:build linux

package lab

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a command that runs beside the test. Its process group ends with
// the test at the latest; if the test failed, its output is logged.
type Process struct {
	cmd  *exec.Cmd
	out  output
	done chan struct{}
}

// Start starts cmd, which should come from [Namespace.Command]. To talk to it,
// take cmd.StdinPipe first; a reader as cmd.Stdin has to end by itself.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, done: make(chan struct{}), out: output{changed: make(chan struct{})}}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.out
	}
	cmd.Stderr = &p.out
	cmd.WaitDelay = 2 * time.Second // a grandchild may hold the pipe
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", strings.Join(cmd.Args, " "), err)
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			fmt.Fprintf(&p.out, "[%v]\n", err)
		}
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			out := p.Output()
			t.Logf("%.200s:\n%s", strings.Join(cmd.Args, " "), out[max(0, len(out)-2000):])
		}
	})
	return p
}

// Signal signals the process, not its group.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Stop kills the process group and waits for the process to be gone.
func (p *Process) Stop() {
	// The group outlives its leader; it is gone only when kill finds nothing.
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		// Input that never ends holds up Wait; other processes are to be stopped.
		fmt.Fprintln(&p.out, "[killed, but its input did not end]")
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Output returns the last 64 KiB of what the process has written.
func (p *Process) Output() string { return p.out.String() }

// WaitFor waits until the process has written text. The test fails if the
// process ends first or a minute passes.
func (p *Process) WaitFor(t testing.TB, text string) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		changed := p.out.next()
		if strings.Contains(p.Output(), text) {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			if strings.Contains(p.Output(), text) {
				return
			}
			t.Fatalf("%s ended without %q:\n%s", p.cmd.Args, text, p.Output())
		case <-limit:
			t.Fatalf("%s did not write %q in a minute:\n%s", p.cmd.Args, text, p.Output())
		}
	}
}

// output keeps the end of what is written to it.
type output struct {
	mu      sync.Mutex
	buf     []byte
	changed chan struct{} // closed at the next write
}

func (o *output) Write(b []byte) (int, error) {
	const keep = 64 << 10
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, b...)
	if n := len(o.buf); n > 2*keep {
		o.buf = append(o.buf[:0], o.buf[n-keep:]...)
	}
	close(o.changed)
	o.changed = make(chan struct{})
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}

func (o *output) next() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.changed
}
