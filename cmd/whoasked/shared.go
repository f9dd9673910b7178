package main

import (
	"sync"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/report"
)

// shared is a report that several goroutines write to.
type shared struct {
	mu sync.Mutex
	w  report.Writer
}

func (s *shared) Connection(c *attribute.Connection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Connection(c)
}

func (s *shared) Prompt(p *attribute.Prompt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Prompt(p)
}

func (s *shared) Asker(a *attribute.Asker) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Asker(a)
}

func (s *shared) Path(p *attribute.Path) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Path(p)
}

func (s *shared) Finding(f *attribute.Finding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Finding(f)
}

func (s *shared) Probed(p *attribute.Probed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Probed(p)
}

func (s *shared) Note(n capture.Note) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Note(n)
}

func (s *shared) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Close()
}
