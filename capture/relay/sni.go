package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"whoasked/parse"
)

// maxHello bounds what is read to find a ClientHello: a record of the largest
// size and what may come before it. Post-quantum hellos take 2 KiB, hellos with
// large tickets more.
const maxHello = 80 << 10

// SNI is a way in for clients that believe they speak to their server: the name
// in their ClientHello says which it is. The hello is read by the one parser and
// then forwarded like everything else.
func SNI(port uint16) Way {
	return Way{Name: "sni", Reads: true, Target: func(_ context.Context, c *client) (Target, error) {
		hello, err := c.peekHello()
		if err != nil {
			return Target{}, err
		}
		if !hostName(hello.ServerName) {
			return Target{}, errors.New("the ClientHello names no server")
		}
		return Target{Host: hello.ServerName, Port: port}, nil
	}}
}

// peekHello reads a ClientHello into head, where its beginning may be.
func (c *client) peekHello() (*parse.ClientHello, error) {
	conn := parse.NewParser(parse.Options{}).NewConn()
	buf := make([]byte, 4<<10)
	now := time.Now()
	if len(c.head) > 0 {
		conn.Feed(parse.Chunk{Time: now, Data: c.head})
		if h := conn.Handshake(); h.ClientHello != nil {
			return h.ClientHello, nil
		}
	}
	for len(c.head) < maxHello {
		n, err := c.Read(buf)
		c.head = append(c.head, buf[:n]...)
		if n > 0 {
			conn.Feed(parse.Chunk{Time: now, Data: buf[:n]})
		}
		h := conn.Handshake()
		switch {
		case h.ClientHello != nil:
			return h.ClientHello, nil
		case err != nil:
			return nil, fmt.Errorf("no ClientHello: %w", err)
		case len(c.head) >= 16 && !h.TLS:
			return nil, errors.New("what the client sends is not TLS")
		}
	}
	return nil, errors.New("no end of the ClientHello")
}
