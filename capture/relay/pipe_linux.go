package relay

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is how much one splice moves at most: what pipes may hold unless the
	// system is told otherwise (pipe-max-size in pipe(7)).
	pipeSize = 1 << 20
	// maxLarge bounds the pipes of that size to half of what one user's may hold
	// (pipe-user-pages-soft); others have what pipes are made with, 64 KiB.
	maxLarge = 32
	// maxPipes bounds the empty pipes kept for another use.
	maxPipes = 64
)

// pipe is what bytes go through from one socket to another within the kernel.
type pipe struct {
	r, w  int
	large bool
}

// slots is how many pieces, each a byte or more, it takes in any case.
func (p *pipe) slots() int {
	if p.large {
		return pipeSize / os.Getpagesize()
	}
	return 1
}

// pipes lends empty pipes to pumps.
type pipes struct {
	mu     sync.Mutex
	free   []*pipe
	large  int // there are
	closed bool
}

// get returns a pipe, nil if there are no descriptors left.
func (p *pipes) get() *pipe {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		one := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return one
	}
	p.mu.Unlock()
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	one := &pipe{r: fd[0], w: fd[1]}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.large < maxLarge {
		if _, err := unix.FcntlInt(uintptr(one.w), unix.F_SETPIPE_SZ, pipeSize); err == nil { // a smaller one does as well
			one.large = true
			p.large++
		}
	}
	return one
}

// put takes back a pipe that is empty.
func (p *pipes) put(one *pipe) {
	p.mu.Lock()
	keep := len(p.free) < maxPipes && !p.closed
	if keep {
		p.free = append(p.free, one)
	}
	p.mu.Unlock()
	if !keep {
		p.destroy(one)
	}
}

func (p *pipes) close() {
	p.mu.Lock()
	free := p.free
	p.free, p.closed = nil, true
	p.mu.Unlock()
	for _, one := range free {
		p.destroy(one)
	}
}

// destroy ends a pipe, with what is in it.
func (p *pipes) destroy(one *pipe) {
	_ = unix.Close(one.r)
	_ = unix.Close(one.w)
	if one.large {
		p.mu.Lock()
		p.large--
		p.mu.Unlock()
	}
}
