package attribute

import (
	"fmt"
	"slices"
	"strings"

	"whoasked/parse"
)

// Rules on what may follow the handshake of an established connection.

// postHandshakeAnswer finds the answer to a request that came after the
// handshake (RFC 8446 §4.6.2): Certificate, [CertificateVerify,] Finished behind
// each other. A server then sends new tickets, of the length of the first.
func postHandshakeAnswer(v *view) finding {
	var doubt finding
	for _, a := range v.postHandshakeAnswers() {
		text := fmt.Sprintf("after application data the client, which may be asked then, sent records of %s bytes", lengths(a.burst))
		switch {
		case len(a.burst) == 3:
			return finding{answer: Yes, text: text + ": Certificate, CertificateVerify, Finished"}
		case len(a.burst) == 1 && a.likely:
			return finding{answer: Yes, text: text + ": an empty Certificate with its request's context, and Finished in one, followed by new session tickets"}
		case len(a.burst) == 1:
			doubt = finding{text: text + ", and the server new session tickets: this may be a Certificate, the answer to a post-handshake request, or application data"}
		case v.refusedLater(a.after):
			return finding{answer: Yes, text: text + ": an empty Certificate with its request's context, and Finished, and the server answered with an alert"}
		case v.ticketsAgain(a.after):
			return finding{answer: Yes, text: text + ": an empty Certificate with its request's context, and Finished, followed by new session tickets"}
		case a.likely:
			doubt = finding{text: text + ": this may be an empty Certificate and Finished, the answer to a post-handshake request, or application data"}
		}
	}
	return doubt
}

// answer is what may be a client's answer to a post-handshake request.
type answer struct {
	burst  []parse.Record // the client's, up to Finished
	after  []parse.Record // the server's, since the burst began
	likely bool           // an empty Certificate whose context has a length in use
}

// postHandshakeAnswers cuts the answers out of the post-handshake rounds. The
// client's records are taken in their own order: captures may interleave the
// two directions otherwise than the ends did.
func (v *view) postHandshakeAnswers() []answer {
	suites := []parse.CipherSuite{0x1301, 0x1302}
	if v.ServerHello != nil {
		suites = []parse.CipherSuite{v.ServerHello.Cipher}
	}
	var out []answer
	for _, round := range v.Rounds {
		if round.Kind != parse.PostHandshake {
			continue
		}
		for _, suite := range suites {
			if a, ok := v.answerIn(round.Tape.Records, suite); ok {
				out = append(out, a)
			}
		}
	}
	return out
}

func (v *view) answerIn(recs []parse.Record, suite parse.CipherSuite) (answer, bool) {
	fin, ok := suite.FinishedLen()
	if !ok {
		return answer{}, false
	}
	var client, server []parse.Record
	for _, r := range recs {
		if r.From == v.client {
			client = append(client, r)
		} else {
			server = append(server, r)
		}
	}
	empty := func(context int) int { l, _ := suite.Sealed13(emptyCertificate + context); return l }
	for end := len(client) - 1; end > 0; end-- {
		if int(client[end].Len) != fin || client[end].Gap {
			continue
		}
		var a answer
		switch before := int(client[end-1].Len); {
		case end > 1 && client[end-2].Len >= 100 && isCertificateVerify(suite, before) && !client[end-1].Gap:
			a.burst = client[end-2 : end+1]
		case before >= empty(1) && before <= empty(255):
			a.burst = client[end-1 : end+1]
			a.likely = before == empty(16) || before == empty(32)
		default:
			continue
		}
		for _, r := range server {
			if r.At >= a.burst[0].At {
				a.after = append(a.after, r)
			}
		}
		return a, true
	}
	return v.answerInOne(client, server, suite)
}

// answerInOne finds an answer packed into one record (NSS), which shows only by
// the two new tickets behind it.
func (v *view) answerInOne(client, server []parse.Record, suite parse.CipherSuite) (answer, bool) {
	fin, _ := suite.FinishedLen()
	for i := len(server) - 1; i > 0; i-- {
		if server[i].Len != server[i-1].Len {
			continue
		}
		for j := len(client) - 1; j >= 0; j-- {
			if client[j].At > server[i-1].At {
				continue
			}
			n := int(client[j].Len) - fin - emptyCertificate
			a := answer{burst: client[j : j+1], after: server[i-1:], likely: n == 16 || n == 32}
			a.likely = a.likely && v.ticketsAgain(a.after)
			return a, a.likely || int(client[j].Len) >= leastCertificate
		}
	}
	return answer{}, false
}

// refusedLater reports whether the server's first reaction is an alert.
func (v *view) refusedLater(after []parse.Record) bool {
	return len(after) > 0 && v.ServerHello != nil && v.isAlert13(after[0])
}

// ticketsAgain reports whether the server's records behind the answer begin
// like those behind the first handshake, which are its session tickets.
func (v *view) ticketsAgain(after []parse.Record) bool {
	if len(after) == 0 || len(v.sealedC) == 0 {
		return false
	}
	for _, r := range v.sealedS {
		if r.At >= v.sealedC[0].At {
			return r.Len > 100 && slices.ContainsFunc(after, func(a parse.Record) bool { return a.Len == r.Len })
		}
	}
	return false
}

// laterDoubt says why a connection that was not asked in its first handshake
// may have been asked later all the same, empty if it was not.
func (v *view) laterDoubt() string {
	if v.QUIC != nil {
		return "" // where it is forbidden (RFC 9001 §4.4)
	}
	if v.tls13 || v.ServerHello == nil && v.flight.kind != flightNone {
		switch {
		case v.ClientHello != nil && !v.ClientHello.PostHandshakeAuth, v.oneSided(v.client):
			return ""
		case v.Sides[v.client].Hidden > 0:
			return "the first handshake did not ask, but bytes of the client are missing that may hide the answer to a post-handshake request"
		}
		return ""
	}
	switch {
	case len(v.Rounds) > 0:
		return "the first handshake did not ask, but the connection was renegotiated, and too little of that was captured to tell"
	case v.ServerHello != nil && v.ServerHello.ALPN == "h2": // where it is forbidden (RFC 9113 §9.2.1)
		return ""
	case v.blind(v.client) && v.blind(v.server):
		return "the first handshake did not ask, but bytes are missing on both sides that may hide a renegotiation"
	}
	return ""
}

// blind reports whether records of a side may have gone unseen.
func (v *view) blind(s parse.Side) bool {
	return v.oneSided(s) || v.Sides[s].Hidden > 0
}

func join(n []int) string {
	s := make([]string, len(n))
	for i := range n {
		s[i] = fmt.Sprint(n[i])
	}
	return strings.Join(s, ", ")
}
