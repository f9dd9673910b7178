package file

import (
	"io"
	"io/fs"
	"sync"
)

const (
	// maxRecord is the longest run of bytes handed out in one piece: a packet
	// and what a format puts around it.
	maxRecord = maxPacket + 64<<10
	// fullBlock is the size of a block once the file has proved to be long.
	fullBlock = 256 << 10
	// firstBlock is the size of the first: a small file must not cost much.
	firstBlock = 64 << 10
	// maxBlocks is how many full blocks go round.
	maxBlocks = 3
)

// block is a piece of the file. Its bytes begin at head, so that the end of
// the block before can be put in front of them.
type block struct {
	buf  []byte
	head int
	n    int
	err  error // from reading; no block follows
}

// input reads ahead in a goroutine and hands the bytes out in place.
//
//	block 1  |   room   |######################|tail|
//	                                            copied
//	block 2  |     |tail|######################|
//	               data ------------------------>
//
// The consumer walks data. Where that ends in the middle of a record, the rest
// of the record is in the next block, and the tail is copied in front of it:
// at most one record a block is copied, however long the file.
type input struct {
	data []byte // not yet consumed; valid until the next call of more
	err  error  // why no more will come

	current *block
	filled  chan *block
	free    chan *block
	stop    chan struct{}
	once    sync.Once
}

func newInput(src io.Reader) *input {
	in := &input{
		filled: make(chan *block, maxBlocks),
		free:   make(chan *block, maxBlocks),
		stop:   make(chan struct{}),
	}
	go in.fill(src)
	return in
}

// close lets the goroutine end, once its read in progress returns, and more
// fail. Any goroutine may call it.
func (in *input) close() { in.once.Do(func() { close(in.stop) }) }

// fill reads blocks until src or the consumer ends. What one Read returns is
// handed over at once: in a pipe it may be all there is for a while.
func (in *input) fill(src io.Reader) {
	defer close(in.filled)
	var total, full int
	for {
		var b *block
		switch {
		case total < fullBlock:
			// Blocks grow with the file; there cannot be more to put in front
			// than was read.
			head := min(total, maxRecord)
			b = &block{buf: make([]byte, head+max(total, firstBlock)), head: head}
		case full < maxBlocks:
			full++
			b = &block{buf: make([]byte, maxRecord+fullBlock), head: maxRecord}
		default:
			select {
			case b = <-in.free:
			case <-in.stop:
				return
			}
		}
		b.n, b.err = readSome(src, b.buf[b.head:])
		total += b.n
		select {
		case in.filled <- b:
		case <-in.stop:
			return
		}
		if b.err != nil {
			return
		}
	}
}

// readSome is Read, repeated while it returns nothing at all.
func readSome(src io.Reader, buf []byte) (int, error) {
	const patience = 100
	for range patience {
		if n, err := src.Read(buf); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// more makes data at least n bytes long and says whether it could; n is at
// most maxRecord.
func (in *input) more(n int) bool {
	for len(in.data) < n {
		var b *block
		select {
		case b = <-in.filled:
		case <-in.stop:
			in.err = fs.ErrClosed
			return false
		}
		if b == nil {
			return false
		}
		start := b.head - len(in.data)
		copy(b.buf[start:], in.data)
		in.data = b.buf[start : b.head+b.n]
		in.err = b.err
		if c := in.current; c != nil && len(c.buf) == maxRecord+fullBlock {
			in.free <- c
		}
		in.current = b
	}
	return true
}

// skip drops n bytes, however many, and says whether there were so many.
func (in *input) skip(n int64) bool {
	for n > int64(len(in.data)) {
		n -= int64(len(in.data))
		in.data = nil
		if !in.more(1) {
			return false
		}
	}
	in.data = in.data[n:]
	return true
}
