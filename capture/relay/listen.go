package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// Listen opens a socket for an entry.
func Listen(ctx context.Context, address string, way Way) (*net.TCPListener, error) {
	lc := net.ListenConfig{
		KeepAlive: -1, // set by prepare, once
		Control:   func(network, _ string, c syscall.RawConn) error { return prepare(c, network, way) },
	}
	lc.SetMultipathTCP(false) // it has neither these options nor splice
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		_ = l.Close()
		return nil, fmt.Errorf("%s is no TCP address", address)
	}
	return tcp, nil
}

// Adopt makes a socket of an entry of one that another program has opened.
func Adopt(l *net.TCPListener, way Way) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	network := "tcp6"
	if addrPort(l.Addr()).Addr().Is4() {
		network = "tcp4"
	}
	if err := prepare(raw, network, way); err != nil {
		return fmt.Errorf("the socket at %s that was passed cannot be used: %w", l.Addr(), err)
	}
	return nil
}

// prepare gives a socket the options of an entry, which what it accepts inherits.
func prepare(c syscall.RawConn, network string, way Way) error {
	return control(c, func(fd uintptr) error {
		if way.Transparent && !isTransparent(fd) {
			if err := transparentSocket(fd, network); err != nil {
				return fmt.Errorf("no right to take connections to other addresses: %w", err)
			}
		}
		return errors.Join(socketOptions(fd), keepAlive(fd))
	})
}

// reserve is a descriptor kept to be given up when there are no others: a client
// can then be accepted and sent away, instead of waking us again and again.
type reserve struct {
	f     *os.File
	pause time.Duration
}

func newReserve() *reserve {
	r := &reserve{}
	r.open()
	return r
}

func (r *reserve) open() {
	r.f, _ = os.Open(os.DevNull)
}

func (r *reserve) close() {
	if r.f != nil {
		_ = r.f.Close()
		r.f = nil
	}
}

// Bounds of the pause after a failed accept.
const (
	leastPause = 5 * time.Millisecond
	mostPause  = 500 * time.Millisecond
)

// shed sends one client away if descriptors have run out, and pauses after any
// other failure.
func (r *reserve) shed(l *net.TCPListener, err error) {
	if outOfDescriptors(err) && r.f != nil {
		r.close()
		_ = l.SetDeadline(time.Now().Add(leastPause)) // it may have left by itself
		if c, err := l.AcceptTCP(); err == nil {
			refuse(c)
		}
		_ = l.SetDeadline(time.Time{})
		r.open()
		time.Sleep(leastPause)
		return
	}
	time.Sleep(r.longer())
}

// longer is the next pause.
func (r *reserve) longer() time.Duration {
	if r.f == nil {
		r.open()
	}
	r.pause = min(max(2*r.pause, leastPause), mostPause)
	return r.pause
}
