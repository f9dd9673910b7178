package file

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// peekLen is how much of a file is looked at to tell what it is.
	peekLen = 4096
	// maxWindow bounds what zstd may ask for, in bytes; level 20 of 22 needs as
	// much.
	maxWindow = 32 << 20
)

// counter counts the bytes read of the underlying file.
type counter struct {
	io.Reader
	n *atomic.Int64
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// start finds out what src holds and begins to read ahead.
func (r *Reader) start(src io.Reader) error {
	plain, err := r.unpack(bufio.NewReaderSize(counter{src, &r.read}, peekLen))
	if err != nil {
		return err
	}
	// Behind Peek stands what could be read, be it nothing.
	head, err := plain.Peek(4)
	if err != nil && err != io.EOF {
		return r.broken(err)
	}
	if len(head) == 0 {
		return &Error{Name: r.name, Kind: Empty, Text: "is empty", Hint: "has anything been captured?"}
	}
	if len(head) == 4 {
		magic := binary.BigEndian.Uint32(head)
		if magic == blockSection {
			r.in = newInput(plain)
			r.format = &pcapng{r: r, in: r.in}
			return nil
		}
		if v, ok := pcapVariants[magic]; ok {
			r.in = newInput(plain)
			f := &pcap{r: r, in: r.in, variant: v}
			r.format = f
			return f.header()
		}
	}
	head, _ = plain.Peek(peekLen)
	return r.notCapture(head)
}

// unpack puts a decompressor before src where it begins like one.
func (r *Reader) unpack(src *bufio.Reader) (*bufio.Reader, error) {
	head, err := src.Peek(4)
	if err != nil && err != io.EOF {
		return nil, r.broken(err)
	}
	var plain io.Reader
	switch {
	case len(head) >= 2 && binary.BigEndian.Uint16(head) == 0x1f8b:
		r.packed = "gzip"
		plain, err = gzip.NewReader(src)
	case len(head) == 4 && binary.LittleEndian.Uint32(head) == 0xfd2fb528:
		r.packed = "zstd"
		// One goroutine is ours already; more would outlive the Reader.
		plain, err = zstd.NewReader(src, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	default:
		return src, nil
	}
	if err != nil {
		return nil, r.broken(err)
	}
	return bufio.NewReaderSize(plain, peekLen), nil
}

// IsCapture reports whether a file that begins so is a capture, not compressed.
func IsCapture(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	magic := binary.BigEndian.Uint32(head)
	_, ok := pcapVariants[magic]
	return ok || magic == blockSection
}
