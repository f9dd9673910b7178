package parse

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// QUIC packets as far as they show without keys (RFC 8999, RFC 9000 §17).

// Bits of a packet's first byte.
const (
	quicLong  = 0x80 // header form
	quicFixed = 0x40
)

// maxConnectionID is the longest connection ID of the versions read, in bytes
// (RFC 9000 §17.2).
const maxConnectionID = 20

// quicType is what a long header announces, in the numbering of version 1.
type quicType uint8

const (
	quicInitial quicType = iota
	quicZeroRTT
	quicHandshake
	quicRetry
)

// quicVersion is how a version differs from others in what is read here.
type quicVersion struct {
	name string
	// salt is what Initial keys are extracted with (RFC 9001 §5.2).
	salt string
	// label is in front of "key", "iv" and "hp" (RFC 9001 §5.1, RFC 9369 §3.3.2).
	label string
	// shift is added to a type of version 1, modulo 4 (RFC 9369 §3.2).
	shift uint8
	// retryKey and retryNonce seal the Retry packet (RFC 9001 §5.8).
	retryKey, retryNonce string
}

// Salts by the version that introduced them.
const (
	saltDraft22 = "\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a"
	saltDraft23 = "\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02"
	saltDraft29 = "\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99"
	saltV1      = "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"
	saltV2      = "\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"
)

var (
	quicV1 = quicVersion{
		name: "1", salt: saltV1, label: "quic ",
		retryKey:   "\xbe\x0c\x69\x0b\x9f\x66\x57\x5a\x1d\x76\x6b\x54\xe3\x68\xc8\x4e",
		retryNonce: "\x46\x15\x99\xd3\x5d\x63\x2b\xf2\x23\x98\x25\xbb",
	}
	quicV2 = quicVersion{
		name: "2", salt: saltV2, label: "quicv2 ", shift: 1,
		retryKey:   "\x8f\xb4\xb0\x1b\x56\xac\x48\xe2\x60\xfb\xcb\xce\xad\x7c\xcc\x92",
		retryNonce: "\xd8\x69\x69\xbc\x2d\x7c\x6d\x99\x90\xef\xb0\x4a",
	}
)

func hexVersion(v uint32) string { return fmt.Sprintf("0x%08x", v) }

// quicVersionOf returns what is known of a version, ok false for nothing.
func quicVersionOf(v uint32) (q quicVersion, ok bool) {
	draft := func(n uint32, salt string) quicVersion {
		return quicVersion{name: fmt.Sprintf("draft-%d", n), salt: salt, label: "quic "}
	}
	switch {
	case v == 1:
		return quicV1, true
	case v == 0x6b3343cf:
		return quicV2, true
	case v == 0xfaceb001: // what mvfst spoke before
		q = draft(22, saltDraft22)
		q.name = "mvfst"
		return q, true
	case v == 0xfaceb002 || v == 0xfaceb003 || v == 0xfaceb00e || v == 0xfaceb00f || v == 0xfaceb010 || v == 0xfaceb011 || v == 0xfaceb012 || v == 0xfaceb013:
		q = draft(27, saltDraft23)
		q.name = "mvfst"
		return q, true
	case v>>8 != 0xff0000:
		return quicVersion{}, false
	}
	switch n := v & 0xff; {
	case n == 22:
		return draft(n, saltDraft22), true
	case n >= 23 && n <= 28:
		return draft(n, saltDraft23), true
	case n >= 29 && n <= 32:
		return draft(n, saltDraft29), true
	case n == 33 || n == 34:
		return draft(n, saltV1), true
	}
	return quicVersion{}, false
}

// quicPacket is a packet with a long header.
type quicPacket struct {
	version    uint32
	spec       quicVersion // valid iff known
	known      bool
	typ        quicType
	dcid, scid []byte
	token      []byte // Initial; of a Retry, the token with the tag behind it
	// number is where the packet number begins; whole ends with the packet.
	number int
	whole  []byte
}

// read takes the first packet of b, which has the long header form, and returns
// what is behind it. Of a version that is not known only the connection IDs are
// read, and nothing is behind it.
func (p *quicPacket) read(b []byte) (rest []byte, ok bool) {
	s := cryptobyte.String(b)
	var first uint8
	var dcid, scid cryptobyte.String
	if !s.ReadUint8(&first) || !s.ReadUint32(&p.version) ||
		!s.ReadUint8LengthPrefixed(&dcid) || !s.ReadUint8LengthPrefixed(&scid) {
		return nil, false
	}
	p.dcid, p.scid, p.whole, p.token = dcid, scid, b, nil
	p.spec, p.known = quicVersionOf(p.version)
	if !p.known {
		return nil, true
	}
	if len(dcid) > maxConnectionID || len(scid) > maxConnectionID {
		return nil, false
	}
	p.typ = quicType((first>>4 - p.spec.shift) & 3)
	if p.typ == quicRetry {
		p.token = s
		return nil, true
	}
	if p.typ == quicInitial {
		n, ok := readVarint(&s)
		if !ok || n > uint64(len(s)) {
			return nil, false
		}
		s.ReadBytes(&p.token, int(n))
	}
	n, ok := readVarint(&s)
	if !ok || n > uint64(len(s)) {
		return nil, false
	}
	p.number = len(b) - len(s)
	p.whole = b[:p.number+int(n)]
	return b[p.number+int(n):], true
}

// readVarint reads a variable-length integer (RFC 9000 §16).
func readVarint(s *cryptobyte.String) (uint64, bool) {
	var b []byte
	if len(*s) == 0 || !s.ReadBytes(&b, 1<<((*s)[0]>>6)) {
		return 0, false
	}
	v := uint64(b[0] & 0x3f)
	for _, c := range b[1:] {
		v = v<<8 | uint64(c)
	}
	return v, true
}

// quicOpening is OpeningOf for the long header form.
func quicOpening(b []byte) Opening {
	if b[0]&quicFixed == 0 {
		return NoOpening
	}
	switch v := binary.BigEndian.Uint32(b[1:]); {
	case v == 1, v == 0x6b3343cf, v>>8 == 0xff0000, v>>8 == 0xfaceb0:
	default:
		return NoOpening
	}
	var p quicPacket
	if _, ok := p.read(b); !ok || !p.known {
		return NoOpening
	}
	if p.typ == quicInitial {
		return Begins
	}
	return Underway
}
