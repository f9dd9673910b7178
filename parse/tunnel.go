package parse

import "bytes"

// maxTunnelName bounds the authority of a CONNECT that is kept: a host name of
// 253 bytes or an address, and a port.
const maxTunnelName = 260

// tunnelled reads the first application data of a client that was opened with
// keys. If it is an HTTP CONNECT (RFC 9110 §9.3.6), the server is a proxy, and a
// TLS connection to the host named there may run inside of this one.
func (u *unsealing) tunnelled(d *direction, b []byte) {
	rest, ok := bytes.CutPrefix(b, []byte("CONNECT "))
	if !ok {
		return
	}
	name, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || !bytes.HasPrefix(rest, []byte("HTTP/1.")) || len(name) == 0 || len(name) > maxTunnelName {
		return
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return
		}
	}
	u.c.emit(Event{Kind: EventTunnel, From: d.from, Text: string(name)})
	u.enter(d.from)
}

// listens reports whether a record may hold what tunnelled reads.
func (u *unsealing) listens(d *direction, t ContentType) bool {
	return t == ApplicationData && !u.heard && d.from == u.c.h.Client
}
