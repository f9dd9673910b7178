package relay

import (
	"cmp"
	"context"
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
}

// Dial says how to connect onward. Zero values stand for the defaults.
type Dial struct {
	// Resolver is asked for addresses; nil for the system's.
	Resolver *net.Resolver
	// Timeout bounds connecting; 10s.
	Timeout time.Duration
	// Targets names where clients may go; empty for everywhere.
	Targets []Rule
}

func (d Dial) orDefault() Dial {
	d.Timeout = cmp.Or(d.Timeout, 10*time.Second)
	return d
}

// connect connects onward. Of several addresses the families race as RFC 8305
// says; each is checked when its turn comes, so that a name cannot point past
// the guard.
func (d *Dial) connect(ctx context.Context, g *guard, _ *client, t Target) (upstream, error) {
	dialer := net.Dialer{
		Timeout:   d.Timeout,
		Resolver:  d.Resolver,
		KeepAlive: -1, // set by socketOptions
		ControlContext: func(_ context.Context, _, address string, c syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if err := g.check(t, to); err != nil {
				return err
			}
			return control(c, socketOptions)
		},
	}
	conn, err := dialer.DialContext(ctx, "tcp", t.String())
	if err != nil {
		return upstream{}, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return upstream{}, fmt.Errorf("no TCP connection to %s", t)
	}
	return upstream{tcp, addrPort(tcp.RemoteAddr())}, nil
}
