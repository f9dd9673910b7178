package relay

import (
	"net"
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
func wasReset(c *net.TCPConn) (reset bool) {
	err := withSocket(c, func(fd uintptr) error {
		reset = resetFD(int(fd))
		return nil
	})
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
	awaitNone(limit, func() (left int) {
		_ = withSocket(c, func(fd uintptr) error {
			left = unsent(int(fd))
			return nil
		})
		return left
	})
}

// awaitNone waits until nothing is left, for limit at most.
func awaitNone(limit time.Duration, left func() int) {
	for deadline, pause := time.Now().Add(limit), time.Millisecond; time.Now().Before(deadline) && left() > 0; pause = min(2*pause, 50*time.Millisecond) {
		time.Sleep(pause)
	}
}
