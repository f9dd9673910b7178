//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Ends of the wire.
const (
	sending   = "wire0"
	capturing = "wire1"
)

// sent is what the sender did.
type sent struct {
	Packets, Syns, Bytes int64
	Seconds              float64
	CPU                  time.Duration
}

func (s *sent) rate() float64 { return float64(s.Packets+s.Syns) / s.Seconds }

// send replays a capture and waits for its end.
func (b *bench) send(ctx context.Context, path string, speed float64, syns int, more ...string) (*sent, error) {
	args := append([]string{sending, path, strconv.FormatFloat(speed, 'g', -1, 64), strconv.Itoa(syns)}, more...)
	cmd := exec.CommandContext(ctx, b.sender, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	s := &sent{CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	return s, json.Unmarshal(out, s)
}

// capturer is a program that captures.
type capturer struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	out    string // file of what it writes
	// Of a program that has ended.
	cpu  time.Duration
	peak int64 // most resident memory, in bytes
}

// start starts a program and returns when it captures. What it writes goes to a
// file, unless stdout is given.
func (b *bench) start(ctx context.Context, stdout *os.File, name string, args ...string) (*capturer, error) {
	c := &capturer{cmd: exec.CommandContext(ctx, name, args...)}
	c.cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME=/nonexistent")
	c.cmd.Stderr = &c.stderr
	if stdout == nil {
		f, err := os.Create(filepath.Join(b.dir, "answers.jsonl"))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdout, c.out = f, f.Name()
	}
	c.cmd.Stdout = stdout
	before, err := sockets()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		n, err := sockets()
		if err != nil {
			return nil, err
		}
		if n > before {
			return c, nil
		}
		if time.Now().After(limit) {
			_ = c.cmd.Process.Kill()
			return nil, fmt.Errorf("%s does not capture: %s", name, &c.stderr)
		}
	}
}

// sockets counts the packet sockets in the namespace that run.
func sockets() (n int, err error) {
	list, err := os.ReadFile("/proc/self/net/packet")
	for line := range strings.Lines(string(list)) {
		// sk RefCnt Type Proto Iface R Rmem User Inode
		if f := strings.Fields(line); len(f) == 9 && f[5] == "1" {
			n++
		}
	}
	return n, err
}

func (b *bench) watch(ctx context.Context, stdout *os.File, more ...string) (*capturer, error) {
	args := append([]string{"watch", "-i", capturing, "--format", "json"}, more...)
	return b.start(ctx, stdout, b.whoasked, append(args, b.extra...)...)
}

func (b *bench) tcpdump(ctx context.Context, more ...string) (*capturer, error) {
	return b.start(ctx, nil, "tcpdump", append([]string{"-i", capturing, "-n", "-Z", "root"}, more...)...)
}

// stop ends a program by SIGINT; what is in its buffers it reads first.
func (c *capturer) stop() error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return err
	}
	c.peak = figureIn(string(status), `VmHWM:\s*(\d+) kB`) << 10
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	c.cpu = c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
	return nil
}

// lost is how many packets tcpdump says to have lost, of how many that came.
func (c *capturer) lost() (lost, all int64) {
	return figureIn(c.stderr.String(), `(\d+) packets? dropped by kernel`), figureIn(c.stderr.String(), `(\d+) packets? received by filter`)
}

// figureIn is the number that a pattern finds, 0 for none.
func figureIn(text, pattern string) int64 {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // digits
	return n
}
