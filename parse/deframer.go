package parse

// maxMessage bounds the handshake messages whose body is read; the contents of
// a longer one are passed over and reported.
const maxMessage = 256 << 10

// deframer puts handshake messages together from record bodies.
type deframer struct {
	hdr   [4]byte
	hdrN  uint8
	typ   HandshakeType
	left  int    // bytes of the message still to come
	open  bool   // a message is being read
	want  bool   // its body is kept
	holed bool   // part of its body was lost
	buf   []byte // the body so far, if it came in several pieces

	unsealed bool // it reads what was opened with keys
}

// reset forgets the message and gives its buffer back.
func (m *deframer) reset(p *Parser) {
	if m.buf != nil {
		p.putBuffer(m.buf)
	}
	*m = deframer{unsealed: m.unsealed}
}

// header takes bytes of a message's header and returns those behind it; the
// header is complete when hdrN is 4.
func (m *deframer) header(b []byte) []byte {
	n := copy(m.hdr[m.hdrN:], b)
	m.hdrN += uint8(n)
	return b[n:]
}

// handshake takes bytes of a handshake record's body.
func (d *direction) handshake(b []byte) {
	m := &d.msg
	for len(b) > 0 {
		if m.open {
			b = d.content(m, b)
			continue
		}
		if b = m.header(b); m.hdrN < 4 {
			return
		}
		// What is left of the record stands behind this header.
		if left := d.body + len(b); d.looksSealed(left) {
			m.reset(d.c.p)
			d.skip, d.body = d.body, 0
			if left+4 == d.blen { // the record began with this header
				d.record(HandshakeRecord, d.blen)
				d.torn = true
			} else {
				d.hidden()
			}
			return
		}
		d.openMessage(m)
	}
}

// content takes bytes of the message being read and returns those behind it.
func (d *direction) content(m *deframer, b []byte) []byte {
	n := min(m.left, len(b))
	m.left -= n
	if d.c.un != nil {
		d.c.un.script.body(d.c.p, d.from, m.typ, b[:n])
	}
	switch {
	case !m.want:
	case m.left == 0 && len(m.buf) == 0:
		d.message(m.typ, m.unsealed, b[:n]) // in one piece: no copy
		m.want = false
	default:
		if m.buf == nil {
			m.buf = d.c.p.buffer()
		}
		m.buf = append(m.buf, b[:n]...)
	}
	if m.left == 0 {
		d.closeMessage(m)
	}
	return b[n:]
}

// openMessage starts a message whose header is complete.
func (d *direction) openMessage(m *deframer) {
	n := int(m.hdr[1])<<16 | int(m.hdr[2])<<8 | int(m.hdr[3])
	m.typ, m.left, m.open, m.hdrN, m.holed = HandshakeType(m.hdr[0]), n, true, 0, false
	switch m.typ {
	case TypeClientHello, TypeServerHello, TypeCertificate, TypeCertificateRequest:
		m.want = n <= maxMessage
	case TypeNewSessionTicket:
		m.want = d.c.un != nil && n <= maxMessage
	case TypeEncryptedExtensions, TypeCompressedCert:
		m.want = m.unsealed && n <= maxMessage
	default:
		m.want = false
	}
	if n > maxMessage {
		d.c.malformed(d.from, "a handshake message claims more than 256 KiB")
	}
	e := Message{At: d.c.since(), From: d.from, Type: m.typ, Len: n, Unsealed: m.unsealed}
	if m == &d.msg {
		e.Gap, d.gap, d.torn = d.gap || d.torn, false, false
	} else {
		d.c.un.opened(d, &e)
	}
	if d.c.un != nil {
		d.c.un.script.header(d.c.p, d.from, m.typ, m.hdr[:], e.Gap)
	}
	d.c.emit(Event{Kind: EventMessage, From: d.from, Message: e})
	if n == 0 {
		d.closeMessage(m)
	}
}

// closeMessage ends the message whose last byte has passed.
func (d *direction) closeMessage(m *deframer) {
	if d.c.un != nil {
		d.c.un.ended(d.from, m.typ, m.holed)
	}
	switch {
	case m.holed:
		if m.typ == TypeCertificateRequest {
			d.c.emit(Event{Kind: EventCertificateRequest, From: d.from, Request: &CertificateRequest{
				At: d.c.now, From: d.from, Malformed: "part of the message was not captured",
			}})
		}
	case m.want:
		d.message(m.typ, m.unsealed, m.buf)
	}
	if m != &d.msg {
		d.c.un.closed(d, m.typ)
	}
	m.reset(d.c.p)
}

// lose accounts for up to n missing bytes and returns how many were inside the
// message being read; behind it, the next one begins where its length says.
func (m *deframer) lose(d *direction, n int) int {
	if !m.open {
		return 0
	}
	n = min(n, m.left)
	m.left -= n
	m.holed, m.want = true, false
	if m.left == 0 {
		d.closeMessage(m)
	}
	return n
}

// leastFragment is the least length of a record that ends within a message: the
// least that RFC 6066 §4 lets a peer ask for.
const leastFragment = 512

// looksSealed judges the four bytes that a handshake message seems to begin with, of
// which left are behind them in the record, where a ChangeCipherSpec has passed or
// may have been missed, or where a message begins is not known.
func (d *direction) looksSealed(left int) bool {
	t := HandshakeType(d.msg.hdr[0])
	n := int(d.msg.hdr[1])<<16 | int(d.msg.hdr[2])<<8 | int(d.msg.hdr[3])
	switch {
	case d.sealed:
		return (left+4 == d.blen || d.torn) && (t != TypeClientHello && t != TypeServerHello || n < left || n > maxMessage)
	case d.uncertain || d.torn || d.c.h.Midstream && left+4 >= d.blen:
		if left+4 > d.blen { // its header began in the record before, so perhaps elsewhere
			return true
		}
		switch t {
		case TypeHelloRequest, TypeServerHelloDone:
			return n != 0 || left != 0 // nonces of sealed records often begin with zeros
		case TypeClientHello, TypeServerHello, TypeNewSessionTicket, TypeCertificate,
			TypeServerKeyExchange, TypeCertificateRequest, TypeCertificateVerify,
			TypeClientKeyExchange, TypeCertificateStatus, TypeSupplementalData:
			return n > maxMessage || n > left && d.blen < leastFragment
		}
		return true
	}
	return false
}
