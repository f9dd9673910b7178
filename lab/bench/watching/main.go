//go:build linux

// Command watching measures whoasked watch beside tcpdump, on packets that are
// replayed over a pair of veth devices: what either loses and what it costs,
// whether answers are right, how late they come, and what a flood of half-open
// connections takes. docs/benchmark.md tells how to read what it prints.
//
//	go run ./lab/bench/watching
//
// Everything runs in a network namespace of its own; that takes root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"whoasked/lab/bench/alone"
	"whoasked/lab/bench/traffic"
	"whoasked/lab/release"
)

// bench is one run.
type bench struct {
	whoasked, sender string // binaries
	dir              string
	scale            float64
	rounds           int
	syns             int
	extra            []string // arguments of watch
	wrong            []error
}

// parts are what is measured, in this order.
var parts = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"rate", (*bench).rate}, {"bulk", (*bench).bulk}, {"mixed", (*bench).mixed}, {"delay", (*bench).delay}, {"flood", (*bench).flood},
}

func main() {
	var b bench
	var only, extra string
	inside := flag.Bool(alone.Inside, false, "for internal use: the namespace is there")
	flag.StringVar(&b.whoasked, "whoasked", "", "measure this `FILE` instead of building one")
	flag.StringVar(&b.dir, "dir", "", "keep captures in this `FOLDER` for the next run")
	flag.Float64Var(&b.scale, "scale", 1, "size of the captures")
	flag.IntVar(&b.rounds, "n", 3, "rounds where watch and tcpdump are compared")
	flag.IntVar(&b.syns, "syns", 1_000_000, "half-open connections")
	flag.StringVar(&only, "only", "", "measure these alone: rate, bulk, mixed, delay, flood, separated by commas")
	flag.StringVar(&extra, "watch", "", "more `ARGUMENTS` for whoasked watch")
	flag.Parse()
	b.extra = strings.Fields(extra)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !*inside {
		alone.Exit("watching", alone.Again(ctx, syscall.SysProcAttr{}))
	}
	alone.Exit("watching", b.run(ctx, only))
}

func (b *bench) run(ctx context.Context, only string) error {
	if err := alone.IP(ctx, "link add wire0 type veth peer name wire1", "link set wire0 address 02:00:00:00:00:02",
		"link set lo up", "link set wire0 up", "link set wire1 up"); err != nil {
		return err
	}
	own, err := os.MkdirTemp("", "watching")
	if err != nil {
		return err
	}
	defer os.RemoveAll(own)
	if b.dir == "" {
		b.dir = own
	}
	b.sender = filepath.Join(own, "sender")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.sender, "whoasked/lab/sender").CombinedOutput(); err != nil {
		return fmt.Errorf("build the sender: %w\n%s", err, out)
	}
	if b.whoasked == "" {
		b.whoasked = filepath.Join(own, "whoasked")
		say("building whoasked")
		if err := release.Build(ctx, b.whoasked); err != nil {
			return err
		}
	}
	fmt.Printf("%s · %d cores, %s/%s, %s\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	for _, p := range parts {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return errors.Join(b.wrong...)
}

// say tells how far the run is.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// capture makes the capture of a profile, unless it is there.
func (b *bench) capture(p traffic.Profile) (path string, truth traffic.Truth, err error) {
	path = filepath.Join(b.dir, fmt.Sprintf("%s-%s.pcap", p.Name, p.Duration))
	if truth, err = traffic.Load(path, p); err == nil {
		return path, truth, nil
	}
	say("making %s", path)
	truth, err = traffic.Make(path, p)
	return path, truth, err
}
