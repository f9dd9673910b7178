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
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"whoasked/lab/bench/alone"
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
			alone.Exit("probing", serve(os.Args[2], os.Stdin, os.Stdout))
		case "loop":
			alone.Exit("probing", loop(os.Args[2:]))
		}
	}
	var b bench
	inside := flag.Bool(alone.Inside, false, "for internal use: the namespace is there")
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
		alone.Exit("probing", alone.Again(ctx, namespaces()))
	}
	alone.Exit("probing", b.run(ctx))
}

// namespaces are what the run needs beside one of the network.
func namespaces() syscall.SysProcAttr {
	if os.Geteuid() == 0 {
		return syscall.SysProcAttr{}
	}
	return syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

func (b *bench) run(ctx context.Context) error {
	if err := alone.IP(ctx, "link set lo up", "route add local 198.18.0.0/15 dev lo"); err != nil {
		return err
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
