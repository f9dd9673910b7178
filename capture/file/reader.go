package file

import (
	"io"
	"os"
	"sync/atomic"

	"whoasked/capture"
)

// maxPacket is the longest captured packet accepted, in bytes: what tcpdump
// and Wireshark agree on for networks.
const maxPacket = 256 << 10

// Packet is one captured packet.
type Packet struct {
	Time      int64 // nanoseconds since 1970, UTC; 0 where the file has none
	Link      capture.LinkType
	Interface int    // counted from 0 through the file
	WireLen   int    // bytes, at least len(Data)
	Comment   string // the first one of the packet in a pcapng file, else empty
	// Data is borrowed: valid until the next call of Next.
	Data []byte
}

// Stats counts what is in a file besides the packets handed out.
type Stats struct {
	Packets int64
	// Secrets counts pcapng Decryption Secrets Blocks that hold TLS key logs,
	// OtherSecrets those of other protocols, which are passed over.
	Secrets, OtherSecrets int64
	// Overlong counts pcapng packets above 256 KiB, which are passed over.
	Overlong int64
}

// format reads the next packet of one file format.
type format interface {
	next(p *Packet) error
}

// Reader reads the packets of one capture. It is for one goroutine, except for
// Progress and Close.
type Reader struct {
	name   string
	packed string // how the file is compressed: "gzip", "zstd" or empty
	in     *input
	format format
	stats  Stats
	file   *os.File // to close, or nil
	read   atomic.Int64
	size   int64
}

// Open opens the file called name. Errors are of type *[Error].
func Open(name string) (*Reader, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, unreadable(name, err)
	}
	if info.IsDir() {
		f.Close()
		return nil, &Error{Name: name, Kind: Unreadable, Text: "is a directory",
			Hint: "name the captures in it"}
	}
	r := &Reader{name: name, file: f}
	if info.Mode().IsRegular() {
		r.size = info.Size()
	}
	if err := r.start(f); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// New reads a capture from src, called name in messages. It blocks until the
// first bytes are there. Errors are of type *[Error].
func New(src io.Reader, name string) (*Reader, error) {
	r := &Reader{name: name}
	if err := r.start(src); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Next reads the next packet. It returns io.EOF behind the last one and an
// *[Error] where the file does not go on as it should; it is final.
func (r *Reader) Next(p *Packet) error {
	err := r.format.next(p)
	if err == nil {
		r.stats.Packets++
	}
	return err
}

// Name returns the name for messages.
func (r *Reader) Name() string { return r.name }

// Stats returns the counts so far.
func (r *Reader) Stats() Stats { return r.stats }

// Progress returns how many bytes of the file, as it lies on the disk, have
// been read, and its size, 0 if unknown. It may be called at any time by any
// goroutine.
func (r *Reader) Progress() (read, size int64) { return r.read.Load(), r.size }

// Close ends reading ahead and closes what Open opened; Next fails from then
// on, also one that waits. Any goroutine may call it. With a source of New that
// blocks, reading ahead ends when its Read returns.
func (r *Reader) Close() {
	if r.in != nil {
		r.in.close()
	}
	if r.file != nil {
		r.file.Close()
	}
}
