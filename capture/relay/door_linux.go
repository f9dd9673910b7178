package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"whoasked/parse"
)

// door is a listening socket of a loop: for an entry whose clients say by
// connecting alone where they want to go, so that accepting and connecting onward
// take no goroutine either.
type door struct {
	l       *loop
	e       *Entry
	fd      int
	number  int32
	reserve *reserve
	closed  bool
}

// maxAccepts is how many clients are taken in before others have their turn.
const maxAccepts = 8

// opens has a loop take the clients of an entry in; false if they have to be asked,
// or are spoken for, which takes a goroutine.
func (r *Relay) opens(e *Entry) bool {
	o := &r.opts
	if len(r.loops) == 0 || e.Passed || e.Way.of == nil || o.Proxies != nil || o.Inspect != nil || o.Dial.Proxy != nil || o.Dial.Header != HeaderNone {
		return false
	}
	fd, err := detached(e.Listener)
	if err != nil {
		return false
	}
	_ = e.Listener.Close() // the runtime would wait for it, too
	l := r.loops[0]
	d := &door{l: l, e: e, fd: fd, reserve: newReserve()}
	r.running.Add(1) // until it is shut
	l.post(func() {
		d.number = int32(len(l.doors))
		l.doors = append(l.doors, d)
		if err := d.wait(unix.EPOLL_CTL_ADD, unix.EPOLLIN); err != nil {
			r.trouble(&Trouble{Kind: KindAccept, Err: err})
			d.shut()
		}
	})
	return true
}

// wait has the loop told of clients, or not.
func (d *door) wait(op int, events uint32) error {
	return unix.EpollCtl(d.l.epoll, op, d.fd, &unix.EpollEvent{Events: events, Fd: eventDoor - d.number})
}

// shutDoors ends accepting.
func (l *loop) shutDoors() {
	for _, d := range l.doors {
		d.shut()
	}
}

func (d *door) shut() {
	if d.closed {
		return
	}
	d.closed = true
	_ = d.wait(unix.EPOLL_CTL_DEL, 0) // as another process may have the socket, too
	_ = unix.Close(d.fd)
	d.reserve.close()
	d.l.r.running.Done()
}

// event takes in clients that have connected.
func (d *door) event() {
	for range maxAccepts {
		if d.closed {
			return
		}
		fd, from, err := syscall.Accept4(d.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC) // unix.Accept4 asks for the protocol, too
		switch err {
		case nil:
			d.reserve.pause = 0
			d.enters(fd, sockAddr(from))
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return
		default:
			d.l.r.trouble(&Trouble{Kind: KindAccept, Err: os.NewSyscallError("accept4", err)})
			d.rest(d.reserve.shedFD(d.fd, err))
			return
		}
	}
}

// shedFD sends one client away if descriptors have run out, and returns for how long
// to let others wait.
func (r *reserve) shedFD(fd int, err error) time.Duration {
	if !outOfDescriptors(err) || r.f == nil {
		return r.longer()
	}
	r.close()
	if c, _, err := syscall.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err == nil {
		refuseFD(c)
	}
	r.open()
	return leastPause
}

// rest lets clients wait.
func (d *door) rest(pause time.Duration) {
	_ = d.wait(unix.EPOLL_CTL_MOD, 0)
	time.AfterFunc(pause, func() {
		d.l.post(func() {
			if !d.closed {
				_ = d.wait(unix.EPOLL_CTL_MOD, unix.EPOLLIN)
			}
		})
	})
}

// enters begins to connect a client onward.
func (d *door) enters(fd int, from netip.AddrPort) {
	r := d.l.r
	if !r.admit(from) {
		refuseFD(fd)
		return
	}
	r.running.Add(1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // which it does not have from d
	t, err := d.e.Way.of(fd, from)
	kind, up := KindEntry, -1
	if err == nil {
		if up, err = r.opts.Dial.begin(&r.access.Load().guard, from, t); err != nil {
			kind = dialKind(err)
		}
	}
	if err != nil {
		r.fail(kind, &client{addr: from}, t, err)
		refuseFD(fd)
		r.left(from.Addr())
		return
	}
	ln := r.newLine(nil)
	ln.fd = [2]int{fd, up}
	dial := &dialing{via: d.e.Way.Name, from: from, to: t}
	ln.dial = dial
	dial.late = time.AfterFunc(r.opts.Dial.Timeout, func() {
		ln.l.post(func() {
			if ln.dial == dial && !ln.over {
				ln.fail(context.DeadlineExceeded)
			}
		})
	})
	r.enter(ln, from)
}

// dialing is what a line is about before its upstream is reached.
type dialing struct {
	via  string
	from netip.AddrPort
	to   Target
	late *time.Timer
}

// begin begins to connect to the address of a target.
func (d *Dial) begin(g *guard, from netip.AddrPort, t Target) (fd int, err error) {
	to := t.Addr
	if err := g.check(t, to); err != nil {
		return -1, err
	}
	family, network := unix.AF_INET, "tcp4"
	if to.Addr().Is6() {
		family, network = unix.AF_INET6, "tcp6"
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, dialError(to, "socket", err)
	}
	err = errors.Join(socketOptions(uintptr(fd)), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	if err == nil && d.KeepSource {
		err = bindSource(fd, network, from, to)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	switch err := unix.Connect(fd, sockaddrOf(to)); err {
	case nil, unix.EINPROGRESS, unix.EINTR:
		return fd, nil
	default:
		_ = unix.Close(fd)
		return -1, dialError(to, "connect", err)
	}
}

// bindSource gives a socket the address to connect from.
func bindSource(fd int, network string, from, to netip.AddrPort) error {
	source, err := sourceOf(&client{addr: from}, to)
	if err != nil {
		return err
	}
	if err := sourceSocket(uintptr(fd), network); err != nil {
		return err
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sockaddrOf(source)))
}

func dialError(to netip.AddrPort, call string, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: os.NewSyscallError(call, err)}
}

// connected reports whether an upstream that has been waited for is reached; then
// it is a line like others. If it cannot be reached, the line ends.
func (ln *line) connected(events uint32) bool {
	d := ln.dial
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		err := error(unix.ECONNRESET)
		if n, optErr := unix.GetsockoptInt(ln.fd[parse.Accepter], unix.SOL_SOCKET, unix.SO_ERROR); optErr == nil && n != 0 {
			err = unix.Errno(n)
		}
		ln.fail(dialError(d.to.Addr, "connect", err))
		return false
	}
	if events&unix.EPOLLOUT == 0 {
		return false
	}
	if toItself(ln.fd[parse.Accepter], d.to.Addr) { // nobody listens there
		ln.fail(dialError(d.to.Addr, "connect", unix.ECONNREFUSED))
		return false
	}
	d.late.Stop()
	ln.dial = nil
	ln.s = newSession(ln.l.r, &client{addr: d.from}, upstream{addr: d.to.Addr}, d.via)
	ln.l.mu.Lock()
	err := ln.l.watch(ln, parse.Opener)
	ln.l.mu.Unlock()
	if err != nil {
		ln.l.r.trouble(&Trouble{Kind: KindAccept, Client: d.from, Err: err})
		ln.abort(parse.CaptureEnd)
		return false
	}
	return true
}

// toItself reports whether a socket is connected to itself: a port of its own
// choice was that of its target (RFC 9293 §3.5, simultaneous open).
func toItself(fd int, to netip.AddrPort) bool {
	if to.Port() < 1024 {
		return false
	}
	own, err := localOf(fd)
	return err == nil && own == to
}

// fail ends a line whose upstream is not reached.
func (ln *line) fail(err error) {
	d, r := ln.dial, ln.l.r
	d.late.Stop()
	ln.over = true
	r.fail(dialKind(err), &client{addr: d.from}, d.to, err)
	_ = unix.Close(ln.fd[parse.Accepter])
	refuseFD(ln.fd[parse.Opener])
	ln.l.remove(ln)
	r.left(d.from.Addr())
}

// refuseFD is refuse for a descriptor, at any time of its connection.
func refuseFD(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(fd)
}

// sockAddr is addrPort for what system calls return.
func sockAddr(sa syscall.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

func sockaddrOf(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
