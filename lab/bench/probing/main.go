//go:build linux

// Command probing measures whoasked probe: handshakes a second beside sslscan,
// testssl.sh, openssl s_client and a loop on crypto/tls, and a long list of
// targets of which half are dead, slow or hostile. docs/benchmark.md tells how
// to read what it prints.
//
//	go run ./lab/bench/probing
//
// Everything runs in a network namespace of its own, in which the addresses of
// 198.18.0.0/15 are local; that takes root, or the right to make user namespaces.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"whoasked/lab/release"
)

// bench is one run.
type bench struct {
	whoasked         string // binary, built if not given
	dir              string
	rounds           int
	targets          int // of the list
	many, few        int // targets of the comparison, for quick and for slow tools
	parallel         int // connections at a time in the comparison
	limit            time.Duration
	compare, hostile bool
	out              result
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			exit(serve(os.Args[2], os.Stdin, os.Stdout))
		case "loop":
			exit(loop(os.Args[2:]))
		}
	}
	var b bench
	inside := flag.Bool("inside", false, "for internal use: the namespace is there")
	flag.StringVar(&b.whoasked, "whoasked", "", "measure this `FILE` instead of building one")
	flag.IntVar(&b.rounds, "n", 3, "rounds of the comparison")
	flag.IntVar(&b.targets, "targets", 10_000, "length of the list")
	flag.IntVar(&b.many, "many", 4000, "targets for quick tools")
	flag.IntVar(&b.few, "few", 160, "targets for slow tools; testssl.sh gets one for each connection at a time")
	flag.IntVar(&b.parallel, "parallel", 8, "connections at a time in the comparison")
	flag.DurationVar(&b.limit, "limit", 2*time.Minute, "time for a round of testssl.sh")
	flag.BoolVar(&b.compare, "compare", true, "compare with other tools")
	flag.BoolVar(&b.hostile, "list", true, "probe the list")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !*inside {
		exit(enter(ctx))
	}
	exit(b.run(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "probing:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// enter runs the program again in namespaces of its own.
func enter(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, self, append([]string{"-inside"}, os.Args[1:]...)...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return c.Run()
}

func (b *bench) run(ctx context.Context) error {
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"route", "add", "local", "198.18.0.0/15", "dev", "lo"}} {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "probing"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.whoasked == "" {
		b.whoasked = filepath.Join(b.dir, "whoasked")
		say("building whoasked")
		if err := release.Build(ctx, b.whoasked); err != nil {
			return err
		}
	}
	if b.compare {
		if err := b.comparison(ctx); err != nil {
			return err
		}
		b.out.print(os.Stdout)
	}
	if b.hostile {
		l, err := b.list(ctx)
		if err != nil {
			return err
		}
		l.print(os.Stdout)
		if l.wrong > 0 {
			return fmt.Errorf("%d answers are wrong", l.wrong)
		}
	}
	return nil
}

// say tells how far the run is.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
