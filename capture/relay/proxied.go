package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"whoasked/parse"
)

// The PROXY protocol, taken from a proxy in front and said to what is behind.

// Header is a version of the PROXY protocol to say; the zero value says none.
type Header uint8

// Versions of the PROXY protocol.
const (
	HeaderNone Header = iota
	Header1
	Header2
)

// say returns the header for the connection of c, which wants to go to t.
func (h Header) say(c *client, t Target) []byte {
	name := "proxy-v1"
	if h == Header2 {
		name = "proxy-v2"
	}
	call := parse.Call{Source: c.addr, Dest: addrPort(c.LocalAddr())}
	switch {
	case c.behind != nil:
		call.Source, call.Dest = c.behind.Source, c.behind.Dest
	case t.Original:
		call.Dest = t.Addr
	}
	return stepsOf(name)[0].Send(call)
}

// readHeader takes the PROXY header that a client must begin with; it is kept
// for the parser, and what came behind it is the beginning of the stream.
func (c *client) readHeader(limit time.Duration) error {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	buf := make([]byte, 0, 512)
	for {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, parse.MaxProxyHeader), buf...)
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		size, told, reply := parse.ProxyHeader(buf)
		switch {
		case reply == parse.ReplyGo:
			c.header, c.unread, c.behind = buf[:size], buf[size:], told
			return nil
		case reply == parse.ReplyForeign, len(buf) == parse.MaxProxyHeader:
			return errors.New("what --accept-proxy lets in has to begin with a PROXY header, and this does not")
		case err != nil:
			return fmt.Errorf("no whole PROXY header: %w", err)
		}
	}
}

// stepsOf are what a client says in a protocol of the parser's table.
func stepsOf(name string) []parse.Step {
	for _, row := range parse.Preambles() {
		if row.Name == name {
			return row.Steps
		}
	}
	return nil
}

// speaks reports whether a client has to begin with a PROXY header.
func (r *Relay) speaks(from netip.AddrPort) bool {
	return r.opts.Proxies != nil && r.opts.Proxies(from.Addr())
}
