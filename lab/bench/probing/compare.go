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
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// tool is what probes a list of addresses.
type tool struct {
	name    string
	command string // for bash; FILE is the list, WORKERS how many at a time, SECONDS the limit
	many    bool   // quick enough for the long list
	once    bool   // in one round only, with a target for each worker
}

func (b *bench) tools() []tool {
	self, _ := os.Executable()
	each := "xargs -a FILE -P WORKERS -I{} "
	return []tool{
		{name: "whoasked", many: true, command: b.whoasked + " probe --quiet --format json --output /dev/null --tls 1.3 --alpn http/1.1" +
			" --resume=false --later=false --name www.contoso.test --parallel WORKERS - <FILE"},
		{name: "crypto/tls loop", many: true, command: self + " loop FILE WORKERS"},
		{name: "openssl s_client", command: each + "sh -c 'printf \"GET / HTTP/1.0\\r\\n\\r\\n\" |" +
			" openssl s_client -connect {} -servername www.contoso.test -tls1_3 -ign_eof >/dev/null 2>&1 || true'"},
		{name: "sslscan", command: each + "sslscan --no-colour --show-client-cas --no-ciphersuites --no-fallback --no-renegotiation" +
			" --no-compression --no-heartbleed --no-groups --tls13 --sni-name=www.contoso.test {} >/dev/null"},
		{name: "testssl.sh", once: true, command: each + "sh -c 'timeout SECONDS testssl --color 0 --quiet --warnings off --ip one --nodns min" +
			" --openssl /usr/bin/openssl -H https://{}/ </dev/null | grep -a -m1 \"Service detected\" || true'"},
	}
}

// run is one run of a tool.
type run struct {
	Targets int
	Counts  counts
	Wall    time.Duration
	CPU     time.Duration // of the tool, user and system
	RSS     int64         // bytes; of the largest of its processes
	Said    int           // answers that testssl.sh printed
}

func (r *run) handshakes() float64 { return float64(r.Counts.Full) / r.Wall.Seconds() }
func (r *run) perTarget() float64  { return float64(r.Targets) / r.Wall.Seconds() }

type result struct {
	parallel int
	limit    time.Duration
	names    []string
	runs     map[string][]run
}

// server is the fleet in a process of its own.
type server struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startServer(ctx context.Context, how string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.CommandContext(ctx, self, "serve", how)}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := s.out.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the servers did not start: %w", err)
	}
	return s, nil
}

// counts are those since the last call.
func (s *server) counts() (c counts, err error) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return c, err
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(line, &c)
}

func (s *server) stop() {
	s.in.Close()
	_ = s.cmd.Wait()
}

// comparison runs the tools in turn, backwards every second round.
func (b *bench) comparison(ctx context.Context) error {
	s, err := startServer(ctx, "same")
	if err != nil {
		return err
	}
	defer s.stop()
	b.out = result{parallel: b.parallel, limit: b.limit, runs: make(map[string][]run)}
	tools := b.tools()
	for _, t := range tools {
		b.out.names = append(b.out.names, t.name)
	}
	for round := range b.rounds {
		for _, t := range tools {
			if t.once && round > 0 {
				continue
			}
			r, err := b.measure(ctx, s, &t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			say("round %d  %-17s %6d targets %7d handshakes %8.2f s  CPU %7.2f s", round+1, t.name, r.Targets, r.Counts.Full, r.Wall.Seconds(), r.CPU.Seconds())
			b.out.runs[t.name] = append(b.out.runs[t.name], *r)
		}
		slices.Reverse(tools)
	}
	return nil
}

func (b *bench) measure(ctx context.Context, s *server, t *tool) (*run, error) {
	n := b.few
	switch {
	case t.many:
		n = b.many
	case t.once:
		n = b.parallel
	}
	file := filepath.Join(b.dir, "targets")
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "%s:%d\n", address(i).Addr(), portServe)
	}
	if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
		return nil, err
	}
	command := strings.NewReplacer("FILE", file, "WORKERS", fmt.Sprint(b.parallel), "SECONDS", fmt.Sprint(int(b.limit.Seconds()))).Replace(t.command)
	c := exec.CommandContext(ctx, "bash", "-c", command)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Stderr = os.Stderr
	if _, err := s.counts(); err != nil {
		return nil, err
	}
	begun := time.Now()
	out, err := c.Output()
	r := &run{Targets: n, Wall: time.Since(begun), Said: strings.Count(string(out), "\n")}
	if err != nil {
		return nil, err
	}
	r.CPU, r.RSS = usage(c.ProcessState)
	r.Counts, err = s.counts()
	return r, err
}

// usage is what a process and those it waited for have used.
func usage(p *os.ProcessState) (cpu time.Duration, rss int64) {
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		rss = int64(u.Maxrss) << 10
	}
	return p.UserTime() + p.SystemTime(), rss
}

// median takes the middle of what value says of the runs.
func median(runs []run, value func(*run) float64) float64 {
	var v []float64
	for i := range runs {
		v = append(v, value(&runs[i]))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (r *result) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d connections at a time, TLS 1.3, medians of %d rounds; full handshakes as the servers count them\n\n", r.parallel, len(r.runs["whoasked"]))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "tool\thandshakes/s\ttargets/s\thandshakes/target\tCPU ms/target\twhoasked, handshakes\twhoasked, targets")
	own := r.runs["whoasked"]
	hs, tg := median(own, (*run).handshakes), median(own, (*run).perTarget)
	for _, name := range r.names {
		runs := r.runs[name]
		if runs[0].Counts.Full == 0 {
			fmt.Fprintf(t, "%s\t0\t\tnone in time\t\t\t\n", name)
			continue
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.2f\t%.1f\t%.2f\t× %.2f\t× %.2f\n", name,
			median(runs, (*run).handshakes), median(runs, (*run).perTarget),
			median(runs, func(r *run) float64 { return float64(r.Counts.Full) / float64(r.Targets) }),
			median(runs, func(r *run) float64 { return float64(r.CPU.Microseconds()) / 1000 / float64(r.Targets) }),
			hs/median(runs, (*run).handshakes), tg/median(runs, (*run).perTarget))
	}
	t.Flush()
	if runs := r.runs["testssl.sh"]; len(runs) > 0 && runs[0].Said < runs[0].Targets {
		fmt.Fprintf(w, "\ntestssl.sh answered for %d of %d targets in %v\n", runs[0].Said, runs[0].Targets, r.limit)
	}
}
