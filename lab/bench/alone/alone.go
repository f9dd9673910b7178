//go:build linux

// Package alone has a benchmark run in a network namespace of its own.
package alone

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Inside is the flag by which a program knows that the namespace is there.
const Inside = "inside"

// Again runs the program once more, with -inside before its arguments, in
// namespaces that attr names beside that of the network, and waits for its end. It
// ends with this process.
func Again(ctx context.Context, attr syscall.SysProcAttr) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	attr.Cloneflags |= syscall.CLONE_NEWNET
	attr.Pdeathsig = syscall.SIGKILL
	c := exec.CommandContext(ctx, self, append([]string{"-" + Inside}, os.Args[1:]...)...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &attr
	return c.Run()
}

// Exit ends the program: with status 1 and a line on standard error if err is not
// nil.
func Exit(name string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// IP runs ip(8) with each of these lines of arguments, up to one that fails.
func IP(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}
