package live

import (
	"fmt"
	"time"

	"whoasked/capture"
)

// Stats returns the counts up to a second ago. Any goroutine may call it.
func (s *Source) Stats() Stats { return *s.stats.Load() }

// count takes over the counts of the kernel.
func (s *Source) count() {
	s.counted = time.Now()
	n := Stats{Bytes: s.bytes, Marks: s.marks, Unmarked: s.misses, Tracked: s.tracker.Stats()}
	for _, r := range s.rings {
		r.count()
		n.Packets += r.packets
		n.Dropped += r.dropped
		n.Freezes += r.freezes
		n.Fill = max(n.Fill, int64(r.fill()))
	}
	if s.kernel != nil {
		n.Kept, n.KeptBytes = s.kernel.kept()
	}
	s.stats.Store(&n)
	notes := s.tracker.Notes()
	s.notes.Store(&notes)
}

// Notes returns what is to be said about the capture up to a second ago, and
// behind Chunks all; what did not occur is left out. Any goroutine may call it.
func (s *Source) Notes() []capture.Note {
	var notes []capture.Note
	if n := s.Stats(); n.Dropped > 0 {
		notes = append(notes, capture.Note{
			Kind: "dropped-packets", Count: n.Dropped,
			Text: fmt.Sprintf("%s dropped by the kernel, because the ring was full, beside %d read", capture.Plural(n.Dropped, "packet was", "packets were"), n.Packets),
			Hint: "enlarge --ring, or narrow it down with --host, --net, --port or --not",
		})
	}
	if n := s.Stats(); n.Kept > 0 {
		notes = append(notes, capture.Note{
			Kind: "withheld-packets", Count: n.Kept,
			Text: fmt.Sprintf("%s left to the kernel, %d bytes that no answer needed", capture.Plural(n.Kept, "packet was", "packets were"), n.KeptBytes),
		})
	}
	if tracked := s.notes.Load(); tracked != nil {
		notes = append(notes, *tracked...)
	}
	return notes
}
