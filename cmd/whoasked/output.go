package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// output is where answers go: standard output, or a file that takes its place
// only once everything is written. Reports do their own buffering.
type output struct {
	*os.File
	// target is the name that a finished temporary file gets, empty if the file
	// was written to directly.
	target string
}

// openOutput opens the output of a run that reads inputs. An empty name and "-"
// stand for standard output.
func openOutput(name string, inputs []string) (*output, error) {
	if name == "" || name == "-" {
		return &output{File: os.Stdout}, nil
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return createOutput(name, 0o666) // less the umask
	case err != nil:
		return nil, fmt.Errorf("cannot write to %s: %w", name, err)
	case info.IsDir():
		return nil, withHint(fmt.Errorf("cannot write to %s: it is a directory", name), "name a file in it")
	}
	for _, input := range inputs {
		if other, err := os.Stat(input); err == nil && os.SameFile(info, other) {
			return nil, withHint(fmt.Errorf("%s is an input too", name), "choose another --output; captures are never overwritten")
		}
	}
	if !info.Mode().IsRegular() { // a pipe or a device cannot be replaced
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &output{File: f}, nil
	}
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	return createOutput(target, info.Mode().Perm())
}

// createOutput opens a temporary file beside the target, so that renaming it
// stays within one file system.
func createOutput(target string, mode fs.FileMode) (*output, error) {
	name := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+"."+rand.Text()[:8])
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, fmt.Errorf("cannot write to %s: %w", target, err)
	}
	return &output{File: f, target: target}, nil
}

// commit puts what was written in its place.
func (o *output) commit() error {
	if o.File == os.Stdout {
		return nil
	}
	if err := o.Close(); err != nil || o.target == "" {
		return err
	}
	if err := os.Rename(o.Name(), o.target); err != nil {
		return err
	}
	o.target = ""
	return nil
}

// discard gives up a file that commit has not put in place; whatever had the
// name before keeps it.
func (o *output) discard() {
	if o.target == "" {
		return
	}
	o.target = ""
	_ = o.Close() // a second time, if it was the renaming that failed
	_ = os.Remove(o.Name())
}
