package evidence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits bounds a folder. Files that are not called as ours are never counted or
// removed.
type Limits struct {
	Size int64         // bytes of all files together
	Age  time.Duration // since a file was last written; 0 for any
}

const (
	// waitingBytes bounds what waits to be written, as on a full disk.
	waitingBytes = 16 << 20
	// retryAfter is how long a failed attempt keeps others from being made.
	retryAfter = 5 * time.Second
	// pruneEvery is how often ages are looked at.
	pruneEvery = time.Minute
)

// stored is a file in the folder.
type stored struct {
	name    string
	size    int64
	written time.Time
}

// job is a file to write, or to remove where data is nil.
type job struct {
	name string
	data []byte
}

// writer writes files one after the other. A later job for the same file takes
// the place of an earlier one that waits.
type writer struct {
	dir    string
	limits Limits
	log    func(string)
	now    func() time.Time
	write  func(name string, data []byte) error
	wake   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	jobs    []job
	waiting int // bytes of jobs
	closed  bool
	broken  bool // the last attempt failed
	files   []stored
	stats   Stats
}

func openWriter(o Options) (*writer, error) {
	w := &writer{
		dir: o.Dir, limits: o.Limits, log: o.Log, now: time.Now,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	w.write = w.replace
	if w.log == nil {
		w.log = func(string) {}
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder for evidence: %w", err)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("look into the folder for evidence: %w", err)
	}
	probe, err := os.CreateTemp(o.Dir, "."+filePrefix+"*"+tempSuffix)
	if err != nil {
		return nil, fmt.Errorf("write evidence: %w", err)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	for _, e := range entries {
		switch name := e.Name(); {
		case !e.Type().IsRegular():
		case strings.HasPrefix(name, "."+filePrefix) && strings.HasSuffix(name, tempSuffix):
			_ = os.Remove(filepath.Join(o.Dir, name)) // it only takes room
		case strings.HasPrefix(name, filePrefix) && strings.HasSuffix(name, fileSuffix):
			if info, err := e.Info(); err == nil {
				w.keep(stored{name, info.Size(), info.ModTime()})
			}
		}
	}
	slices.SortFunc(w.files, func(a, b stored) int { return a.written.Compare(b.written) })
	w.prune()
	return w, nil
}

// put has a file written.
func (w *writer) put(name string, data []byte) { w.queue(job{name, data}) }

// remove has a file removed.
func (w *writer) remove(name string) { w.queue(job{name: name}) }

func (w *writer) queue(j job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.IndexFunc(w.jobs, func(x job) bool { return x.name == j.name }); i >= 0 {
		w.waiting -= len(w.jobs[i].data)
		w.jobs = slices.Delete(w.jobs, i, i+1)
	}
	w.jobs = append(w.jobs, j)
	w.waiting += len(j.data)
	for w.waiting > waitingBytes && len(w.jobs) > 1 {
		w.stats.Lost++
		w.waiting -= len(w.jobs[0].data)
		w.jobs = slices.Delete(w.jobs, 0, 1)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run does jobs until close.
func (w *writer) run() {
	defer close(w.done)
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-w.wake:
			if retry != nil && !w.isClosed() {
				continue
			}
		case <-retry:
		case <-tick.C:
			w.mu.Lock()
			w.prune()
			w.mu.Unlock()
		}
		retry = nil
		for w.next() {
		}
		if w.isClosed() {
			return
		}
		if w.pending() {
			retry = time.After(retryAfter)
		}
	}
}

func (w *writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

func (w *writer) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.jobs) > 0
}

// next does the job that waits longest, and reports whether to go on.
func (w *writer) next() bool {
	w.mu.Lock()
	if len(w.jobs) == 0 {
		w.mu.Unlock()
		return false
	}
	j := w.jobs[0]
	w.jobs = slices.Delete(w.jobs, 0, 1)
	w.waiting -= len(j.data)
	w.mu.Unlock()

	var err error
	if j.data == nil {
		if err = os.Remove(filepath.Join(w.dir, j.name)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = w.write(j.name, j.data)
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failed(j, err)
		return false
	}
	if w.broken {
		w.broken = false
		w.log("evidence is written again")
	}
	w.files = slices.DeleteFunc(w.files, func(s stored) bool {
		if s.name == j.name {
			w.stats.Bytes -= s.size
		}
		return s.name == j.name
	})
	if j.data != nil {
		w.stats.Files++
		w.keep(stored{j.name, int64(len(j.data)), w.now()})
		w.prune()
	}
	return true
}

func (w *writer) keep(s stored) {
	w.files = append(w.files, s)
	w.stats.Bytes += s.size
}

// failed puts a job back, to be tried again unless a newer one has come.
func (w *writer) failed(j job, err error) {
	w.stats.Failed++
	if !w.broken {
		w.broken = true
		w.log("evidence cannot be written, and is tried again: " + err.Error())
	}
	if w.closed {
		w.stats.Lost += int64(1 + len(w.jobs))
		w.jobs, w.waiting = nil, 0
		return
	}
	if !slices.ContainsFunc(w.jobs, func(x job) bool { return x.name == j.name }) {
		w.jobs = slices.Insert(w.jobs, 0, j)
		w.waiting += len(j.data)
	}
}

// prune removes the oldest files beyond the limits.
func (w *writer) prune() {
	for len(w.files) > 0 {
		f := w.files[0]
		old := w.limits.Age > 0 && w.now().Sub(f.written) > w.limits.Age
		if !old && (w.limits.Size <= 0 || w.stats.Bytes <= w.limits.Size) {
			return
		}
		if err := os.Remove(filepath.Join(w.dir, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if !w.broken {
				w.broken = true
				w.log("old evidence cannot be removed: " + err.Error())
			}
			return
		}
		w.stats.Bytes -= f.size
		w.stats.Removed++
		w.files = slices.Delete(w.files, 0, 1)
	}
}

// replace writes a file so that its name stands for all of it or nothing, also
// after a crash.
func (w *writer) replace(name string, data []byte) (err error) {
	f, err := os.CreateTemp(w.dir, "."+filePrefix+"*"+tempSuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(0o640); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(w.dir, name))
}

func (w *writer) count(s *Stats) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Files, s.Bytes, s.Removed, s.Failed = w.stats.Files, w.stats.Bytes, w.stats.Removed, w.stats.Failed
	s.Lost += w.stats.Lost
}

// close ends run when the jobs are done, or cannot be.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	<-w.done
}
