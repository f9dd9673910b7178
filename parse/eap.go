package parse

import "encoding/binary"

// EAP packets (RFC 3748 §4) of the methods that carry TLS records.

// Codes and types of EAP.
const (
	eapRequest  = 1
	eapResponse = 2
	eapSuccess  = 3
	eapFailure  = 4

	eapHeader = 5 // code, identifier, length, and the type of a request or response
)

// eapMethods are the types whose data is flags and a piece of a TLS flight.
var eapMethods = [...]struct {
	typ  uint8
	name string
}{
	{13, "eap-tls"},  // RFC 5216
	{21, "eap-ttls"}, // RFC 5281
	{25, "peap"},
	{43, "eap-fast"}, // RFC 4851
	{55, "teap"},     // RFC 7170
}

// eapMethod names the method of a packet, empty if it carries no TLS.
func eapMethod(b []byte) string {
	if len(b) <= eapHeader || b[0] != eapRequest && b[0] != eapResponse {
		return ""
	}
	for _, m := range eapMethods {
		if m.typ == b[4] {
			return m.name
		}
	}
	return ""
}

// EAPRequest reports whether an EAP packet comes from the authenticator; ok is
// false if it is none of the four kinds of packet.
func EAPRequest(b []byte) (request, ok bool) {
	if len(b) < 4 || int(binary.BigEndian.Uint16(b[2:])) < 4 {
		return false, false
	}
	switch b[0] {
	case eapRequest, eapSuccess, eapFailure:
		return true, true
	case eapResponse:
		return false, true
	}
	return false, false
}

// OpensEAP reports whether an EAP packet can be the first one seen of an
// authentication by TLS.
func OpensEAP(b []byte) bool { return eapMethod(b) != "" }

// EndsEAP reports whether an EAP packet is the last one of an authentication.
func EndsEAP(b []byte) bool {
	return len(b) >= 4 && (b[0] == eapSuccess || b[0] == eapFailure)
}

// eapReader puts the flights of TLS together from the packets of one
// authentication (RFC 5216 §2.1.5) and gives them to the directions of the Conn
// as the streams of records they are.
type eapReader struct {
	c     *Conn
	sides [2]eapSide

	// asked is the Identifier of the latest request; valid iff some. A response
	// bears the Identifier of its request (RFC 3748 §4.1), so that either shows
	// where the other is missing.
	asked          uint8
	some, answered bool
}

// eapSide is one direction.
type eapSide struct {
	last   uint8 // Identifier of the packet before; valid iff some
	some   bool
	open   bool // in the middle of a flight
	broken bool // and part of it is missing
	total  int  // the length of the flight, 0 if it was not told
	flight []byte
}

// maxFlight bounds a flight that is being put together.
const maxFlight = 128 << 10

// Flags of the packets (RFC 5216 §3.1, RFC 7170 §4.1).
const (
	eapLengthIncluded = 0x80
	eapMoreFragments  = 0x40
	eapStart          = 0x20
	eapOuterTLV       = 0x10 // TEAP
)

// packet takes an EAP packet of which lost bytes were cut off.
func (r *eapReader) packet(from Side, b []byte, lost int) {
	method := eapMethod(b)
	if method == "" {
		return
	}
	r.c.h.Method = method
	s := &r.sides[from]
	id := b[1]
	if s.some && s.last == id {
		return // sent again
	}
	r.sequence(from, id)
	s.last, s.some = id, true
	if n := int(binary.BigEndian.Uint16(b[2:])); n < len(b) {
		b = b[:max(n, eapHeader)]
	}
	b = b[eapHeader:]
	if len(b) == 0 {
		return
	}
	flags := b[0]
	b = b[1:]
	if flags&eapStart != 0 {
		return // what may follow is no TLS
	}
	total := 0
	if flags&eapLengthIncluded != 0 {
		if len(b) < 4 {
			r.lose(from)
			return
		}
		total = int(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if method == "teap" && flags&eapOuterTLV != 0 {
		if len(b) < 4 {
			r.lose(from)
			return
		}
		outer := int(binary.BigEndian.Uint32(b))
		b = b[4:]
		b = b[:len(b)-min(outer, len(b))] // they stand behind the TLS data
	}
	r.fragment(from, b, total, flags&eapMoreFragments != 0, lost > 0)
}

// sequence looks for packets missing in front of the one with that Identifier.
func (r *eapReader) sequence(from Side, id uint8) {
	response := from == Opener
	switch {
	case response && r.some && id != r.asked:
		r.lose(Accepter) // its request
	case !response && r.some && !r.answered:
		r.lose(Opener) // the answer to the request before
	}
	if response {
		r.answered = true
		return
	}
	r.asked, r.some, r.answered = id, true, false
}

// fragment takes a piece of a flight.
func (r *eapReader) fragment(from Side, b []byte, total int, more, cut bool) {
	s := &r.sides[from]
	if !s.open {
		if len(b) == 0 && !more {
			return // acknowledges a piece of the other side's
		}
		// Of several pieces the first one tells the length.
		s.open, s.broken, s.total, s.flight = true, more && total == 0, total, s.flight[:0]
	}
	s.broken = s.broken || cut || len(s.flight)+len(b) > maxFlight
	if !s.broken {
		s.flight = append(s.flight, b...)
	}
	if more {
		return
	}
	s.open = false
	if s.broken || s.total != 0 && s.total != len(s.flight) {
		r.lose(from)
		return
	}
	r.c.dirs[from].feed(s.flight)
}

// lose notes that part of a direction's stream is missing.
func (r *eapReader) lose(from Side) {
	if s := &r.sides[from]; s.open {
		s.broken = true
		return
	}
	r.c.h.Sides[from].Lost++
	r.c.emit(Event{Kind: EventLost, From: from, Bytes: 1})
	r.c.dirs[from].lose(1)
}
