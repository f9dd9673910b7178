//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What the list is probed with.
const (
	listParallel = 256
	listTimeout  = 3 * time.Second
)

// listed is what came of the list.
type listed struct {
	targets, kinds, wrong int
	late                  int            // had no answer in time of a server that gives one
	right                 map[string]int // by what the server does
	Wall, CPU             time.Duration
	RSS                   int64
	files                 int // open at a time
	counts                counts
}

// list probes half servers, half what is dead, slow or hostile.
func (b *bench) list(ctx context.Context) (*listed, error) {
	s, err := startServer(ctx, "list")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var targets strings.Builder
	for i := range b.targets {
		fmt.Fprintln(&targets, address(i))
	}
	answers := filepath.Join(b.dir, "answers.jsonl")
	c := exec.CommandContext(ctx, b.whoasked, "probe", "--quiet", "--format", "json", "--output", answers, "--name", "www.contoso.test",
		"--parallel", fmt.Sprint(listParallel), "--timeout", listTimeout.String(), "-")
	c.Stdin, c.Stderr = strings.NewReader(targets.String()), os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	say("probing %d targets", b.targets)
	begun := time.Now()
	if err := c.Start(); err != nil {
		return nil, err
	}
	l := &listed{targets: b.targets, right: make(map[string]int)}
	done := make(chan struct{})
	go func() { l.files = mostFiles(c.Process.Pid, done); close(done) }()
	err = c.Wait()
	l.Wall = time.Since(begun)
	done <- struct{}{}
	<-done
	if err != nil {
		return nil, err
	}
	l.CPU, l.RSS = usage(c.ProcessState)
	if l.counts, err = s.counts(); err != nil {
		return nil, err
	}
	return l, l.check(answers)
}

// mostFiles is how many files a process had open at a time, looked at now and
// then until done has something.
func mostFiles(pid int, done <-chan struct{}) int {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	most := 0
	for {
		select {
		case <-done:
			return most
		case <-tick.C:
			if entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
				most = max(most, len(entries))
			}
		}
	}
}

// check holds every answer against what the server does.
func (l *listed) check(answers string) error {
	f, err := os.Open(answers)
	if err != nil {
		return err
	}
	defer f.Close()
	told := make(map[string]int)
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(line), `{"kind":"probe"`) {
			continue
		}
		var p probed
		if err := json.Unmarshal(line, &p); err != nil {
			return err
		}
		l.kinds++
		told[p.Server]++
		switch why := p.wrong(); {
		case why != "" && p.late():
			l.late++
		case why != "":
			if l.wrong++; l.wrong <= 20 {
				say("wrong: %s: %s", why, line)
			}
		}
	}
	const of = 7 // two versions × (two protocols, one resumed), and one later
	for i := range l.targets {
		at := address(i)
		if n := told[at.String()]; n != of {
			say("wrong: %v has %d answers, want %d", at, n, of)
			l.wrong++
			continue
		}
		l.right[kindOf(at.Addr()).name]++
	}
	return nil
}

// probed is what is read of an answer.
type probed struct {
	Server, Version, Demand, Because string
	Resumed, Asked                   int
	Reasons                          []struct{ Reason string }
}

// late reports whether time was too short, which a busy machine makes it: that
// leaves an answer open, and is told.
func (p *probed) late() bool {
	reason := p.Because
	for _, r := range p.Reasons {
		reason += r.Reason
	}
	return p.Demand == "unknown" && (strings.Contains(reason, "no answer in time") || strings.Contains(reason, "kept silent"))
}

// wrong says what of an answer is not so; empty if all is right.
func (p *probed) wrong() string {
	var at [4]byte
	if _, err := fmt.Sscanf(p.Server, "%d.%d.%d.%d", &at[0], &at[1], &at[2], &at[3]); err != nil {
		return err.Error()
	}
	k := kindOfBytes(at)
	speaks := k.demand != "" && (k.version == 0 || p.Version == map[uint16]string{0x303: "TLS 1.2", 0x304: "TLS 1.3"}[k.version])
	switch {
	case !speaks && (p.Demand != "unknown" || p.Asked > 0 || len(p.Reasons) == 0):
		return "not left open with a reason"
	case speaks && p.Resumed > 0 && p.Demand != "not-requested":
		return "a resumed session is not asked"
	case speaks && p.Resumed == 0 && p.Demand != k.demand:
		return "want " + k.demand
	}
	return ""
}

func (l *listed) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d targets, %d kinds of connection, %d wrong, %d out of time: %.0f s, CPU %.1f s, %.1f MiB, at most %d files open\n",
		l.targets, l.kinds, l.wrong, l.late, l.Wall.Seconds(), l.CPU.Seconds(), float64(l.RSS)/(1<<20), l.files)
	fmt.Fprintf(w, "servers saw %d connections, %d full handshakes; at a time at most %d, at one address %d\n",
		l.counts.Connections, l.counts.Full, l.counts.MostOpen, l.counts.MostAtOne)
	seen := make(map[string]bool)
	for i := range kinds {
		if name := kinds[i].name; !seen[name] {
			seen[name] = true
			fmt.Fprintf(w, "  %5d %s\n", l.right[name], name)
		}
	}
}
