package relay

import "sync"

const (
	// bufferSize is what one read takes at most: four full records.
	bufferSize = 64 << 10
	// maxBuffers bounds the buffers kept for another use.
	maxBuffers = 32
)

// buffers lends buffers to pumps. Unlike a sync.Pool it keeps them when garbage is
// collected, which with little in use happens often.
type buffers struct {
	mu   sync.Mutex
	free []*[]byte
}

func (b *buffers) get() *[]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		one := b.free[n-1]
		b.free = b.free[:n-1]
		return one
	}
	buf := make([]byte, bufferSize)
	return &buf
}

func (b *buffers) put(buf *[]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < maxBuffers {
		b.free = append(b.free, buf)
	}
}
