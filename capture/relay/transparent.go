package relay

import (
	"context"
	"fmt"
	"net/netip"
)

// Redirected is a way in for connections that the packet filter of this machine
// has turned aside with REDIRECT: connection tracking knows where they wanted to
// go. Linux only.
func Redirected() Way {
	return Way{Name: "redirect", Target: func(_ context.Context, c *client) (Target, error) {
		return ofSocket(c, redirectedFrom)
	}, of: redirectedFrom}
}

// Transparent is a way in for connections that the packet filter of this machine
// has turned aside with TPROXY: their socket has the address they wanted to go
// to. Linux only.
func Transparent() Way {
	return Way{Name: "tproxy", Transparent: true, Target: func(_ context.Context, c *client) (Target, error) {
		return ofSocket(c, acceptedAt)
	}, of: acceptedAt}
}

func redirectedFrom(fd int, client netip.AddrPort) (Target, error) {
	to, err := originalOf(fd, client.Addr().Is4())
	if err != nil {
		return Target{}, fmt.Errorf("where the connection wanted to go is not known: %w", err)
	}
	return Target{Addr: to, Original: true}, nil
}

func acceptedAt(fd int, _ netip.AddrPort) (Target, error) {
	to, err := localOf(fd)
	return Target{Addr: to, Original: true}, err
}

// ofSocket asks the socket of a client.
func ofSocket(c *client, of func(int, netip.AddrPort) (Target, error)) (t Target, err error) {
	err = withSocket(c, func(fd uintptr) (err error) {
		t, err = of(int(fd), c.addr)
		return err
	})
	return t, err
}

// sourceOf is the address to connect onward from: the client's, with a port that
// the system chooses, as its own may still be in use.
func sourceOf(c *client, to netip.AddrPort) (netip.AddrPort, error) {
	if c.addr.Addr().Is4() != to.Addr().Is4() {
		return netip.AddrPort{}, fmt.Errorf("%s cannot be reached from %s: not the same IP version", to, c.addr.Addr())
	}
	return netip.AddrPortFrom(c.addr.Addr(), 0), nil
}
