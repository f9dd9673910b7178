package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/DeRuina/timberjack"

	"whoasked/config"
	"whoasked/service"
)

// rotated is a file of answers that is begun anew from time to time.
type rotated struct {
	name string
	conf *config.Service

	mu   sync.Mutex
	file *timberjack.Logger
}

// openRotated opens a file, which belongs to the user that the program becomes.
func openRotated(name string, c *config.Service) (*rotated, error) {
	if err := service.Own(filepath.Dir(name), c.User); err != nil {
		return nil, fmt.Errorf("cannot write to %s: %w", name, err)
	}
	r := &rotated{name: name, conf: c}
	if err := r.open(); err != nil {
		return nil, err
	}
	if !c.KeepPrivileges {
		service.OwnFile(name, c.User)
	}
	return r, nil
}

func (r *rotated) open() error {
	f := &timberjack.Logger{
		Filename: r.name, MaxSize: int(r.conf.RotateSize >> 20), MaxBackups: r.conf.RotateKeep,
		RotationInterval: r.conf.RotateAge, FileMode: 0o640, Compression: "gzip",
	}
	// Opens it, to tell at once if that cannot be.
	if _, err := f.Write(lineEnd(r.name)); err != nil {
		_ = f.Close()
		return fmt.Errorf("cannot write to %s: %w", r.name, err)
	}
	r.mu.Lock()
	old := r.file
	r.file = f
	r.mu.Unlock()
	if old != nil {
		_ = old.Close() // each line was written whole
	}
	return nil
}

// lineEnd is what ends the last line of a file whose writer was killed; nothing
// where there is none to be ended.
func lineEnd(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	last := make([]byte, 1)
	if n, err := f.Seek(-1, io.SeekEnd); err != nil || n < 0 {
		return nil
	}
	if _, err := f.Read(last); err != nil || last[0] == '\n' {
		return nil
	}
	return []byte{'\n'}
}

// Write implements [io.Writer]. What is written at once stays in one file.
func (r *rotated) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Write(p)
}

func (r *rotated) close() { _ = r.file.Close() }
