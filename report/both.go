package report

import (
	"cmp"

	"whoasked/attribute"
	"whoasked/capture"
)

// Both is a report in two places: all goes to each.
type Both [2]Writer

func both(a, b error) error { return cmp.Or(a, b) }

func (w Both) Connection(c *attribute.Connection) error {
	return both(w[0].Connection(c), w[1].Connection(c))
}
func (w Both) Prompt(p *attribute.Prompt) error   { return both(w[0].Prompt(p), w[1].Prompt(p)) }
func (w Both) Asker(a *attribute.Asker) error     { return both(w[0].Asker(a), w[1].Asker(a)) }
func (w Both) Path(p *attribute.Path) error       { return both(w[0].Path(p), w[1].Path(p)) }
func (w Both) Finding(f *attribute.Finding) error { return both(w[0].Finding(f), w[1].Finding(f)) }
func (w Both) Probed(p *attribute.Probed) error   { return both(w[0].Probed(p), w[1].Probed(p)) }
func (w Both) Trace(t *attribute.Trace) error     { return both(w[0].Trace(t), w[1].Trace(t)) }
func (w Both) Note(n capture.Note) error          { return both(w[0].Note(n), w[1].Note(n)) }

// Close closes each, whatever the other says.
func (w Both) Close() error { return both(w[0].Close(), w[1].Close()) }
