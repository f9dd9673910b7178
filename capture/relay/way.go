package relay

import (
	"context"
	"net"
	"net/netip"

	"whoasked/parse"
)

// Way is a way in: how a client says where it wants to go.
type Way struct {
	Name string // stable: "fixed", "sni", "connect" …
	// Reads says that Target waits for the client to say something.
	Reads bool
	// Transparent says that its socket takes connections to any address.
	Transparent bool
	Target      func(context.Context, *client) (Target, error)
	// of is Target for ways that need to know no more than the socket of a client,
	// and lead to addresses; nil for others.
	of func(fd int, client netip.AddrPort) (Target, error)
}

// client is an accepted connection.
type client struct {
	*net.TCPConn
	addr   netip.AddrPort
	header []byte         // in front of all: of the PROXY protocol
	behind *parse.Proxied // what it told; nil for nothing
	unread []byte         // read with the header
	// head is what the way in has read of the stream to be forwarded.
	head []byte
	// told says that it has been given the reason why it is not relayed.
	told bool
}

// Read gives what was read too early first.
func (c *client) Read(b []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	return c.TCPConn.Read(b)
}

// leave ends a connection that is not relayed: in order if the client was told
// why, so that it can read that, else with a reset.
func (c *client) leave() {
	if c.told {
		_ = c.Close()
		return
	}
	refuse(c.TCPConn)
}
