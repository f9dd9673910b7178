// Command bench measures whoasked against other tools that read captures, on
// captures it makes itself, and first checks that whoasked's answers on them
// are right. docs/benchmark.md tells the method and how to read the result.
//
//	go run ./lab/bench
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
	"time"

	"whoasked/lab/bench/traffic"
	"whoasked/lab/release"
)

// shortScale is the size of the captures with -short.
const shortScale = 0.005

// options are the command line.
type options struct {
	dir      string
	whoasked string
	rounds   int
	slow     int
	scale    float64
	short    bool
	long     bool
	format   string
	only     string
	line     string
	join     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.dir, "dir", filepath.Join(os.TempDir(), "whoasked-bench"), "where the captures are kept; 5 GB")
	fs.StringVar(&o.whoasked, "whoasked", "", "the binary to measure (default: built from this module)")
	fs.IntVar(&o.rounds, "n", 5, "rounds")
	fs.IntVar(&o.slow, "slow", 2, "at most this many rounds of tools that take a minute")
	fs.Float64Var(&o.scale, "scale", 1, "size of the captures")
	fs.BoolVar(&o.short, "short", false, "tiny captures, check the answers, measure nothing")
	fs.BoolVar(&o.long, "long", true, "also measure memory on captures twice as long")
	fs.StringVar(&o.format, "format", "text", "text, markdown or json")
	fs.StringVar(&o.only, "make", "", "only make the capture of this name and stop")
	fs.StringVar(&o.line, "line", "", "only take the capture in this file through the line and stop")
	fs.BoolVar(&o.join, "join", false, "with -line: join legs, too")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	render, err := renderer(o.format)
	if err != nil {
		return err
	}
	if o.short {
		o.scale, o.long = shortScale, false
	}
	b := bench{options: o, progress: stderr}
	switch {
	case o.only != "":
		return b.makeOnly(o.only)
	case o.line != "":
		_, _, err := readLine(ctx, o.line, o.join)
		return err
	}
	r, err := b.run(ctx)
	if err != nil {
		return err
	}
	return render(stdout, r)
}

// bench is one run of the benchmark.
type bench struct {
	options
	progress io.Writer
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, format+"\n", args...)
}

func (b *bench) run(ctx context.Context) (*result, error) {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, err
	}
	if b.whoasked == "" {
		b.whoasked = filepath.Join(b.dir, "whoasked")
		b.say("building whoasked")
		if err := release.Build(ctx, b.whoasked); err != nil {
			return nil, err
		}
	}
	r := &result{Date: time.Now().UTC(), Machine: machine(), Rounds: b.rounds}
	for _, p := range []traffic.Profile{traffic.BulkProfile(b.scale), traffic.HandshakeProfile(b.scale)} {
		c, err := b.capture(ctx, p)
		if err != nil {
			return nil, err
		}
		c.Answers, err = b.verify(ctx, c)
		if err != nil {
			return nil, err
		}
		b.say("%v: answers right", p.Name)
		r.Captures = append(r.Captures, c)
	}
	if err := b.wrapped(ctx, r); err != nil {
		return nil, err
	}
	if b.short {
		return r, nil
	}
	if err := b.compare(ctx, r); err != nil {
		return nil, err
	}
	if err := b.joining(ctx, r); err != nil {
		return nil, err
	}
	if b.long {
		if err := b.lengthen(ctx, r); err != nil {
			return nil, err
		}
	}
	r.judge()
	return r, nil
}
