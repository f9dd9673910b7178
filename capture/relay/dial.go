package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// Target is where a client wants to go.
type Target struct {
	// Addr is used if valid, else Host is resolved.
	Addr netip.AddrPort
	Host string
	Port uint16
	// Chosen says that the operator chose it, not the client.
	Chosen bool
	// Original says that Addr is where the client's packets were going.
	Original bool
	// answer tells the client what became of it, with the address reached; nil
	// where the way in has no words for it.
	answer func(reached netip.AddrPort, err error) error
}

func (t Target) String() string {
	switch {
	case t.Addr.IsValid():
		return t.Addr.String()
	case t.Host != "":
		return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
	}
	return ""
}

// upstream is a connection onward and the address that was reached.
type upstream struct {
	*net.TCPConn
	addr netip.AddrPort
	talk []spoken // with a proxy
	// unread is what came of the stream with the proxy's answer.
	unread []byte
}

// reached is the address to tell a client: none if only a proxy knows it.
func (u upstream) reached() netip.AddrPort {
	if len(u.talk) > 0 {
		return netip.AddrPort{}
	}
	return u.addr
}

// Dial says how to connect onward. Zero values stand for the defaults.
type Dial struct {
	// Resolver is asked for addresses; nil for System.
	Resolver Resolver
	// Timeout bounds connecting, resolving included; 10s.
	Timeout time.Duration
	// KeepSource connects onward from the client's address, which needs rights,
	// and that the answers come this way (TPROXY).
	KeepSource bool
	// Proxy is what connections go through; nil for none.
	Proxy *Proxy
	// Header is said to what was reached, in front of the stream.
	Header Header
	// Targets names where clients may go; empty for everywhere.
	Targets []Rule
}

func (d Dial) orDefault() Dial {
	d.Timeout = cmp.Or(d.Timeout, 10*time.Second)
	if d.Resolver == nil {
		d.Resolver = System()
	}
	return d
}

// connect connects onward, and says the header.
func (d *Dial) connect(ctx context.Context, g *guard, c *client, t Target) (upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	way := d.direct
	if d.Proxy != nil {
		way = d.through
	}
	up, err := way(ctx, g, c, t)
	if err == nil && d.Header != HeaderNone {
		if _, err = up.Write(d.Header.say(c, t)); err != nil {
			_ = up.Close()
			return upstream{}, err
		}
	}
	return up, err
}

// direct connects without a proxy.
func (d *Dial) direct(ctx context.Context, g *guard, c *client, t Target) (upstream, error) {
	if t.Addr.IsValid() {
		return d.one(ctx, g, c, t, t.Addr)
	}
	if !t.Chosen && len(g.rules) > 0 && !g.mayBe(t) {
		return upstream{}, &refusal{t.String() + " is not among the allowed targets"}
	}
	addrs, err := d.Resolver(ctx, t.Host)
	if err != nil {
		return upstream{}, err
	}
	return race(ctx, interleave(addrs), func(ctx context.Context, a netip.Addr) (upstream, error) {
		return d.one(ctx, g, c, t, netip.AddrPortFrom(a.Unmap(), t.Port))
	})
}

// one connects to one address, if it is allowed: the check stands behind the
// resolving, so that a name cannot point past it.
func (d *Dial) one(ctx context.Context, g *guard, c *client, t Target, to netip.AddrPort) (upstream, error) {
	if err := g.check(t, to); err != nil {
		return upstream{}, err
	}
	dialer := net.Dialer{
		KeepAlive: -1, // set by the sweeper
		Control:   func(_, _ string, c syscall.RawConn) error { return control(c, socketOptions) },
	}
	if d.KeepSource {
		source, err := sourceOf(c, to)
		if err != nil {
			return upstream{}, err
		}
		dialer.LocalAddr = net.TCPAddrFromAddrPort(source)
		dialer.Control = func(network, _ string, c syscall.RawConn) error {
			return control(c, func(fd uintptr) error { return errors.Join(sourceSocket(fd, network), socketOptions(fd)) })
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return upstream{}, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return upstream{}, fmt.Errorf("no TCP connection to %s", to)
	}
	return upstream{TCPConn: tcp, addr: to}, nil
}
