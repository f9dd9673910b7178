package main

import (
	"context"
	"os"
	"os/exec"

	"whoasked/attribute"
	packets "whoasked/capture"
	"whoasked/capture/file"
	"whoasked/parse"
)

// joining is what joining legs and looking for what tells asked from not asked cost
// of reading a capture.
type joining struct {
	// Without and With are the line up to the counts, in a process of its own: the
	// capture's packets, the parser, verdicts and counts, without a report.
	Without, With series
	// Share is how much more CPU time the one takes than the other, of that of the
	// product's own reading.
	Share float64
}

// maxJoining is the share of reading that joining may cost.
const maxJoining = 0.10

// joining measures what joining costs on each capture, in turn with the line
// without it.
func (b *bench) joining(ctx context.Context, r *result) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	for _, c := range r.Captures {
		if err := warm(c.Path); err != nil {
			return err
		}
		j := &joining{Without: series{Tool: "line without joining", Own: true}, With: series{Tool: "line with joining", Own: true}}
		for range b.rounds {
			for _, s := range []*series{&j.Without, &j.With} {
				args := []string{"-line", c.Path}
				if s == &j.With {
					args = append(args, "-join")
				}
				got, err := measure(exec.CommandContext(ctx, exe, args...))
				if err != nil {
					return err
				}
				s.Samples = append(s.Samples, got)
			}
		}
		j.Share = (j.With.cpu().median - j.Without.cpu().median) / c.Series[0].cpu().median
		c.Joining = j
		b.say("  %v: joining costs %.1f %% of reading", c.Truth.Profile.Name, 100*j.Share)
	}
	return nil
}

// readLine takes a capture through the line, as whoasked read does, up to the
// counts; join says whether legs are joined as well. It returns how many
// connections were judged and how many were left out of joining.
func readLine(ctx context.Context, path string, join bool) (judged int, left int64, err error) {
	r, err := file.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	src := file.NewSource(r, packets.Limits{})
	parser := parse.NewParser(parse.Options{})
	book := attribute.NewBook()
	var legs attribute.Legs
	conns := parser.NewConns()
	for ch, err := range src.Chunks(ctx) {
		if err != nil {
			return 0, 0, err
		}
		conn, _ := conns.Feed(ch)
		if ch.End == parse.Open {
			continue
		}
		h := conn.Handshake()
		parser.Recycle(conn)
		if h.TLS {
			judged++
			c := &attribute.Connection{ID: uint64(judged), Capture: path, Handshake: h, Verdict: attribute.Judge(h)}
			c.Client, c.Server = h.Ends()
			book.Add(c)
			if join {
				legs.Add(c)
			}
		}
		parser.Release(h)
	}
	prompts, askers := book.Finish()
	if join {
		j := legs.Join()
		j.Dialogs(prompts, askers)
		j.Mark(askers)
	}
	attribute.Explain(askers, nil)
	return judged, legs.Left(), nil
}
