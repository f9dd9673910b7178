//go:build !linux

package relay

import (
	"net"
	"time"
)

// socketOptions leaves connections as the system makes them.
func socketOptions(uintptr) error { return nil }

func keepAlive(uintptr) error { return nil }

// wasReset is for systems that tell the state of a connection.
func wasReset(*net.TCPConn) bool { return false }

// awaitSent is for systems that tell what a peer has not acknowledged yet.
func awaitSent(*net.TCPConn, time.Duration) {}
