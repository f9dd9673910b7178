package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/config"
)

// input is a capture that can be opened.
type input struct {
	name string
	open func(context.Context) (*file.Reader, error)
}

const stdinName = "-"

// fileInput is a file, or standard input for "-".
func fileInput(name string) input {
	if name == stdinName {
		return input{name: name, open: openStdin}
	}
	return input{name: name, open: func(ctx context.Context) (*file.Reader, error) {
		return opened(ctx, func() (*file.Reader, error) { return file.Open(name) })
	}}
}

// bytesInput is a capture in memory.
func bytesInput(name string, data []byte) input {
	return input{name: name, open: func(context.Context) (*file.Reader, error) {
		return file.New(bytes.NewReader(data), name)
	}}
}

func openStdin(ctx context.Context) (*file.Reader, error) {
	if isTerminal(os.Stdin) {
		return nil, withHint(errors.New("standard input is a terminal"),
			"pipe a capture in, for instance: tcpdump -i any -s 0 -U -w - tcp port 443 | whoasked read -")
	}
	return openStream(ctx, os.Stdin, "standard input")
}

func openStream(ctx context.Context, r io.Reader, name string) (*file.Reader, error) {
	return opened(ctx, func() (*file.Reader, error) { return file.New(r, name) })
}

// opened opens what may have nothing to say for a long time, as a pipe from a
// tcpdump that sees no packets, or that nobody writes to. When ctx is done it stops
// waiting; what it waited for is then left to the end of the program.
func opened(ctx context.Context, open func() (*file.Reader, error)) (*file.Reader, error) {
	type result struct {
		r   *file.Reader
		err error
	}
	done := make(chan result, 1)
	go func() {
		r, err := open()
		done <- result{r, err}
	}()
	select {
	case o := <-done:
		return o.r, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func limits(c *config.Config) capture.Limits {
	return capture.Limits{
		Flows:      c.Limits.Flows,
		FlowBytes:  int(c.Limits.FlowBytes),
		TotalBytes: int(c.Limits.TotalBytes),
		Idle:       c.Limits.Idle,
	}
}
