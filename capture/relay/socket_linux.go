package relay

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketOptions sets what every connection of the relay has; those of a
// listening socket are inherited by what it accepts.
//
// A byte sent as urgent (RFC 9293 §3.8.5) stays in the stream, in its place;
// that it was urgent is not passed on.
func socketOptions(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
}

// keepAlive has the kernel find out when the other end has vanished.
func keepAlive(fd uintptr) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
	} {
		if err := unix.SetsockoptInt(int(fd), o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// wasReset reports whether a connection of which the end was read, and whose own
// direction is open, ended by a reset: it is closed then, and waits for our end
// otherwise.
func wasReset(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	reset := false
	err = raw.Control(func(fd uintptr) { reset = resetFD(int(fd)) })
	return err == nil && reset
}

// resetFD is wasReset for a descriptor.
func resetFD(fd int) bool {
	const stateClose = 7 // TCP_CLOSE in the kernel's tcp_states.h
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State == stateClose
}

// unsent is how many bytes the peer has not acknowledged yet.
func unsent(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return n
}

// awaitSent waits until the peer has acknowledged all that was sent, for limit
// at most.
func awaitSent(c *net.TCPConn, limit time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	for deadline, pause := time.Now().Add(limit), time.Millisecond; time.Now().Before(deadline); pause = min(2*pause, 50*time.Millisecond) {
		left := 0
		err := raw.Control(func(fd uintptr) { left = unsent(int(fd)) })
		if err != nil || left == 0 {
			return
		}
		time.Sleep(pause)
	}
}

// control adapts f to net.ListenConfig and net.Dialer.
func control(c syscall.RawConn, f func(fd uintptr) error) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) { err = f(fd) }); ctlErr != nil {
		return ctlErr
	}
	return err
}
