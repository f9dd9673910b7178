package parse

import "encoding/binary"

// TDS 7.x, of SQL Server, carries the TLS handshake in packets of its own with
// an 8-byte header each (MS-TDS §2.2.3.1): type, status, length of the whole
// with the most significant byte first, SPID, packet number, window. Behind the
// handshake records follow each other without packets.
const (
	tdsHeader   = 8
	tdsPreLogin = 0x12
	tdsTabular  = 0x04 // a server's answer
	tdsMaxLen   = 1 << 15
)

// tdsPacket is how far a direction is in a packet.
type tdsPacket struct {
	on   bool // the stream is one of packets
	was  bool // it has been
	hdr  [tdsHeader]byte
	hdrN uint8
	left int // payload bytes still to come
}

// tdsPlausible reports whether b begins with a packet header of type t.
func tdsPlausible(b []byte, t byte) bool {
	n := int(binary.BigEndian.Uint16(b[2:]))
	return b[0] == t && b[1] <= 1 && n > tdsHeader && n <= tdsMaxLen && b[7] == 0
}

// mayWrap reports whether the byte a stream begins with may be of a packet: a
// client's PRELOGIN, or the answer to it.
func (d *direction) mayWrap(b byte) bool {
	if d.tds.on || d.tds.was {
		return false
	}
	if d.from == Opener {
		return b == tdsPreLogin
	}
	o := &d.c.dirs[Opener].tds
	return b == tdsTabular && (o.on || o.was)
}

// openingTDS looks for the first packet.
func (d *direction) openingTDS(b []byte) ([]byte, sign) {
	if len(b) < tdsHeader {
		return b, signNeedMore
	}
	if !tdsPlausible(b, b[0]) {
		return b, signNo
	}
	d.tds.on = true
	if l := d.c.heard; l == nil {
		d.c.heard = &listener{vote: -1}
	}
	d.c.heard.wrapped()
	return b, signYes
}

// wrapped is told that the stream is one of TDS packets.
func (l *listener) wrapped() {
	l.row = &tdsRow
	for s := range l.ears {
		l.ears[s].deaf, l.ears[s].buf, l.ears[s].taken = true, nil, 1
	}
}

var tdsRow = Preamble{Name: "tds"}

// unwrap takes bytes of packets and hands on what they carry.
func (d *direction) unwrap(data []byte) []byte {
	p := &d.tds
	if p.left > 0 {
		n := min(p.left, len(data))
		p.left -= n
		d.feedInner(data[:n])
		return data[n:]
	}
	if p.hdrN == 0 && data[0] != tdsPreLogin && data[0] != tdsTabular {
		p.on, p.was = false, true
		return data
	}
	n := copy(p.hdr[p.hdrN:], data)
	p.hdrN += uint8(n)
	data = data[n:]
	if p.hdrN < tdsHeader {
		return nil
	}
	p.hdrN = 0
	if !tdsPlausible(p.hdr[:], p.hdr[0]) {
		p.on, p.was = false, true
		d.feedInner(p.hdr[:])
		return data
	}
	if p.hdr[0] == tdsTabular && d.found && d.mode == synced && d.atBoundary() {
		// Only the log-in was encrypted (MS-TDS §2.2.6.5, ENCRYPT_OFF).
		p.on, p.was = false, true
		d.mode = opaque
		return nil
	}
	p.left = int(binary.BigEndian.Uint16(p.hdr[2:])) - tdsHeader
	if d.mode == hunting && len(d.held) == 0 && !d.cand.set {
		d.due = true
	}
	return data
}

// atBoundary reports whether the next byte begins a record.
func (d *direction) atBoundary() bool { return d.hdrN == 0 && d.body == 0 && d.skip == 0 }

// endsTDS reports whether what stands where a record header is due is TDS
// without TLS, behind a log-in that had it, and ends the reading of TLS then.
func (d *direction) endsTDS() bool {
	if !d.tds.was || isRecordType(d.hdr[0]) {
		return false
	}
	d.mode = opaque
	return true
}

// loseWrapped takes note of n bytes missing from packets. Behind a header that
// is lost nothing tells payload from headers.
func (d *direction) loseWrapped(n int) {
	p := &d.tds
	if k := min(n, p.left); k > 0 {
		p.left -= k
		n -= k
		d.loseInner(k)
	}
	if n > 0 {
		p.on, p.was, p.hdrN, p.left = false, true, 0, 0
		d.loseInner(n)
	}
}
