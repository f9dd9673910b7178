package attribute

import (
	"fmt"
	"time"

	"whoasked/parse"
)

// Rules on messages that were unsealed with keys. Their gaps are told by
// sequence numbers, so that what is missing is known exactly.

// findOpened returns the first unsealed message of a side that is of one of the
// types, in the first handshake or in a later one.
func (v *view) findOpened(from parse.Side, later bool, types ...parse.HandshakeType) *parse.Message {
	for i := range v.opened {
		m := &v.opened[i]
		if m.From != from || m.Round > 0 != later {
			continue
		}
		for _, t := range types {
			if m.Type == t {
				return m
			}
		}
	}
	return nil
}

// request returns the first CertificateRequest that was read in the clear or
// unsealed, nil for none.
func (v *view) request(unsealed bool) *parse.CertificateRequest {
	for _, r := range v.Requests {
		if r.Unsealed == unsealed {
			return r
		}
	}
	return nil
}

// naming says for whose certificates a request asks.
func naming(r *parse.CertificateRequest) string {
	switch {
	case r == nil:
		return ""
	case r.Malformed != "":
		return ", not fully readable: " + r.Malformed
	case len(r.Authorities) == 0:
		return " naming no authority"
	case len(r.Authorities) == 1:
		return " naming 1 authority"
	}
	return fmt.Sprintf(" naming %d authorities", len(r.Authorities))
}

// certificates are the messages by which a client answers a request.
var certificates = [...]parse.HandshakeType{parse.TypeCertificate, parse.TypeCompressedCert}

// requestUnsealed: the CertificateRequest of a TLS 1.3 handshake (RFC 8446
// §4.3.2).
func requestUnsealed(v *view) finding {
	m := v.findOpened(v.server, false, parse.TypeCertificateRequest)
	if m == nil {
		return finding{}
	}
	return finding{answer: Yes, text: fmt.Sprintf("CertificateRequest of %d bytes from %s%s",
		m.Len, parse.EndName(v.Flow.Addrs[v.server]), naming(v.request(true)))}
}

// clientCertificateUnsealed: a client answers only a request (RFC 8446 §4.4.2).
func clientCertificateUnsealed(v *view) finding {
	m := v.findOpened(v.client, false, certificates[:]...)
	if m == nil {
		return finding{}
	}
	return finding{answer: Yes, text: "the client answered with " + v.certificateWords(m) + ", which it sends only when asked"}
}

func (v *view) certificateWords(m *parse.Message) string {
	if v.emptyOpened(m) {
		return "an empty Certificate message"
	}
	return fmt.Sprintf("a Certificate message of %d bytes", m.Len)
}

// emptyOpened reports whether an unsealed Certificate message of the client
// holds no certificate: nothing but its request's context and the length of an
// empty list.
func (v *view) emptyOpened(m *parse.Message) bool {
	if m.Type == parse.TypeCompressedCert {
		return false
	}
	if !v.tls13 {
		return m.Len <= 3
	}
	context := 0
	if m.Round > 0 {
		later := 0
		for _, r := range v.Requests {
			if !r.Unsealed || len(r.Context) == 0 {
				continue
			}
			if later++; later == int(m.Round) {
				context = len(r.Context)
			}
		}
		if later < int(m.Round) { // that request was not read: no certificate is as short as a context
			return m.Len <= 1+255+3
		}
	}
	return m.Len <= 1+context+3
}

// serverFlightUnsealed: EncryptedExtensions up to Finished, and no request.
func serverFlightUnsealed(v *view) finding {
	if !v.tls13 {
		return finding{}
	}
	begun := false
	for _, m := range v.opened {
		switch {
		case m.From != v.server || m.Round > 0:
		case m.Gap, m.Type == parse.TypeCertificateRequest:
			return finding{}
		case m.Type == parse.TypeEncryptedExtensions:
			begun = true
		case m.Type == parse.TypeFinished && begun:
			return finding{answer: No, resumed: v.pskTaken(), text: "the server's flight was opened from EncryptedExtensions to Finished, and no CertificateRequest is in it"}
		}
	}
	return finding{}
}

// clientFlightUnsealed: Finished without Certificate in front of it.
func clientFlightUnsealed(v *view) finding {
	if !v.tls13 {
		return finding{}
	}
	for _, m := range v.opened {
		switch {
		case m.From != v.client:
		case m.Gap:
			return finding{}
		case m.Type == parse.TypeEndOfEarlyData, m.Type == parse.TypeEncryptedExtensions: // the latter is Chromium's
		case m.Type == parse.TypeFinished:
			return finding{answer: No, resumed: v.pskTaken(), text: "the client's flight was opened: it is Finished without a Certificate message before it"}
		default:
			return finding{}
		}
	}
	return finding{}
}

// laterUnsealed: a request behind the first handshake, or an answer to one.
func (v *view) laterUnsealed(what string) finding {
	if m := v.findOpened(v.server, true, parse.TypeCertificateRequest); m != nil {
		var r *parse.CertificateRequest
		for _, r = range v.Requests {
			if r.Unsealed && r.At.Sub(v.Start) >= m.At {
				break
			}
		}
		return finding{answer: Yes, text: fmt.Sprintf("%s, CertificateRequest of %d bytes from %s%s", what, m.Len, parse.EndName(v.Flow.Addrs[v.server]), naming(r))}
	}
	if m := v.findOpened(v.client, true, certificates[:]...); m != nil {
		return finding{answer: Yes, text: fmt.Sprintf("%s, the client answered with %s, which it sends only when asked", what, v.certificateWords(m))}
	}
	return finding{}
}

// allOpened reports whether every record of a side that can hold handshake
// messages was opened up to the end of the connection.
func (v *view) allOpened(s parse.Side) bool {
	f := &v.Sides[s]
	return f.Opened > 0 && f.Unopened == 0 && f.Hidden == 0 && len(v.Handshake.Messages) < parse.MaxMessages
}

// renegotiationUnsealed reads later handshakes of TLS ≤ 1.2.
func renegotiationUnsealed(v *view) finding {
	if v.tls13 || !v.ClientKnown {
		return finding{}
	}
	if f := v.laterUnsealed("in a renegotiation"); f.answer != Unknown {
		return f
	}
	if v.findOpened(v.server, true, parse.TypeServerHello) == nil {
		return finding{}
	}
	if v.DTLS && v.flightsOpened() || !v.DTLS && v.allOpened(v.server) {
		return finding{answer: No, text: "the connection was renegotiated, and no CertificateRequest is among the server's messages"}
	}
	return finding{}
}

// flightsOpened reports whether of every renegotiation over DTLS the server's
// flight was opened, from ServerHello to ServerHelloDone or, with a session
// resumed, Finished. message_seq tells of a message in between that was not
// captured.
func (v *view) flightsOpened() bool {
	if v.Sides[v.server].Unopened > 0 || len(v.Handshake.Messages) >= parse.MaxMessages || len(v.Rounds) >= parse.MaxRounds {
		return false
	}
	shown := 0 // what is left may be alerts
	for _, r := range v.Rounds {
		handshake := false
		for _, rec := range r.Tape.Records {
			if rec.Gap || r.Tape.Full {
				return false
			}
			handshake = handshake || rec.Type == parse.HandshakeRecord
		}
		if handshake {
			shown++
		}
	}
	begun, whole, rounds := false, 0, 0
	for _, m := range v.opened {
		if m.From != v.server || m.Round == 0 {
			continue
		}
		rounds = max(rounds, int(m.Round))
		switch {
		case m.Type == parse.TypeServerHello:
			begun = true
		case m.Gap:
			begun = false
		case begun && (m.Type == parse.TypeServerHelloDone || m.Type == parse.TypeFinished):
			begun = false
			whole++
		}
	}
	return whole == rounds && shown <= whole
}

// postHandshakeUnsealed reads what came behind a TLS 1.3 handshake in which
// post-handshake authentication was offered (RFC 8446 §4.6.2).
func postHandshakeUnsealed(v *view) finding {
	if !v.tls13 {
		return finding{}
	}
	if f := v.laterUnsealed("behind the handshake"); f.answer != Unknown {
		return f
	}
	if v.ClientHello != nil && v.ClientHello.PostHandshakeAuth && v.allOpened(v.server) &&
		v.findOpened(v.server, false, parse.TypeFinished) != nil {
		return finding{answer: No, text: "no record of the server behind the handshake holds a CertificateRequest"}
	}
	return finding{}
}

// replyUnsealed reads the client's answer, ok false where it was not unsealed.
func (v *view) replyUnsealed(when When) (r Reply, required Answer, ok bool) {
	if when == InHandshake && !v.tls13 {
		return NoReply, Unknown, false
	}
	later := when != InHandshake
	m := v.findOpened(v.client, later, certificates[:]...)
	if m == nil {
		for _, a := range v.Alerts {
			if a.Unsealed && a.From == v.client && a.Fatal && !later && v.findOpened(v.client, false, parse.TypeFinished) == nil {
				return ReplyRefused, Unknown, true
			}
		}
		return NoReply, Unknown, false
	}
	if !v.emptyOpened(m) {
		return ReplyCert, Unknown, true
	}
	return ReplyEmpty, v.requiredUnsealed(m), true
}

// refusals are the alerts by which a server insists on a certificate.
var refusals = map[uint8]bool{
	40: true, 41: true, 42: true, 43: true, 46: true, // handshake_failure … certificate_unknown
	48: true, 49: true, // unknown_ca, access_denied
	116: true, // certificate_required (RFC 8446 §6.2)
}

// requiredUnsealed tells whether the server refused an empty Certificate. What
// HTTP says about it stays closed, so that a no takes more than a short answer.
func (v *view) requiredUnsealed(m *parse.Message) Answer {
	for _, a := range v.Alerts {
		if a.From == v.server && a.At >= m.At && refusals[a.Description] {
			return Yes
		}
	}
	if v.Sides[v.server].Opened == 0 {
		return v.required(ReplyEmpty, m.At)
	}
	if m.Round == 0 && v.Sides[v.server].AppBytes-v.handshakeBytes() > enough {
		return No
	}
	return Unknown
}

// timesUnsealed returns when a request was through and when the client reacted,
// ok false where the request was not unsealed.
func (v *view) timesUnsealed(when When) (asked, reacted time.Duration, ok bool) {
	later := when != InHandshake
	request := v.findOpened(v.server, later, parse.TypeCertificateRequest)
	answer := v.findOpened(v.client, later, certificates[:]...)
	if request == nil || !v.tls13 && !later {
		return 0, 0, false
	}
	asked = request.At
	for _, m := range v.opened { // the flight it is in ends here
		if m.From == v.server && m.Round == request.Round && (answer == nil || m.At <= answer.At) &&
			(m.Type == parse.TypeFinished && v.tls13 || m.Type == parse.TypeServerHelloDone) {
			asked = max(asked, m.At)
		}
	}
	if answer != nil {
		return asked, answer.At, true
	}
	if at, closed := v.finAt(v.client); closed {
		return asked, at, true
	}
	return asked, v.Last.Sub(v.Start), true
}

// keyTrouble says why keys for the connection did not help, empty if they did or
// there are none.
func (v *view) keyTrouble() string {
	switch v.Keys {
	case parse.KeysUnsupported:
		return fmt.Sprintf("; there are secrets for it, but records of %s are not opened", v.ServerHello.Cipher)
	case parse.KeysFailed:
		return "; there are secrets for it, but none of them opens its records"
	}
	return ""
}
