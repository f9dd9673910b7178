// Command relaybench measures whoasked relay beside other programs that forward
// TCP, in one run on one machine, and with -inspect beside others that end TLS.
// docs/benchmark.md tells the method and how to read the result.
//
//	go run ./lab/relaybench
//	go run ./lab/relaybench -inspect
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"whoasked/lab/release"
)

// options are the command line.
type options struct {
	whoasked string
	inspect  bool
	only     string
	rounds   int
	bulk     int // MiB a round
	fresh    int // connections a round
	pings    int // a round
	idle     int // connections
	limit    time.Duration
	slack    time.Duration // of the programs' timers
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "relaybench:", err)
		}
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	fs := flag.NewFlagSet("relaybench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.whoasked, "whoasked", "", "the binary to measure (default: built from this module)")
	fs.BoolVar(&o.inspect, "inspect", false, "measure programs that end TLS")
	fs.StringVar(&o.only, "only", "", "programs with this in their name only")
	fs.IntVar(&o.rounds, "n", 5, "rounds")
	fs.IntVar(&o.bulk, "bulk", 2048, "MiB of bulk data a round")
	fs.IntVar(&o.fresh, "connections", 2000, "new connections a round")
	fs.IntVar(&o.pings, "pings", 4000, "round trips a round")
	fs.IntVar(&o.idle, "idle", 5000, "idle connections")
	fs.DurationVar(&o.limit, "limit", 4*time.Minute, "no round begins that is not likely to end in this time")
	fs.DurationVar(&o.slack, "slack", 0, "timer slack of all programs, as TimerSlackNSec= of systemd sets it; the relay's unit has 2ms")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	for _, n := range []int{o.rounds, o.bulk, o.fresh, o.pings, o.idle} {
		if n < 1 {
			return errors.New("all numbers have to be at least 1")
		}
	}
	dir, err := os.MkdirTemp("", "relaybench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // for programs that give up being root
		return err
	}
	b := &bench{options: o, dir: dir, progress: stderr}
	if b.whoasked == "" {
		b.whoasked = filepath.Join(dir, "whoasked")
		b.say("building whoasked")
		if err := release.Build(ctx, b.whoasked); err != nil {
			return err
		}
	}
	r, err := b.run(ctx)
	if err != nil {
		return err
	}
	return r.render(stdout)
}

// bench is one run of the benchmark.
type bench struct {
	options
	dir      string
	progress io.Writer
	server   *server
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }
