package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"whoasked/lab/bench/traffic"
)

// capture is a file to measure on.
type capture struct {
	Path    string `json:"-"`
	Truth   traffic.Truth
	Answers *answers `json:",omitempty"`
	Series  []series
	// Joining is what joining legs costs, nil if it was not measured.
	Joining *joining `json:",omitempty"`
}

// capture returns the capture of a profile, made now or by an earlier run.
//
// It is made in a process of its own: on Linux the peak memory of a child
// starts at that of the parent at the time of the fork, so the process that
// measures has to stay small.
func (b *bench) capture(ctx context.Context, p traffic.Profile) (*capture, error) {
	c := &capture{Path: filepath.Join(b.dir, fileName(p)+".pcap")}
	if c.load(p) == nil {
		return c, nil
	}
	b.say("making %s", c.Path)
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	scale := strconv.FormatFloat(b.scale, 'g', -1, 64)
	cmd := exec.CommandContext(ctx, exe, "-dir", b.dir, "-scale", scale, "-make", fileName(p))
	cmd.Stderr = b.progress
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("making %s: %w", c.Path, err)
	}
	return c, c.load(p)
}

// fileName tells captures of different length apart.
func fileName(p traffic.Profile) string { return p.Name + "-" + p.Duration.String() }

// profiles are all captures of a run.
func (b *bench) profiles() []traffic.Profile {
	return []traffic.Profile{
		traffic.BulkProfile(b.scale), traffic.BulkProfile(2 * b.scale),
		traffic.HandshakeProfile(b.scale), traffic.HandshakeProfile(2 * b.scale),
		traffic.WrappedProfile(b.scale),
	}
}

func (b *bench) makeOnly(name string) error {
	for _, p := range b.profiles() {
		if fileName(p) == name {
			_, err := traffic.Make(filepath.Join(b.dir, name+".pcap"), p)
			return err
		}
	}
	return fmt.Errorf("no capture is called %q", name)
}

// load reads the truth about a capture that is there.
func (c *capture) load(p traffic.Profile) (err error) {
	c.Truth, err = traffic.Load(c.Path, p)
	return err
}

// warm reads a file into the page cache.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}
