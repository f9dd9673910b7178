package relay

import (
	"context"
	"net"
	"net/netip"
)

// Way is a way in: how a client says where it wants to go.
type Way struct {
	Name string // stable: "fixed", "sni", "connect" …
	// Reads says that Target waits for the client to say something.
	Reads  bool
	Target func(context.Context, *client) (Target, error)
}

// client is an accepted connection.
type client struct {
	*net.TCPConn
	addr netip.AddrPort
	// head is what the way in has read of the stream to be forwarded.
	head []byte
}
