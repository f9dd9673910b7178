// Package report puts answers before a reader: text for a person, JSON Lines
// for a program, log lines for a log collector.
package report

import (
	"whoasked/attribute"
	"whoasked/capture"
)

// Writer receives answers in the order they become known. Close writes what
// only the end can tell, in the order it sees fit, and returns the first
// error met.
type Writer interface {
	Connection(*attribute.Connection) error
	Prompt(*attribute.Prompt) error
	Asker(*attribute.Asker) error
	Note(capture.Note) error
	Close() error
}
