package main

import (
	"fmt"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/report"
	"whoasked/report/evidence"
	"whoasked/service"
)

// file has the packets of a connection kept whose answer is worth another look.
func (w *watching) file(a *attribute.Connection) {
	switch {
	case w.files == nil:
	case a.Verdict.Asked == attribute.No:
		w.files.Dismissed(a.Handshake)
	default:
		w.files.Answered(a.Handshake, a.Client, a.Server, report.Comment(a))
	}
}

func (r *watchRun) openEvidence() error {
	c := &r.config.Watch
	if c.Evidence == "" {
		return nil
	}
	if err := service.Own(c.Evidence, r.config.Service.User); err != nil {
		return fmt.Errorf("make the folder for evidence: %w", err)
	}
	k, err := evidence.Open(evidence.Options{
		Dir:     c.Evidence,
		Limits:  evidence.Limits{Size: int64(c.EvidenceSize), Age: c.EvidenceAge},
		ViaName: func(via uint32) string { return r.viaName(via) },
		Log:     r.terminal.note,
	})
	r.watching.files = k
	return err
}

func (r *watchRun) closeEvidence() {
	if r.watching.files != nil {
		r.watching.files.Close()
	}
}

// allNotes are those of the source and of what is kept.
func (r *watchRun) allNotes() []capture.Note {
	notes := r.notes()
	if r.watching.files == nil {
		return notes
	}
	s := r.watching.files.Stats()
	if s.Files > 0 {
		notes = append(notes, capture.Note{
			Kind: "evidence", Count: s.Files,
			Text: fmt.Sprintf("evidence was written %d times; %d bytes are in %s, and %d files were removed as the oldest", s.Files, s.Bytes, r.config.Watch.Evidence, s.Removed),
		})
	}
	if s.Lost > 0 {
		notes = append(notes, capture.Note{
			Kind: "evidence-lost", Count: s.Lost,
			Text: fmt.Sprintf("%d times no evidence was kept, because there was no room for it in memory or, at %d attempts, on the disk", s.Lost, s.Failed),
			Hint: "see that there is room in " + r.config.Watch.Evidence + ", or narrow the watch down",
		})
	}
	return notes
}
