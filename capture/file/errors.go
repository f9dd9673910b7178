package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// Kind says what is wrong with a file.
type Kind uint8

const (
	// Unreadable is a file the operating system does not let us read.
	Unreadable Kind = iota
	// Empty is a file of 0 bytes.
	Empty
	// NotCapture is a file of another format.
	NotCapture
	// Unsupported is a capture of a version or with a setting we don't know.
	Unsupported
	// Cut is a capture that ends in the middle of something.
	Cut
	// Damaged is a capture whose lengths contradict each other.
	Damaged
)

// Error says why a file could not be read, or not to its end. Packets before
// it are good.
type Error struct {
	Name string // of the file
	Kind Kind
	Text string
	Hint string // what to do about it, may be empty
	Err  error  // cause, may be nil
}

func (e *Error) Error() string {
	s := e.Name + ": " + e.Text
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// end is the error where more bytes were needed than there are: io.EOF between
// records. inside is empty for the next packet.
func (r *Reader) end(inside string) error {
	if err := r.in.err; err != nil && err != io.EOF {
		return r.broken(err)
	}
	if inside == "" {
		if len(r.in.data) == 0 {
			return io.EOF
		}
		inside = r.nextPacket()
	}
	return r.cut(inside)
}

func (r *Reader) nextPacket() string { return fmt.Sprintf("packet %d", r.stats.Packets+1) }

func (r *Reader) lastPacket() string { return fmt.Sprintf("packet %d", r.stats.Packets) }

func (r *Reader) cut(inside string) error {
	return &Error{Name: r.name, Kind: Cut, Text: "the file ends in the middle of " + inside,
		Hint: "it was cut, or is still being written"}
}

// broken is the error for a failed read, which decompressing counts as.
func (r *Reader) broken(err error) error {
	switch {
	case r.packed == "", errors.Is(err, fs.ErrClosed):
		return unreadable(r.name, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return r.cut("its " + r.packed + " compression")
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return &Error{Name: r.name, Kind: Unsupported, Text: "was compressed with a window above 32 MiB", Err: err,
			Hint: "decompress it first, with zstd -d --long=31"}
	}
	return &Error{Name: r.name, Kind: Damaged, Text: fmt.Sprintf("damaged in its %s compression after packet %d",
		r.packed, r.stats.Packets), Err: err}
}

// damaged is the error for lengths that cannot be.
func (r *Reader) damaged(format string, args ...any) error {
	return &Error{Name: r.name, Kind: Damaged,
		Text: fmt.Sprintf("damaged after packet %d: ", r.stats.Packets) + fmt.Sprintf(format, args...)}
}

func (r *Reader) unsupported(format string, args ...any) error {
	return &Error{Name: r.name, Kind: Unsupported, Text: fmt.Sprintf(format, args...)}
}

func unreadable(name string, err error) error {
	e := &Error{Name: name, Kind: Unreadable, Text: "cannot be read", Err: err}
	var path *fs.PathError
	if errors.As(err, &path) {
		e.Err = path.Err // the name is said already
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Text = "cannot be opened"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "captures made by root often belong to root: change the owner, or pipe it to standard input"
	}
	return e
}
