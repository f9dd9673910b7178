package relay

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"whoasked/parse"
)

// pump forwards one direction. While nothing comes it holds neither a buffer nor
// a pipe: both are taken when the socket has something, so that an idle
// connection costs its two sockets.
type pump struct {
	s        *session
	from     parse.Side
	dst      *net.TCPConn
	in, out  syscall.RawConn
	buf      *[]byte
	pipe     *pipe
	n        int // of the latest read, or left to write
	err      error
	readFn   func(uintptr) bool
	writeFn  func(uintptr) bool
	inKernel bool // the latest read went into the pipe
}

func newPump(s *session, from parse.Side) *pump {
	p := &pump{s: s, from: from, dst: s.conns[from.Other()]}
	p.readFn, p.writeFn = p.read, p.write
	return p
}

// run forwards until the stream ends, or fails.
func (p *pump) run() error {
	var err error
	if p.in, err = p.s.conns[p.from].SyscallConn(); err != nil {
		return err
	}
	if p.out, err = p.dst.SyscallConn(); err != nil {
		return err
	}
	if head := p.s.head[p.from]; len(head) > 0 {
		if err := p.pass(head); err != nil {
			return err
		}
		p.s.head[p.from] = nil
	}
	for {
		if err := p.in.Read(p.readFn); err != nil {
			return err
		}
		switch {
		case p.err != nil:
			return p.err
		case p.n == 0:
			return io.EOF
		case !p.inKernel:
			if err := p.pass((*p.buf)[:p.n]); err != nil {
				return err
			}
		default:
			p.s.carried(p.from, p.n)
			if err := p.drain(); err != nil {
				return err
			}
		}
	}
}

// pass taps bytes and writes them.
func (p *pump) pass(b []byte) error {
	if !p.s.settled[p.from].Load() {
		p.s.r.tap.data(p.s, p.from, b)
	}
	p.s.carried(p.from, len(b))
	if _, err := p.dst.Write(b); err != nil {
		return &writeError{err}
	}
	return nil
}

// read is called when the socket may have something; false waits for more.
func (p *pump) read(fd uintptr) bool {
	for {
		p.inKernel = p.s.settled[p.from].Load()
		if p.inKernel && p.pipe == nil {
			if p.pipe = p.s.r.pipes.get(); p.pipe == nil {
				p.inKernel = false // no descriptors left: a buffer does as well
			}
		}
		if p.inKernel {
			p.fill(int(fd))
		} else {
			if p.buf == nil {
				p.buf = p.s.r.buffers.get()
			}
			p.n, p.err = unix.Read(int(fd), *p.buf)
		}
		switch p.err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			p.release()
			p.err = nil
			return false
		case nil:
			return true
		}
		p.err = &net.OpError{Op: "read", Net: "tcp", Err: p.err}
		return true
	}
}

// fill moves bytes from the socket to the pipe.
func (p *pump) fill(fd int) {
	n, err := unix.Splice(fd, nil, p.pipe.w, nil, pipeSize, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	p.n, p.err = int(n), err
}

// drain moves all bytes from the pipe to the socket.
func (p *pump) drain() error {
	for p.n > 0 {
		err := p.out.Write(p.writeFn)
		if err == nil {
			err = p.err
		}
		if err != nil {
			p.s.r.pipes.destroy(p.pipe) // there are bytes in it
			p.pipe = nil
			return &writeError{err}
		}
	}
	return nil
}

func (p *pump) write(fd uintptr) bool {
	for {
		n, err := unix.Splice(p.pipe.r, nil, int(fd), nil, p.n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch err {
		case nil:
			p.n -= int(n)
			p.err = nil
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		p.err = err
		return true
	}
}

// release gives back what the pump holds.
func (p *pump) release() {
	if p.buf != nil {
		p.s.r.buffers.put(p.buf)
		p.buf = nil
	}
	if p.pipe != nil {
		p.s.r.pipes.put(p.pipe)
		p.pipe = nil
	}
}
