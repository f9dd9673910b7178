package parse

import "bytes"

// While it hunts, a direction does not know where a record begins: in front of
// TLS, in the middle of a stream, or behind a loss.

// search gives the record boundary up.
func (d *direction) search() {
	d.mode, d.hunted = hunting, 0
	d.uncertain = !d.sealed
	d.hidden()
	d.hdrN, d.skip, d.body = 0, 0, 0
	d.drop()
	d.held, d.cand = d.held[:0], candidate{}
	d.msg.reset(d.c.p)
}

// finish is told that no more bytes will come.
func (d *direction) finish() {
	// Where TLS is known to run, a record that ends with the stream needs no
	// second header to be believed.
	if d.mode == hunting && d.cand.set && d.cand.wait == 0 && len(d.held) == 0 && d.c.h.TLS {
		d.confirm()
	}
	if d.c.un != nil {
		d.c.un.drain(d)
	}
}

// confirm books the candidate and goes on behind it.
func (d *direction) confirm() {
	d.sync()
	r := d.cand.rec
	d.cand = candidate{}
	d.gap = false
	if r.Type == ChangeCipherSpec {
		d.sealed, d.uncertain = true, false
	}
	d.c.book(d, r)
	if d.c.un != nil && d.c.un.wants(d, r.Type, true) {
		d.c.un.missed(d)
	}
}

// sync leaves hunting with the next byte at a record boundary.
func (d *direction) sync() {
	d.mode, d.hunted = synced, 0
	if !d.found {
		d.found = true
		d.c.started()
	}
}

// plausibleHeader reports whether b[:5] can be a record header.
func plausibleHeader(b []byte) bool {
	return b[0] >= byte(ChangeCipherSpec) && b[0] <= byte(Heartbeat) &&
		b[1] == 3 && b[2] <= 4 && int(b[3])<<8|int(b[4]) <= maxRecord
}

// hunt looks for the beginning of a record and returns the bytes from there on,
// or keeps back what may be one and returns nil.
func (d *direction) hunt(data []byte) []byte {
	if len(d.held) > 0 {
		data = append(d.held[:len(d.held):len(d.held)], data...)
		d.held = d.held[:0]
	}
	for len(data) > 0 {
		if d.fresh || d.due {
			rest, v := d.opening(data)
			if v == signNeedMore {
				return d.hold(data)
			}
			d.fresh, d.due = false, false
			if v == signYes {
				return rest
			}
		}
		if d.hunted > huntLimit {
			d.mode = opaque
			return nil
		}
		if d.cand.set {
			n := min(d.cand.wait, len(data))
			d.cand.wait -= n
			d.hunted += n
			d.passAll(data[:n])
			data = data[n:]
			if d.cand.wait > 0 || len(data) < headerLen {
				return d.hold(data)
			}
			if plausibleHeader(data) {
				d.confirm()
				return data
			}
			d.cand = candidate{}
		}
		i, v := d.scan(data)
		n, due := d.pass(data[:i])
		d.hunted += n
		data = data[n:]
		if due {
			d.due = true
			continue
		}
		switch v {
		case signYes:
			d.sync()
			return data
		case signNeedMore:
			return d.hold(data)
		case signMaybe:
			n := int(data[3])<<8 | int(data[4])
			d.cand = candidate{set: true, wait: n, rec: Record{
				At: d.c.since(), From: d.from, Type: ContentType(data[0]), Len: uint16(n), Gap: d.gap,
			}}
			d.hunted += headerLen
			d.passAll(data[:headerLen])
			data = data[headerLen:]
		}
	}
	return nil
}

// hold keeps bytes back until more come.
func (d *direction) hold(b []byte) []byte {
	d.held = append(d.held[:0], b...)
	return nil
}

// sign is how far bytes look like TLS.
type sign uint8

const (
	signNo       sign = iota
	signNeedMore      // too few bytes to tell
	signMaybe         // a record header, to be confirmed by the next
	signYes
)

// scan finds the first place in data that looks like TLS and how much so.
func (d *direction) scan(data []byte) (int, sign) {
	for pos := 0; ; {
		// All record headers have the major version 3 at their second byte.
		j := bytes.IndexByte(data[min(pos+1, len(data)):], 3)
		if j < 0 {
			if isRecordType(data[len(data)-1]) {
				return len(data) - 1, signNeedMore
			}
			return len(data), signNo
		}
		pos += j
		if isRecordType(data[pos]) {
			if v := d.signature(data[pos:]); v != signNo {
				return pos, v
			}
		}
		pos++
	}
}

func isRecordType(b byte) bool {
	return b >= byte(ChangeCipherSpec) && b <= byte(Heartbeat)
}

// signature judges bytes that begin with a record type and a 3. It asks for as
// many bytes as the strongest sign takes before it settles for a weaker one, so
// that the way bytes are split makes no difference.
func (d *direction) signature(b []byte) sign {
	if len(b) >= 3 && b[2] > 4 || len(b) >= headerLen && !plausibleHeader(b) {
		return signNo
	}
	if len(b) < headerLen {
		return signNeedMore
	}
	n := int(b[3])<<8 | int(b[4])
	switch ContentType(b[0]) {
	case HandshakeRecord:
		if n < 4 {
			break
		}
		if len(b) < headerLen+min(n, signatureLen-headerLen) {
			return signNeedMore
		}
		if opensMessage(b[headerLen:], n) {
			return signYes
		}
	case AlertRecord:
		if n == 2 && d.c.h.TLS && !d.c.dirs[d.from.Other()].fresh {
			if len(b) < headerLen+2 {
				return signNeedMore
			}
			if b[5] == 1 || b[5] == 2 {
				return signYes
			}
		}
	case ChangeCipherSpec:
		if n != 1 && n > 64 {
			return signNo
		}
	}
	if n == 0 {
		return signNo
	}
	return signMaybe
}

// opensMessage reports whether a handshake record of n bytes whose body begins
// with b opens with a message in the clear: a hello, or any one that fills the
// record exactly.
func opensMessage(b []byte, n int) bool {
	msg := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	version := n >= 6 && (b[4] == 3 && b[5] <= 4 || b[4] == 0x7f)
	switch HandshakeType(b[0]) {
	case TypeClientHello:
		return version && msg >= 41 && msg+4 >= n
	case TypeServerHello:
		return version && msg >= 36 && msg < 1<<14
	case TypeCertificate, TypeServerKeyExchange, TypeCertificateRequest, TypeServerHelloDone,
		TypeCertificateVerify, TypeClientKeyExchange, TypeNewSessionTicket, TypeCertificateStatus:
		return msg+4 == n
	}
	return false
}

// opening judges the first bytes of a stream, or those behind a preamble. Right
// there a hello may also be in the SSL 2.0 layout, or spread over records too
// small for a signature.
func (d *direction) opening(b []byte) ([]byte, sign) {
	if d.mayWrap(b[0]) {
		return d.openingTDS(b)
	}
	if d.c.h.Midstream && !d.due {
		return b, signNo
	}
	if v := d.openingOpenVPN(b); v != signNo {
		return b, v
	}
	if b[0] == byte(HandshakeRecord) {
		if len(b) < headerLen+1 {
			if len(b) >= 2 && b[1] != 3 {
				return b, signNo
			}
			return b, signNeedMore
		}
		t := HandshakeType(b[5])
		if plausibleHeader(b) && (t == TypeClientHello || t == TypeServerHello || t == TypeHelloRequest) {
			d.sync()
			return b, signYes
		}
		return b, signNo
	}
	if b[0]&0x80 != 0 {
		return d.openingSSL2(b)
	}
	return b, signNo
}
