package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestBatched: lines go out by flush, or when there are many; none is cut.
func TestBatched(t *testing.T) {
	var writes recorded
	b := &batched{to: &writes}
	line := []byte(strings.Repeat("x", 999) + "\n")
	for range 100 {
		if _, err := b.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	long := bytes.Repeat(line, 70) // more than a batch
	if _, err := b.Write(long); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second has nothing to hand on
		if err := b.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if want := len(line) * 170; len(bytes.Join(writes.all, nil)) != want || len(writes.all) != 3 {
		t.Errorf("%d bytes in %d writes, want %d in 3", len(bytes.Join(writes.all, nil)), len(writes.all), want)
	}
	for _, w := range writes.all {
		if !bytes.HasSuffix(w, []byte("x\n")) {
			t.Error("a line is cut")
		}
	}
	writes.fails = errors.New("full")
	if _, err := b.Write(line); err != nil {
		t.Errorf("a line that is held back: %v", err)
	}
	if err := b.flush(); !errors.Is(err, writes.fails) {
		t.Errorf("flush: %v", err)
	}
	if err := (*batched)(nil).flush(); err != nil {
		t.Error(err)
	}
}

// recorded keeps what is written to it.
type recorded struct {
	all   [][]byte
	fails error
}

func (r *recorded) Write(p []byte) (int, error) {
	r.all = append(r.all, bytes.Clone(p))
	return len(p), r.fails
}
