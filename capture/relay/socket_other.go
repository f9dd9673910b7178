//go:build !linux

package relay

import (
	"net"
	"syscall"
	"time"
)

// socketOptions leaves connections as the system makes them.
func socketOptions(uintptr) error { return nil }

func keepAlive(uintptr) error { return nil }

// wasReset is for systems that tell the state of a connection.
func wasReset(*net.TCPConn) bool { return false }

// awaitSent is for systems that tell what a peer has not acknowledged yet.
func awaitSent(*net.TCPConn, time.Duration) {}

// control adapts f to net.ListenConfig and net.Dialer.
func control(c syscall.RawConn, f func(fd uintptr) error) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) { err = f(fd) }); ctlErr != nil {
		return ctlErr
	}
	return err
}
