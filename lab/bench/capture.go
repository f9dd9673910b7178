package main

import (
	"context"
	"encoding/json"
	"errors"
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
			return makeCapture(filepath.Join(b.dir, name+".pcap"), p)
		}
	}
	return fmt.Errorf("no capture is called %q", name)
}

// makeCapture writes the packets, then the truth about them, so that a truth
// never stands beside an unfinished capture.
func makeCapture(path string, p traffic.Profile) (err error) {
	recs, err := traffic.Record()
	if err != nil {
		return err
	}
	if err := os.Remove(truthPath(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	truth, err := traffic.Write(f, p, recs)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(truth, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(truthPath(path), b, 0o644)
}

func truthPath(path string) string { return path + ".truth.json" }

// load reads the truth about a capture; it fails unless the file is complete
// and made for p by this version of the generator.
func (c *capture) load(p traffic.Profile) error {
	b, err := os.ReadFile(truthPath(c.Path))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &c.Truth); err != nil {
		return err
	}
	st, err := os.Stat(c.Path)
	if err != nil {
		return err
	}
	if c.Truth.Profile != p || c.Truth.Generator != traffic.Generator || st.Size() != c.Truth.Bytes {
		return fmt.Errorf("%s was made for something else", c.Path)
	}
	return nil
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
