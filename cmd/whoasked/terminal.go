package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// terminal is where the program talks about itself: standard error. Answers go
// elsewhere. It is safe for concurrent use.
//
// A message is one line that begins with "whoasked: error: ", "warning: " or
// "note: "; what to do about it follows on a line of its own.
type terminal struct {
	err   io.Writer
	quiet bool // errors only, and no hints

	mu  sync.Mutex
	bar bool // the cursor stands behind a progress bar
}

// fail reports an error, or each of several joined ones.
func (t *terminal) fail(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			t.fail(e)
		}
		return
	}
	t.say("error", err.Error(), hintOf(err))
}

// warn reports what looks like a mistake but does no harm.
func (t *terminal) warn(text string) {
	if !t.quiet {
		t.say("warning", text, "")
	}
}

// note tells something worth knowing.
func (t *terminal) note(text string) {
	if !t.quiet {
		t.say("note", text, "")
	}
}

func (t *terminal) say(kind, text, hint string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase()
	fmt.Fprintf(t.err, "whoasked: %s: %s\n", kind, oneLine(text))
	if hint != "" && !t.quiet {
		fmt.Fprintf(t.err, "whoasked: hint: %s\n", oneLine(hint))
	}
}

// draw puts a progress bar in the place of the one before; an empty one is none.
func (t *terminal) draw(bar string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if bar == "" {
		t.erase()
		return
	}
	fmt.Fprint(t.err, eraseLine+oneLine(bar))
	t.bar = true
}

// erase takes a progress bar off the screen.
func (t *terminal) erase() {
	if t.bar {
		fmt.Fprint(t.err, eraseLine)
		t.bar = false
	}
}

// eraseLine is a return and Erase in Line (ECMA-48 §8.3.41).
const eraseLine = "\r\x1b[K"

// oneLine keeps foreign text, such as a file name, from steering the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r <= 0x9f {
			return '?'
		}
		return r
	}, s)
}

// isTerminal says whether a file is a terminal.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// colors says whether text on a file should have colours.
func colors(f *os.File) bool { return isTerminal(f) && os.Getenv("TERM") != "dumb" }

// columns is the width of a terminal, 0 where there is none.
func columns(f *os.File) int {
	if !isTerminal(f) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
