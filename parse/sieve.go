package parse

// Sieve tells a source that has all bytes of one direction which of them a Conn
// looks at: everything but the bodies of application data records. What it lets
// a source leave out, the source counts in Chunk.Skipped; the facts stay the
// same, but for a Parser with Keys, which opens such bodies.
//
// It follows a stream only from its first byte and as long as that consists of
// records. The zero value stands before the first byte.
type Sieve struct {
	state sieveState
	hdrN  uint8
	hdr   [headerLen + 1]byte // the first header with the first byte behind it
	rest  int                 // of the body of the record the stream stands in
	bulk  bool                // that body may be left out
}

type sieveState uint8

const (
	sieveFirst   sieveState = iota // in the first record's header
	sieveRecords                   // between or in records
	sieveOff                       // nothing is left out any more
)

// Next looks at the next bytes of the stream, at least one, and cuts a run off
// their front: n bytes to be handed over or, with skip, to be left out.
func (s *Sieve) Next(b []byte) (n int, skip bool) {
	if s.state == sieveFirst {
		return s.first(b), false
	}
	for n < len(b) && s.state == sieveRecords {
		if s.rest == 0 {
			n += s.header(b[n:])
			continue
		}
		if s.bulk && n > 0 {
			return n, false
		}
		k := min(s.rest, len(b)-n)
		s.rest -= k
		n += k
		if s.bulk {
			return n, true
		}
	}
	if s.state == sieveOff {
		n = len(b)
	}
	return n, false
}

// first reads the first header and the byte behind it, by which a Conn knows
// the beginning of TLS (see opening).
func (s *Sieve) first(b []byte) int {
	k := copy(s.hdr[s.hdrN:], b)
	if s.hdrN += uint8(k); s.hdrN < uint8(len(s.hdr)) {
		return k
	}
	t := HandshakeType(s.hdr[headerLen])
	n := int(s.hdr[3])<<8 | int(s.hdr[4])
	if s.hdr[0] != byte(HandshakeRecord) || n == 0 || !plausibleHeader(s.hdr[:]) ||
		t != TypeClientHello && t != TypeServerHello && t != TypeHelloRequest {
		s.state = sieveOff
		return len(b)
	}
	s.state, s.hdrN, s.rest = sieveRecords, 0, n-1
	return k
}

// header reads on in a record header.
func (s *Sieve) header(b []byte) int {
	k := copy(s.hdr[s.hdrN:headerLen], b)
	if s.hdrN += uint8(k); s.hdrN < headerLen {
		return k
	}
	s.hdrN = 0
	if !plausibleHeader(s.hdr[:]) {
		s.state = sieveOff
		return k
	}
	s.rest = int(s.hdr[3])<<8 | int(s.hdr[4])
	s.bulk = ContentType(s.hdr[0]) == ApplicationData
	return k
}
