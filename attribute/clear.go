package attribute

import (
	"fmt"
	"slices"

	"whoasked/parse"
)

// Rules on what TLS ≤ 1.2 (and SSL 3.0) shows in the clear.

// requestSeen: the CertificateRequest itself (RFC 5246 §7.4.4).
func requestSeen(v *view) finding {
	if !v.ClientKnown {
		return finding{}
	}
	m := v.find(v.server, parse.TypeCertificateRequest)
	if m == nil {
		return finding{}
	}
	return finding{answer: Yes, text: fmt.Sprintf("CertificateRequest of %d bytes from %s%s", m.Len, parse.EndName(v.Flow.Addrs[v.server]), naming(v.request(false)))}
}

// clientCertificateSeen: a client sends Certificate only when asked, and when
// asked always, if need be an empty one (RFC 5246 §7.4.6).
func clientCertificateSeen(v *view) finding {
	if !v.ClientKnown {
		return finding{}
	}
	m := v.find(v.client, parse.TypeCertificate)
	switch {
	case m == nil:
		return finding{}
	case m.Len <= 3:
		return finding{answer: Yes, text: "the client answered with an empty Certificate message, which it sends only when asked"}
	}
	return finding{answer: Yes, text: fmt.Sprintf("the client answered with a Certificate message of %d bytes, which it sends only when asked", m.Len)}
}

// ssl3NoCertificate: SSL 3.0 answers a request without a certificate by the
// warning no_certificate (RFC 6101 §5.6.6).
func ssl3NoCertificate(v *view) finding {
	for _, a := range v.Alerts {
		if v.ClientKnown && a.From == v.client && a.Description == 41 && !a.Fatal {
			return finding{answer: Yes, text: "the client sent the SSL 3.0 warning no_certificate, its answer to a request"}
		}
	}
	return finding{}
}

// abbreviated: a resumed session goes from the hello straight to
// ChangeCipherSpec, with no place for a request (RFC 5246 §7.3).
func abbreviated(v *view) finding {
	if v.tls13 || !v.ClientKnown || v.RetryRequested || v.find(v.server, parse.TypeCertificate) != nil ||
		v.find(v.server, parse.TypeServerHelloDone) != nil || v.find(v.client, parse.TypeClientKeyExchange) != nil {
		return finding{}
	}
	if sh, ch := v.ServerHello, v.ClientHello; sh != nil && ch != nil && len(ch.SessionID) > 0 &&
		string(sh.SessionID) == string(ch.SessionID) {
		return finding{answer: No, resumed: true, text: "the server took up the session id of the ClientHello: a resumed session, which has no place for a request"}
	}
	if v.ServerHello != nil && v.Sides[v.server].CCS && v.onlyBeforeCCS(v.server,
		parse.TypeServerHello, parse.TypeNewSessionTicket) {
		return finding{answer: No, resumed: true, text: "ServerHello, then ChangeCipherSpec: a resumed session, which has no place for a request"}
	}
	// With the server's side missing, only a client that never sends a key
	// exchange has resumed; a TLS 1.3 client sends no sealed handshake records.
	if v.ServerHello == nil && v.oneSided(v.server) && v.ClientHello != nil && v.Sides[v.client].CCS &&
		v.sealedHandshake(v.client) && v.onlyBeforeCCS(v.client, parse.TypeClientHello) {
		return finding{answer: No, resumed: true, text: "the client changed keys without a key exchange: a resumed session, which has no place for a request"}
	}
	return finding{}
}

// ccsGap reports whether something may be missing before the first
// ChangeCipherSpec of a side.
func (v *view) ccsGap(s parse.Side) bool {
	for _, r := range v.Tape.Records {
		if r.From == s && r.Type == parse.ChangeCipherSpec {
			return r.Gap
		}
	}
	return true
}

// sealedHandshake reports whether the side sent a sealed record of type 22 in
// the first handshake.
func (v *view) sealedHandshake(s parse.Side) bool {
	for _, r := range v.Tape.Records {
		if r.From == s && r.Type == parse.HandshakeRecord {
			return true
		}
	}
	return false
}

// onlyBeforeCCS reports whether the messages of a side are of the types listed
// and none can be missing between them and the ChangeCipherSpec.
func (v *view) onlyBeforeCCS(from parse.Side, types ...parse.HandshakeType) bool {
	if v.ccsGap(from) {
		return false
	}
	some := false
	for _, m := range v.Messages {
		if m.From != from {
			continue
		}
		if some && m.Gap || !slices.Contains(types, m.Type) {
			return false
		}
		some = true
	}
	return some
}

// serverFlightSeen: from ServerHello to ServerHelloDone with nothing missing and
// no request in it.
func serverFlightSeen(v *view) finding {
	if !v.ClientKnown || v.tls13 {
		return finding{}
	}
	begun := false
	for _, m := range v.Messages {
		switch {
		case m.From != v.server:
		case m.Type == parse.TypeServerHello:
			begun = true
		case m.Gap:
			return finding{}
		case m.Type == parse.TypeCertificateRequest:
			return finding{}
		case m.Type == parse.TypeServerHelloDone && begun:
			return finding{answer: No, text: "the server's flight was read from ServerHello to ServerHelloDone, and no CertificateRequest is in it"}
		}
	}
	return finding{}
}

// clientFlightSeen: a client that is asked sends Certificate in front of its key
// exchange, so a key exchange that comes first proves that it was not.
func clientFlightSeen(v *view) finding {
	if !v.ClientKnown || v.tls13 {
		return finding{}
	}
	var before parse.HandshakeType
	for _, m := range v.Messages {
		if m.From != v.client {
			continue
		}
		if m.Type == parse.TypeClientKeyExchange {
			if m.Gap || before != parse.TypeClientHello || ssl3NoCertificate(v).answer == Yes {
				return finding{}
			}
			return finding{answer: No, text: "the client's answer begins with ClientKeyExchange, with no Certificate message before it"}
		}
		before = m.Type
	}
	return finding{}
}
