package main

import "io"

// maxBatch is how many bytes of lines wait for others, at most.
const maxBatch = 64 << 10

// batched holds lines back until flush, so that those of many connections which
// are judged at once take one system call. What is written at once stays together.
// A nil one holds nothing.
type batched struct {
	to    io.Writer
	lines []byte
}

// Write implements [io.Writer], for whole lines.
func (b *batched) Write(p []byte) (int, error) {
	if len(b.lines)+len(p) > maxBatch {
		if err := b.flush(); err != nil {
			return 0, err
		}
	}
	b.lines = append(b.lines, p...)
	return len(p), nil
}

// flush hands on what is held back. What cannot be written is given up.
func (b *batched) flush() error {
	if b == nil || len(b.lines) == 0 {
		return nil
	}
	_, err := b.to.Write(b.lines)
	b.lines = b.lines[:0]
	return err
}
