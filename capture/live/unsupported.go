//go:build !linux

package live

import (
	"context"
	"errors"
	"iter"

	"whoasked/capture"
	"whoasked/parse"
)

// Source is never made on this system.
type Source struct{}

// Open says that packets are captured on Linux only.
func Open(Options) (*Source, error) {
	return nil, errors.New("packets are captured on Linux only: capture with tcpdump or Wireshark, and answer from the file with whoasked read")
}

// Chunks yields nothing.
func (*Source) Chunks(context.Context) iter.Seq2[*parse.Chunk, error] {
	return func(func(*parse.Chunk, error) bool) {}
}

// Extended is false.
func (*Source) Extended() bool { return false }

// ViaName does nothing.
func (*Source) ViaName(uint32) string { return "" }

// Skip does nothing.
func (*Source) Skip(int, parse.Side) {}

// Follow does nothing.
func (*Source) Follow(int, parse.Side, int) {}

// Stats counts nothing.
func (*Source) Stats() Stats { return Stats{} }

// Notes has none.
func (*Source) Notes() []capture.Note { return nil }
