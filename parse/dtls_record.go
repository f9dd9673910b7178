package parse

import "encoding/binary"

// DTLS records (RFC 6347 §4.1): type, version, epoch, sequence number, length.

// dtlsHeader is the length of a record header.
const dtlsHeader = 13

// dtlsRecord is one record.
type dtlsRecord struct {
	typ   ContentType
	epoch uint16
	seq   uint64 // 48 bits
	body  []byte
}

// Record types that only DTLS has.
const (
	dtlsConnectionID ContentType = 25 // RFC 9146
	dtlsACK          ContentType = 26 // RFC 9147 §7
)

// isDTLSVersion tells the version field of a record: DTLS 1.0, 1.2, or what
// OpenSSL sent before release 0.9.8f.
func isDTLSVersion(major, minor byte) bool {
	return major == 0xfe && (minor == 0xff || minor == 0xfd) || major == 1 && minor == 0
}

// readDTLSRecord takes the first record of b, ok false if there is none. The
// body may be cut short by the snap length.
func readDTLSRecord(b []byte) (r dtlsRecord, rest []byte, ok bool) {
	if len(b) < dtlsHeader || b[0] < byte(ChangeCipherSpec) || b[0] > byte(dtlsACK) || !isDTLSVersion(b[1], b[2]) {
		return dtlsRecord{}, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[11:]))
	if n > maxRecord {
		return dtlsRecord{}, nil, false
	}
	r = dtlsRecord{typ: ContentType(b[0]), epoch: binary.BigEndian.Uint16(b[3:])}
	r.seq = binary.BigEndian.Uint64(b[3:]) & (1<<48 - 1)
	b = b[dtlsHeader:]
	n = min(n, len(b))
	r.body = b[:n]
	return r, b[n:], true
}

// dtlsBody returns where DTLS begins in a datagram: at its start, or behind the
// preamble of CAPWAP (RFC 5415 §4.2) or the channel number of TURN (RFC 8656
// §12.4).
func dtlsBody(b []byte) []byte {
	const shim = 4
	if len(b) < shim+dtlsHeader {
		return b
	}
	capwap := binary.BigEndian.Uint32(b) == 0x01000000
	turn := b[0]>>6 == 1 && int(binary.BigEndian.Uint16(b[2:])) <= len(b)-shim
	if (capwap || turn) && isDTLSVersion(b[shim+1], b[shim+2]) {
		return b[shim:]
	}
	return b
}

// dtlsOpening is OpeningOf for what is not the long header form of QUIC. A
// record in the clear must begin with a fragment of a handshake message; others
// must fill the datagram to its end.
func dtlsOpening(b []byte) Opening {
	b = dtlsBody(b)
	r, rest, ok := readDTLSRecord(b)
	if !ok {
		return NoOpening
	}
	if r.epoch == 0 && r.typ == HandshakeRecord {
		f, _, ok := readDTLSFragment(r.body)
		switch {
		case !ok || f.at+len(f.data) > f.len || f.len > maxMessage:
			return NoOpening
		case f.typ == TypeClientHello:
			return Begins
		}
		return Underway
	}
	for len(rest) > 0 {
		if _, rest, ok = readDTLSRecord(rest); !ok {
			return NoOpening
		}
	}
	if len(r.body) != int(binary.BigEndian.Uint16(b[11:])) {
		return NoOpening
	}
	return Underway
}

// dtlsFragment is a piece of a handshake message (RFC 6347 §4.2.2).
type dtlsFragment struct {
	typ  HandshakeType
	len  int // of the message
	seq  uint16
	at   int
	data []byte
}

// readDTLSFragment takes the first fragment in a record's body. Its data may be
// cut short by the snap length.
func readDTLSFragment(b []byte) (f dtlsFragment, rest []byte, ok bool) {
	const header = 12
	if len(b) < header {
		return dtlsFragment{}, nil, false
	}
	u24 := func(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
	f = dtlsFragment{typ: HandshakeType(b[0]), len: u24(b[1:]), seq: binary.BigEndian.Uint16(b[4:]), at: u24(b[6:])}
	n := u24(b[9:])
	b = b[header:]
	if f.at+n > f.len {
		return dtlsFragment{}, nil, false
	}
	n = min(n, len(b))
	f.data = b[:n]
	return f, b[n:], true
}
