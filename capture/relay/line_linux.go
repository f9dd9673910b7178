package relay

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"whoasked/parse"
)

// line is a session that a loop carries. All but its numbers is the loop's.
//
// Sockets tell of changes only (EPOLLET): what may be read or written is kept
// here. While nothing comes, a line holds neither a buffer nor a pipe.
type line struct {
	s      *session // nil before the upstream is reached
	dial   *dialing // nil afterwards
	l      *loop
	fd     [2]int // by Side: the client's socket and the upstream's
	number int32
	age    uint32 // tells it from lines that had its number before
	half   [2]half
	begun  bool
	queued bool // in loop.again
	over   bool // nothing is carried any more
}

// half is one direction, by the side that sends.
type half struct {
	ready   bool // its socket may have something
	ending  bool // and then its end
	urgent  bool // it has had urgent data, in front of which reading stops
	done    bool
	waits   bool    // for the receiving socket to take more
	rest    []byte  // to be written first, in buf
	buf     *[]byte // borrowed; nil for none
	pipe    *pipe   // borrowed; nil for none
	inPipe  int     // bytes
	carried int     // of this turn
}

// turn is how many bytes of a direction are carried before others have theirs.
const turn = 4 << 20

// event takes note of what a socket tells, and carries what it allows.
func (ln *line) event(side parse.Side, events uint32) {
	if ln.over || ln.dial != nil && !ln.connected(events) {
		return
	}
	if !ln.begun {
		ln.begun = true
		for from := range ln.half {
			if ln.begin(parse.Side(from)); ln.over {
				return
			}
		}
	}
	const failed = unix.EPOLLERR | unix.EPOLLHUP
	mine, other := &ln.half[side], &ln.half[side.Other()]
	if events&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLRDHUP|failed) != 0 {
		mine.ready = true
		mine.urgent = mine.urgent || events&unix.EPOLLPRI != 0
		mine.ending = mine.ending || events&(unix.EPOLLRDHUP|failed) != 0
	}
	if events&(unix.EPOLLOUT|failed) != 0 && other.waits {
		other.waits = false
		ln.carry(side.Other())
	}
	ln.carry(side)
}

// begin passes on what was read before there was a line.
func (ln *line) begin(from parse.Side) {
	b := ln.s.head[from]
	ln.s.head[from] = nil
	if len(b) > 0 {
		ln.s.pass(from, b)
		ln.write(from, b)
	}
}

// carry forwards one direction until there is nothing more, or it is the turn of
// others.
func (ln *line) carry(from parse.Side) {
	h := &ln.half[from]
	if ln.over || h.done || h.waits {
		return
	}
	for h.carried = 0; ; {
		if !ln.flush(from) || ln.over || h.done || !h.ready {
			return
		}
		if h.carried >= turn {
			if !ln.queued {
				ln.queued = true
				ln.l.again = append(ln.l.again, ln)
			}
			return
		}
		ln.read(from)
	}
}

// read takes what a socket has, once.
func (ln *line) read(from parse.Side) {
	h := &ln.half[from]
	if h.pipe == nil && !h.urgent && ln.s.settled[from].Load() {
		h.pipe = ln.s.r.pipes.get() // nil if no descriptors are left: a buffer does as well
	}
	var n, least int
	var err error
	if h.pipe != nil {
		var moved int64
		moved, err = unix.Splice(ln.fd[from], nil, h.pipe.w, nil, pipeSize, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		n, least = int(moved), h.pipe.slots()
		if n == 0 && err == nil { // the end, or a byte that is urgent
			ln.release(h)
		}
	}
	if h.pipe == nil {
		n, err = unix.Read(ln.fd[from], ln.l.buf)
		least = len(ln.l.buf)
	}
	switch {
	case err == unix.EINTR:
	case err == unix.EAGAIN:
		h.ready = false
		ln.release(h)
	case err != nil:
		ln.reset(from, &net.OpError{Op: "read", Net: "tcp", Err: err})
	case n == 0:
		ln.closed(from)
	default:
		h.carried += n
		// Less than there is room for: what comes now is told by another event.
		h.ready = n >= least || h.ending || h.urgent
		if h.pipe != nil {
			h.inPipe = n
			ln.s.carried(from, n)
			return // flush takes it on
		}
		ln.s.pass(from, ln.l.buf[:n])
		ln.write(from, ln.l.buf[:n])
	}
}

// flush reports whether all that was read has been written, after trying so.
func (ln *line) flush(from parse.Side) bool {
	h := &ln.half[from]
	for h.inPipe > 0 {
		n, err := unix.Splice(h.pipe.r, nil, ln.fd[from.Other()], nil, h.inPipe, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err == nil {
			h.inPipe -= int(n)
		} else if !ln.goesOn(from, err) {
			return false
		}
	}
	if h.buf != nil {
		return ln.write(from, h.rest)
	}
	if !h.ready && h.pipe != nil {
		ln.release(h)
	}
	return true
}

// write writes bytes, and keeps those that there is no room for.
func (ln *line) write(from parse.Side, b []byte) bool {
	h := &ln.half[from]
	for len(b) > 0 {
		n, err := unix.Write(ln.fd[from.Other()], b)
		if err == nil {
			b = b[n:]
		} else if !ln.goesOn(from, err) {
			if h.waits {
				ln.keep(h, b)
			}
			return false
		}
	}
	if h.buf != nil {
		ln.l.r.buffers.put(h.buf)
		h.buf, h.rest = nil, nil
	}
	return true
}

// keep copies what is left to write.
func (ln *line) keep(h *half, b []byte) {
	if h.buf == nil {
		h.buf = ln.l.r.buffers.get()
		if len(b) > len(*h.buf) { // of a head
			h.rest = append([]byte(nil), b...)
			return
		}
		h.rest = (*h.buf)[:copy(*h.buf, b)]
		return
	}
	h.rest = b // of what is kept already
}

// goesOn reports whether writing is to be tried again now, after an error.
func (ln *line) goesOn(from parse.Side, err error) bool {
	h := &ln.half[from]
	switch err {
	case unix.EINTR:
		return true
	case unix.EAGAIN:
		h.waits = true
		return false
	}
	// Who reset the connection may have sent something before. The other direction
	// brings it and then ends.
	to := from.Other()
	ln.s.setBroken(to, &net.OpError{Op: "write", Net: "tcp", Err: err})
	ln.finished(from)
	if !ln.over {
		ln.half[to].ready, ln.half[to].ending = true, true
		ln.carry(to)
	}
	return false
}

// closed passes on that a side has closed its direction (half-close).
func (ln *line) closed(from parse.Side) {
	broken, last := ln.s.halfClosed(from)
	switch {
	case broken != nil:
		ln.reset(from, broken)
		return
	case !last && resetFD(ln.fd[from]):
		ln.reset(from, unix.ECONNRESET)
		return
	}
	ln.s.r.tap.fin(ln.s, from)
	if !last {
		_ = unix.Shutdown(ln.fd[from.Other()], unix.SHUT_WR) // fails if that end has gone; then its own direction tells
	}
	ln.finished(from)
}

// finished ends a direction, and with the second one the line.
func (ln *line) finished(from parse.Side) {
	h := &ln.half[from]
	h.done = true
	ln.release(h)
	if ln.half[from.Other()].done && !ln.over {
		ln.end(false)
	}
}

// reset passes a reset by one side on, behind what it sent before.
func (ln *line) reset(by parse.Side, err error) {
	if !ln.s.because(parse.RST, by) {
		return
	}
	ln.s.noteVanished(err)
	ln.over = true
	to := ln.fd[by.Other()]
	if unsent(to) == 0 {
		ln.end(true)
		return
	}
	go func() { // the sockets stay until the loop closes them
		awaitNone(drainBeforeReset, func() int { return unsent(to) })
		ln.l.post(func() { ln.end(true) })
	}()
}

// abort ends the connection for a reason of ours.
func (ln *line) abort(end parse.End) {
	if ln.dial != nil {
		ln.fail(context.Canceled)
		return
	}
	if !ln.over && ln.s.because(end, parse.Opener) {
		ln.end(true)
	}
}

// end closes the sockets, with a reset or in order, and tells so.
func (ln *line) end(hard bool) {
	ln.over = true
	end, by := ln.s.outcome()
	for side, fd := range ln.fd {
		if hard || end == parse.RST {
			refuseFD(fd)
		} else {
			_ = unix.Close(fd)
		}
		ln.release(&ln.half[side])
	}
	ln.l.remove(ln)
	ln.s.r.tap.end(ln.s, by, end)
	ln.s.r.left(ln.s.flow.Addrs[0].Addr())
}

// release gives back what a direction holds.
func (ln *line) release(h *half) {
	if h.buf != nil {
		ln.l.r.buffers.put(h.buf)
		h.buf, h.rest = nil, nil
	}
	if h.pipe == nil {
		return
	}
	if h.inPipe > 0 {
		ln.l.r.pipes.destroy(h.pipe)
	} else {
		ln.l.r.pipes.put(h.pipe)
	}
	h.pipe, h.inPipe = nil, 0
}

// silent reports whether nothing has moved for a time.
func (ln *line) silent(now time.Time, limit time.Duration) bool {
	if ln.over || ln.dial != nil {
		return false
	}
	first, silent := ln.s.stands(now, limit)
	if first {
		_ = keepAlive(uintptr(ln.fd[parse.Accepter]))
	}
	return silent
}

// carry hands a session to a loop, which carries it to its end and then lets the
// client leave; false if it cannot.
func (r *Relay) carry(s *session) bool {
	if len(r.loops) == 0 {
		return false
	}
	ln := r.newLine(s)
	for side, c := range s.conns {
		fd, err := detached(c)
		if err != nil {
			if side > 0 {
				_ = unix.Close(ln.fd[0])
			}
			return false
		}
		ln.fd[side] = fd
	}
	for side, c := range s.conns {
		_ = c.Close()
		s.conns[side] = nil
	}
	r.enter(ln, s.flow.Addrs[0])
	return true
}

// newLine is one for the loop whose turn it is.
func (r *Relay) newLine(s *session) *line {
	return &line{s: s, l: r.loops[r.turns.Add(1)%uint32(len(r.loops))]}
}

// enter has its loop carry a line.
func (r *Relay) enter(ln *line, client netip.AddrPort) {
	l := ln.l
	err := l.add(ln)
	if err != nil {
		r.trouble(&Trouble{Kind: KindAccept, Client: client, Err: err})
	}
	r.mu.Lock()
	stopped := r.stopped
	r.mu.Unlock()
	if stopped || err != nil {
		l.post(func() { ln.abort(parse.CaptureEnd) })
	}
}

// detached is another descriptor of a socket, which the runtime does not wait for.
func detached(c syscall.Conn) (fd int, err error) {
	err = withSocket(c, func(of uintptr) (err error) {
		fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	return fd, err
}
