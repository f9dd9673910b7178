package relay

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is how much one splice moves at most.
	pipeSize = 256 << 10
	// maxPipes bounds the empty pipes kept for another use.
	maxPipes = 64
)

// pipe is what bytes go through from one socket to another within the kernel.
type pipe struct{ r, w int }

// pipes lends empty pipes to pumps.
type pipes struct {
	mu     sync.Mutex
	free   []*pipe
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
	_, _ = unix.FcntlInt(uintptr(fd[0]), unix.F_SETPIPE_SZ, pipeSize) // a smaller one does as well
	return &pipe{fd[0], fd[1]}
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
		one.destroy()
	}
}

func (p *pipes) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.free {
		one.destroy()
	}
	p.free, p.closed = nil, true
}

func (p *pipe) destroy() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}
