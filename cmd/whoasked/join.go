package main

import (
	"fmt"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
)

// join joins the legs seen into paths, reports the dialogs, the paths and what
// tells asked from not asked, and notes in askers which of them only pass TLS
// through.
func (l *line) join(prompts []attribute.Prompt, askers []attribute.Asker) ([]capture.Note, error) {
	j := &l.probed
	var left int64
	if l.legs != nil {
		l.legs.Configured = l.hops
		j, left = l.legs.Join(), l.legs.Left()
	}
	prompts = j.Dialogs(prompts, askers)
	new(attribute.Repeats).Mark(prompts)
	for i := range prompts {
		if err := l.out.Prompt(&prompts[i]); err != nil {
			return nil, err
		}
	}
	for i := range j.Paths {
		if err := l.out.Path(&j.Paths[i]); err != nil {
			return nil, err
		}
	}
	for i := range j.Findings {
		if err := l.out.Finding(&j.Findings[i]); err != nil {
			return nil, err
		}
	}
	j.Mark(askers)
	return joinNotes(j, left), nil
}

// take adds what probes of single hops were put together to.
func (l *line) take(j *attribute.Joined) {
	for _, p := range j.Paths {
		p.ID = len(l.probed.Paths) + 1
		l.probed.Paths = append(l.probed.Paths, p)
	}
	l.probed.Forwards = append(l.probed.Forwards, j.Forwards...)
	l.probed.Findings = append(l.probed.Findings, j.Findings...)
}

// joinNotes tells what joining has to say of the captures.
func joinNotes(j *attribute.Joined, left int64) []capture.Note {
	var out []capture.Note
	for _, c := range j.Clocks {
		n := capture.Note{Kind: "clock-offset", Count: int64(c.By)}
		offset, by := c.Offset, count(int64(c.By), "connection")+" in both"
		if c.Passed {
			offset, by = offset.Round(time.Millisecond), "the ClientHellos of "+count(int64(c.By), "connection")+" passed on between them"
		}
		switch {
		case c.By == 0:
			n.Text = fmt.Sprintf("the clock of %s could not be compared with that of the first capture, as no ClientHello is in both, nor one with its answer on two of their connections: they are taken to agree", c.Capture)
		case offset == 0:
			n.Text = fmt.Sprintf("the clock of %s agrees with that of the first capture, by %s", c.Capture, by)
		case c.Offset < 0:
			n.Text = fmt.Sprintf("the clock of %s is %v behind that of the first capture, by %s", c.Capture, -offset, by)
		default:
			n.Text = fmt.Sprintf("the clock of %s is %v ahead of that of the first capture, by %s", c.Capture, offset, by)
		}
		out = append(out, n)
	}
	for _, a := range j.Apart {
		out = append(out, capture.Note{
			Kind: "not-joined", Count: int64(a.Sessions), Hint: a.Hint,
			Text: fmt.Sprintf("%s of %s under names that %s shows, too, could not be joined with it: %s",
				count(int64(a.Sessions), "TLS session"), a.Captures[1], a.Captures[0], a.Reason),
		})
	}
	if j.Ambiguous > 0 {
		out = append(out, capture.Note{
			Kind: "ambiguous-legs", Count: int64(j.Ambiguous),
			Text: fmt.Sprintf("%s could be legs of several others equally well, and were not joined", count(int64(j.Ambiguous), "TLS session")),
			Hint: "capture at a quiet time, or have the hop send a PROXY header",
		})
	}
	if left > 0 {
		out = append(out, capture.Note{
			Kind: "unjoined", Count: left,
			Text: fmt.Sprintf("%s went beyond what is remembered for joining legs", count(left, "connection")),
			Hint: "narrow it down with --server, --client or --sni",
		})
	}
	return out
}
