package attribute

import (
	"fmt"

	"whoasked/parse"
)

// The rule on requests after the handshake of TLS 1.3, without keys.

// postHandshakeAnswer finds the answer to a request that came after the
// handshake (RFC 8446 §4.6.2): Certificate, [CertificateVerify,] Finished behind
// each other. Application data may have these lengths by chance, so the order
// around them has to be that of a request, too, and the server has to react as
// to an answer.
func postHandshakeAnswer(v *view) finding {
	var doubt finding
	for _, a := range v.postHandshakeAnswers() {
		text := fmt.Sprintf("after application data the client, which may be asked then, sent records of %s bytes", lengths(a.burst))
		switch {
		case a.proof != "":
			return finding{answer: Yes, text: text + ": " + a.shape + a.proof}
		case len(a.burst) == 1:
			doubt = finding{text: text + ", and the server new session tickets: this may be a Certificate, the answer to a post-handshake request, or application data"}
		case a.likely:
			doubt = finding{text: text + ": this may be " + a.shape + ", the answer to a post-handshake request, or application data"}
		}
	}
	return doubt
}

// answer is what may be a client's answer to a post-handshake request.
type answer struct {
	burst  []parse.Record // the client's, up to Finished
	after  []parse.Record // the server's, since the burst began
	shape  string         // what the burst holds if it is one
	likely bool           // its lengths are those of an answer
	proof  string         // how the server's records confirm it, empty if they do not
}

// Shapes of an answer.
const (
	shapeCertificate = "Certificate, CertificateVerify, Finished"
	shapeEmpty       = "an empty Certificate with its request's context, and Finished"
)

// Lengths of the contexts of post-handshake requests (RFC 8446 §4.3.2) that
// servers send: NSS and GnuTLS, OpenSSL.
const shortContext, longContext = 16, 32

// postHandshakeAnswers cuts the answers out of the post-handshake rounds.
func (v *view) postHandshakeAnswers() []answer {
	var out []answer
	for _, round := range v.Rounds {
		if round.Kind != parse.PostHandshake {
			continue
		}
		for _, suite := range v.suites13() {
			if a, ok := v.answerIn(round.Tape.Records, suite); ok {
				out = append(out, a)
			}
		}
	}
	return out
}

// answerIn finds the answer among the records of a round: the last one that is
// confirmed, else the last one possible. The client's records are taken in their
// own order: captures may interleave the two directions otherwise than the ends
// did, which costs the confirmation.
func (v *view) answerIn(recs []parse.Record, suite parse.CipherSuite) (best answer, found bool) {
	fin, ok := suite.FinishedLen()
	if !ok {
		return answer{}, false
	}
	var client []int // in recs
	for i := range recs {
		if recs[i].From == v.client {
			client = append(client, i)
		}
	}
	empty := func(context int) int { l, _ := suite.Sealed13(emptyCertificate + context); return l }
	for end := len(client) - 1; end > 0; end-- {
		last, before := recs[client[end]], recs[client[end-1]]
		if int(last.Len) != fin || last.Gap {
			continue
		}
		var a answer
		switch n := int(before.Len); {
		case end > 1 && recs[client[end-2]].Len >= 100 && isCertificateVerify(suite, n) && !before.Gap:
			a = v.answerOf(recs, client[end-2:end+1], suite, shortContext)
			a.shape, a.likely = shapeCertificate, true
		case n == empty(shortContext) || n == empty(longContext):
			a = v.answerOf(recs, client[end-1:end+1], suite, n-empty(0))
			a.shape, a.likely = shapeEmpty, true
		case n >= empty(1) && n <= empty(255):
			a = v.answerOf(recs, client[end-1:end+1], suite, n-empty(0))
			a.shape = shapeEmpty
		default:
			continue
		}
		if a.proof != "" {
			return a, true
		}
		if !found {
			best, found = a, true
		}
	}
	if found {
		return best, true
	}
	return v.answerInOne(recs, client, suite)
}

// answerInOne finds an answer packed into one record (NSS), which shows only by
// the two new tickets behind it.
func (v *view) answerInOne(recs []parse.Record, client []int, suite parse.CipherSuite) (best answer, found bool) {
	fin, _ := suite.FinishedLen()
	for j := len(client) - 1; j >= 0; j-- {
		n := int(recs[client[j]].Len) - fin - emptyCertificate
		a := v.answerOf(recs, client[j:j+1], suite, max(n, 1))
		a.shape, a.likely = shapeEmpty+" in one", n == shortContext || n == longContext
		switch {
		case len(a.after) < 2 || a.after[0].Len != a.after[1].Len:
		case a.likely && a.proof != "":
			return a, true
		case !found && int(recs[client[j]].Len) >= leastCertificate:
			a.proof = "" // a Certificate's context is not known
			best, found = a, true
		}
	}
	return best, found
}

// answerOf is the answer made of the client's records at burst, to a request
// with a context of so many bytes or more, and how the server confirms it.
func (v *view) answerOf(recs []parse.Record, burst []int, suite parse.CipherSuite, context int) answer {
	var a answer
	for _, i := range burst {
		a.burst = append(a.burst, recs[i])
	}
	first, last := burst[0], burst[len(burst)-1]
	inside := 0 // records of the server
	for i := first; i < len(recs); i++ {
		if recs[i].From != v.server {
			continue
		}
		if a.after = append(a.after, recs[i]); i < last {
			inside++
		}
	}
	if !v.requestBefore(recs, first, suite, context) {
		return a
	}
	ticket := v.firstTickets(recs[first-1])
	switch {
	case ticket == 0: // the record in front may be one
	case len(burst) == 2 && inside <= 1 && v.refusedLater(a.after):
		// It need not wait for Finished to refuse an empty Certificate.
		a.proof = ", and the server answered with an alert"
	case inside == 0 && ticketsAgain(ticket, a):
		a.proof = ", followed by new session tickets"
	}
	return a
}

// requestBefore reports whether the record in front of the client's at i is one
// of the server that has room for a CertificateRequest with a context, and with
// signature_algorithms, which it must hold (RFC 8446 §4.3.2).
func (v *view) requestBefore(recs []parse.Record, i int, suite parse.CipherSuite, context int) bool {
	const signatureAlgorithms = 4 + 2 + 2 // of one scheme
	least, _ := suite.Sealed13(4 + 1 + context + 2 + signatureAlgorithms)
	return i > 0 && recs[i-1].From == v.server && int(recs[i-1].Len) >= least
}

// refusedLater reports whether the server's first reaction is an alert.
func (v *view) refusedLater(after []parse.Record) bool {
	return len(after) > 0 && v.ServerHello != nil && v.isAlert13(after[0])
}

// ticketsAgain reports whether the server's reaction to an answer is two session
// tickets, as behind the first handshake. Tickets that hold the session are
// longer by the client's certificate.
func ticketsAgain(ticket uint16, a answer) bool {
	if len(a.after) < 2 || !alikeTickets(a.after[0].Len, a.after[1].Len) {
		return false
	}
	n := a.after[0].Len
	return alikeTickets(n, ticket) || len(a.burst) == 3 && n > ticket && int(n) <= int(ticket)+int(a.burst[0].Len)+2*ticketBlock
}

// firstTickets is the length of the two session tickets behind the first
// handshake, 0 if there are none, or not all of them came before a request. As
// long as one of them the request may itself be a late ticket.
func (v *view) firstTickets(request parse.Record) uint16 {
	if len(v.sealedC) == 0 {
		return 0
	}
	for i, r := range v.sealedS[:max(len(v.sealedS)-1, 0)] {
		if r.At < v.sealedC[0].At {
			continue
		}
		next := v.sealedS[i+1]
		if r.Len <= 100 || !alikeTickets(r.Len, next.Len) || alikeTickets(r.Len, request.Len) || next.At >= request.At {
			return 0
		}
		return r.Len
	}
	return 0
}

// ticketBlock is the block of the cipher that tickets are sealed with.
const ticketBlock = 16

// alikeTickets reports whether tickets of one session can have these lengths:
// numbers in it take a byte more or less (DER), which may take another block.
func alikeTickets(a, b uint16) bool { return a == b || a == b+ticketBlock || b == a+ticketBlock }

// replyPostHandshake reads the answer that the verdict rests on.
func (v *view) replyPostHandshake() (Reply, Answer) {
	for _, a := range v.postHandshakeAnswers() {
		switch {
		case a.proof == "":
		case a.shape == shapeCertificate:
			return ReplyCert, Unknown
		case v.refusedLater(a.after):
			return ReplyEmpty, Yes
		default:
			return ReplyEmpty, Unknown
		}
	}
	return NoReply, Unknown
}
