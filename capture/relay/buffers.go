package relay

import "sync"

// bufferSize is what one read takes at most: four full records.
const bufferSize = 64 << 10

// buffers lends buffers to pumps.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[]byte {
	if v, ok := b.pool.Get().(*[]byte); ok {
		return v
	}
	buf := make([]byte, bufferSize)
	return &buf
}

func (b *buffers) put(buf *[]byte) { b.pool.Put(buf) }
