package parse

import "golang.org/x/crypto/cryptobyte"

// QUIC frames (RFC 9000 §19), of which CRYPTO and CONNECTION_CLOSE are read.

// Frame types.
const (
	framePadding         = 0x00
	frameACK             = 0x02
	frameACKECN          = 0x03
	frameCrypto          = 0x06
	frameNewToken        = 0x07
	frameStream          = 0x08 // to 0x0f: FIN, length and offset are bits
	frameNewConnectionID = 0x18
	framePathChallenge   = 0x1a
	framePathResponse    = 0x1b
	frameClose           = 0x1c
	frameCloseApp        = 0x1d
	frameDatagram        = 0x30 // and 0x31, with a length (RFC 9221)
)

// frameIntegers is how many integers a frame consists of, for those that are
// nothing else; the index is the type.
var frameIntegers = [...]int8{
	0x00: 0, 0x01: 0, 0x02: -1, 0x03: -1, 0x04: 3, 0x05: 2, 0x06: -1, 0x07: -1,
	0x08: -1, 0x09: -1, 0x0a: -1, 0x0b: -1, 0x0c: -1, 0x0d: -1, 0x0e: -1, 0x0f: -1,
	0x10: 1, 0x11: 2, 0x12: 1, 0x13: 1, 0x14: 1, 0x15: 2, 0x16: 1, 0x17: 1,
	0x18: -1, 0x19: 1, 0x1a: -1, 0x1b: -1, 0x1c: -1, 0x1d: -1, 0x1e: 0,
}

// frames reads the frames of an opened packet.
func (q *quicReader) frames(level quicLevel, from Side, b []byte) {
	s := cryptobyte.String(b)
	for len(s) > 0 {
		if s[0] == framePadding {
			s = s[1:]
			continue
		}
		typ, ok := readVarint(&s)
		if ok {
			ok = q.frame(level, from, typ, &s)
		}
		if !ok {
			q.c.malformed(from, "a QUIC packet with a frame that is not known or cut short")
			return
		}
	}
}

// frame reads what follows the type of a frame, and returns false if it can't.
func (q *quicReader) frame(level quicLevel, from Side, typ uint64, s *cryptobyte.String) bool {
	if typ < uint64(len(frameIntegers)) && frameIntegers[typ] >= 0 {
		return skipVarints(s, uint64(frameIntegers[typ]))
	}
	switch {
	case typ == frameACK || typ == frameACKECN:
		return skipACK(s, typ == frameACKECN)
	case typ == frameCrypto:
		return q.cryptoFrame(level, from, s)
	case typ == frameNewToken:
		return skipData(s)
	case typ&^7 == frameStream:
		n := uint64(1)
		if typ&4 != 0 {
			n = 2
		}
		return skipVarints(s, n) && skipRest(s, typ&2 != 0)
	case typ == frameNewConnectionID:
		var id cryptobyte.String
		return skipVarints(s, 2) && s.ReadUint8LengthPrefixed(&id) && s.Skip(16)
	case typ == framePathChallenge || typ == framePathResponse:
		return s.Skip(8)
	case typ == frameClose:
		return q.closeFrame(level, from, s)
	case typ == frameCloseApp:
		return skipVarints(s, 1) && skipData(s)
	case typ&^1 == frameDatagram:
		return skipRest(s, typ&1 != 0)
	}
	return false
}

// cryptoFrame takes CRYPTO (§19.6).
func (q *quicReader) cryptoFrame(level quicLevel, from Side, s *cryptobyte.String) bool {
	at, ok1 := readVarint(s)
	n, ok2 := readVarint(s)
	var data []byte
	if !ok1 || !ok2 || n > uint64(len(*s)) || !s.ReadBytes(&data, int(n)) {
		return false
	}
	if level == levelData {
		return true // session tickets
	}
	stream := &q.crypto[level][from]
	if at+n > maxCrypto || !stream.take(at, data, func(b []byte) { q.message(level, from, stream, b) }) {
		q.c.malformed(from, "CRYPTO frames beyond what is kept")
	}
	return true
}

// closeFrame takes CONNECTION_CLOSE (§19.19), whose error may be a TLS alert
// (RFC 9001 §4.8).
func (q *quicReader) closeFrame(level quicLevel, from Side, s *cryptobyte.String) bool {
	const cryptoError = 0x0100
	code, ok := readVarint(s)
	if !ok || !skipVarints(s, 1) || !skipData(s) {
		return false
	}
	if code&^0xff != cryptoError {
		return true
	}
	alert := Alert{At: q.c.since(), From: from, Fatal: true, Description: uint8(code), Unsealed: level != levelInitial}
	for _, a := range q.c.h.Alerts { // a close is repeated while packets come in
		if a.From == from && a.Description == alert.Description {
			return true
		}
	}
	q.c.emit(Event{Kind: EventAlert, From: from, Alert: alert})
	return true
}

// skipACK passes over ACK (§19.3).
func skipACK(s *cryptobyte.String, ecn bool) bool {
	if !skipVarints(s, 2) {
		return false
	}
	ranges, ok := readVarint(s)
	if !ok || ranges > uint64(len(*s)) || !skipVarints(s, 1+2*ranges) {
		return false
	}
	return !ecn || skipVarints(s, 3)
}

func skipVarints(s *cryptobyte.String, n uint64) bool {
	for range n {
		if _, ok := readVarint(s); !ok {
			return false
		}
	}
	return true
}

// skipData passes over a length and as many bytes.
func skipData(s *cryptobyte.String) bool {
	n, ok := readVarint(s)
	return ok && n <= uint64(len(*s)) && s.Skip(int(n))
}

// skipRest passes over data with a length, or up to the end of the packet.
func skipRest(s *cryptobyte.String, length bool) bool {
	if length {
		return skipData(s)
	}
	return s.Skip(len(*s))
}
