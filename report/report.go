// Package report puts answers before a reader: [Text] for a person, [JSON] for
// a program, [Log] for a log collector.
//
// What a report quotes from the wire is escaped where it is not printable, so
// that no capture can steer a terminal or break a line.
package report

import (
	"whoasked/attribute"
	"whoasked/capture"
)

// Writer receives answers in the order they become known: connections as they
// end, then prompts, askers and notes. It keeps nothing it is handed. Close
// writes what only the end can tell and returns the first error met; it does
// not close what is written to.
type Writer interface {
	Connection(*attribute.Connection) error
	Prompt(*attribute.Prompt) error
	Asker(*attribute.Asker) error
	Path(*attribute.Path) error
	Finding(*attribute.Finding) error
	Probed(*attribute.Probed) error
	Offer(*attribute.Offer) error
	Trace(*attribute.Trace) error
	Note(capture.Note) error
	Close() error
}

var (
	_ Writer = (*JSON)(nil)
	_ Writer = (*Log)(nil)
	_ Writer = (*Text)(nil)
)
