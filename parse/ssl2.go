package parse

// openingSSL2 looks for a hello in the SSL 2.0 record layout at the start of a
// stream: a two-byte length with the top bit set, then the message type
// (RFC 5246 §E.2).
func (d *direction) openingSSL2(b []byte) ([]byte, sign) {
	const fixed = 2 + 9 // length, type, version, three lengths
	if len(b) >= 3 && b[2] != 1 && b[2] != 4 {
		return b, signNo
	}
	if len(b) < fixed {
		return b, signNeedMore
	}
	n := int(b[0]&0x7f)<<8 | int(b[1])
	if b[2] == 4 {
		return d.openingSSL2Server(b, n)
	}
	if b[3] != 0 && b[3] != 3 || b[3] == 0 && b[4] != 2 || b[3] == 3 && b[4] > 4 {
		return b, signNo
	}
	ciphers, session, challenge := int(b[5])<<8|int(b[6]), int(b[7])<<8|int(b[8]), int(b[9])<<8|int(b[10])
	if ciphers == 0 || ciphers%3 != 0 || session > 32 || challenge < 16 || challenge > 32 ||
		n != 9+ciphers+session+challenge || 2+n > maxHeld {
		return b, signNo
	}
	if len(b) < 2+n {
		return b, signNeedMore
	}
	d.sync()
	hello, malformed := parseSSL2ClientHello(b[2:2+n], d.c.p.opts.Fingerprints)
	if malformed != "" {
		d.c.malformed(d.from, malformed)
	}
	if hello != nil {
		hello.At = d.c.now
		d.c.emit(Event{Kind: EventMessage, From: d.from, Message: Message{
			At: d.c.since(), From: d.from, Type: TypeClientHello, Len: n,
		}})
		d.c.emit(Event{Kind: EventClientHello, From: d.from, ClientHello: hello})
	}
	return b[2+n:], signYes
}

// openingSSL2Server believes a server hello of SSL 2.0 only where the other
// side offered that; behind it the layout is foreign to us.
func (d *direction) openingSSL2Server(b []byte, n int) ([]byte, sign) {
	ch := d.c.h.ClientHello
	if ch == nil || !ch.SSL2 || b[5] != 0 || b[6] != 2 || n < 11 {
		return b, signNo
	}
	d.sync()
	d.c.emit(Event{Kind: EventServerHello, From: d.from, ServerHello: &ServerHello{At: d.c.now, Version: SSL20}})
	d.mode, d.c.dirs[d.from.Other()].mode = opaque, opaque
	return nil, signYes
}
