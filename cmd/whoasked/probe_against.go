package main

import (
	"errors"
	"fmt"
	"os"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/report"
)

// against is what a run is compared with.
type against struct {
	file      string
	then, now *attribute.Run
	result    *attribute.Comparison
}

// readAgainst reads what --against names, before anything is probed; nil for
// none.
func (f *probeFlags) readAgainst() (*against, error) {
	if f.against == "" {
		return nil, nil
	}
	file, err := os.Open(f.against)
	if err != nil {
		return nil, fmt.Errorf("--against: %w", err)
	}
	defer file.Close()
	a := &against{file: f.against, then: attribute.NewRun(), now: attribute.NewRun()}
	if err := report.ReadProbed(file, a.then.Add); err != nil {
		return nil, withHint(fmt.Errorf("--against %s: %w", f.against, err), "it takes what whoasked probe --save, or --format json, wrote")
	}
	return a, nil
}

// saving adds the file of --save to a report.
func (f *probeFlags) saving(l *line) error {
	switch f.save {
	case "":
		return nil
	case stdinName:
		return withHint(errors.New("--save takes a file"), "--format json writes the same to standard output")
	}
	out, err := openOutput(f.save, nil)
	if err != nil {
		return fmt.Errorf("--save: %w", err)
	}
	l.out, l.outputs = report.Both{l.out, report.NewJSON(out)}, append(l.outputs, out)
	return nil
}

// compare adds what differs to what is reported, and returns a note that sums
// it up; none without --against.
func (p *probing) compare() []capture.Note {
	if p.against == nil {
		return nil
	}
	findings, note := p.against.compare()
	p.line.probed.Findings = append(p.line.probed.Findings, findings...)
	return []capture.Note{note}
}

// compare tells what differs, as findings and a note that sums them up.
func (a *against) compare() ([]attribute.Finding, capture.Note) {
	c := attribute.Compare(a.then, a.now)
	a.result = c
	n := capture.Note{Kind: "compared", Count: int64(c.Compared)}
	n.Text = fmt.Sprintf("compared with %s: of %d kinds of connection in both, %d differ", a.file, c.Compared, c.Differ)
	for _, more := range []struct {
		n    int
		text string
	}{
		{c.Untold, "%d could not be told in one of them"},
		{c.Single, "%d are in one only"},
		{c.Left, "%d went beyond what is remembered"},
		{c.More, "%d findings are left out"},
	} {
		if more.n > 0 {
			n.Text += "; " + fmt.Sprintf(more.text, more.n)
		}
	}
	return c.Findings, n
}

// status is the exit status that --exit-code asks for.
func (a *against) status() error {
	switch c := a.result; {
	case c.Differ > 0:
		return exitStatus(exitAsked)
	case c.Untold+c.Left > 0, c.Compared == 0:
		return exitStatus(exitUnknown)
	}
	return nil
}
