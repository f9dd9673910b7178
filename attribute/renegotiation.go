package attribute

import (
	"fmt"
	"slices"
	"strings"

	"whoasked/parse"
)

// Rules on handshakes inside an established connection of TLS ≤ 1.2, which are
// sealed.

// renegotiation is a later handshake of TLS ≤ 1.2 by its record lengths.
type renegotiation struct {
	suite   parse.CipherSuite
	version parse.Version
	server  []int // lengths of the server's handshake records behind the client's hello, up to its CCS
	client  []int // lengths of the client's handshake records behind its hello, up to its CCS
	header  int   // length of the header of a handshake message
	changed bool  // the client has changed keys
	whole   bool  // no bytes are missing from the hello to there, and the hello was seen
	torn    bool  // some are missing in front or behind, where another one may hide
	records []parse.Record
}

// renegotiations cuts the rounds of a connection into the flights of each role.
func (v *view) renegotiations() []renegotiation {
	if !v.ClientKnown || v.ServerHello == nil || v.tls13 {
		return nil
	}
	var out []renegotiation
	for _, round := range v.Rounds {
		if round.Kind != parse.Renegotiation {
			continue
		}
		r := renegotiation{suite: v.ServerHello.Cipher, version: v.ServerHello.Version, header: 4, whole: true, records: round.Tape.Records}
		if v.DTLS {
			r.header = 12 // RFC 6347 §4.2.2
		}
		hello, serverChanged := uint16(0), false
		for _, rec := range round.Tape.Records {
			fromClient := rec.From == v.client
			switch {
			case rec.Gap && (r.changed || hello == 0 && !fromClient):
				r.torn = true
			case rec.Gap:
				r.whole = false
			case rec.Type == parse.ChangeCipherSpec && fromClient:
				r.changed = true
			case rec.Type == parse.ChangeCipherSpec:
				serverChanged = true
			case rec.Type != parse.HandshakeRecord:
			case fromClient && hello == 0:
				hello = rec.Len
			case fromClient && v.DTLS && rec.Len == hello: // sent again, as no answer came
			case fromClient && !r.changed:
				r.client = append(r.client, int(rec.Len))
			case !fromClient && hello > 0 && !serverChanged:
				r.server = append(r.server, int(rec.Len))
			}
		}
		r.whole = r.whole && hello > 0
		out = append(out, r)
	}
	return out
}

// holds reports whether a sealed record of the round can have exactly n bytes
// of content.
func (r *renegotiation) holds(record, n int) bool {
	return slices.Contains(r.suite.Sealed12(r.version, n), record)
}

// ecdheExchanges are the lengths of a ClientKeyExchange of ECDHE, header left out,
// with X25519, X448, P-256, P-384 and P-521 (RFC 8422 §5.7, RFC 7748).
var ecdheExchanges = []int{33, 57, 66, 98, 134}

// exchanges returns how long a ClientKeyExchange of the connection can be, header
// left out: as in the first handshake, or where that was resumed and has none, as
// with any curve; nil for not known.
func (v *view) exchanges() []int {
	if m := v.find(v.client, parse.TypeClientKeyExchange); m != nil {
		return []int{m.Len}
	}
	if strings.HasPrefix(v.ServerHello.Cipher.String(), "TLS_ECDHE_") {
		return ecdheExchanges
	}
	return nil
}

// renegotiationClient reads the client's answer in a renegotiation: the key
// exchange has the length it had in the clear, and a Certificate comes first if
// and only if the server asked.
func renegotiationClient(v *view) finding {
	return v.ofRounds(func(r *renegotiation) finding { return r.answered(v.exchanges()) })
}

// ofRounds reads the renegotiations of a connection: one of them with a request is
// enough, and none has one if all are known to be without.
func (v *view) ofRounds(read func(*renegotiation) finding) finding {
	var no finding
	told := 0 // rounds known to be without a request
	rounds := v.renegotiations()
	for i := range rounds {
		switch f := read(&rounds[i]); f.answer {
		case Yes:
			return f
		case No:
			no = f
			told++
		}
	}
	if told < len(rounds) {
		return finding{}
	}
	return no
}

// answered reads the client's flight of a round, where a ClientKeyExchange has one
// of some lengths. What can be read in two ways says nothing.
func (r *renegotiation) answered(exchanges []int) finding {
	switch {
	case !r.whole || !r.changed:
		return finding{}
	case len(r.client) == 0 && r.torn:
		return finding{}
	case len(r.client) == 0:
		return finding{answer: No, text: "a renegotiation after application data was abbreviated, which has no place for a request"}
	case len(exchanges) == 0:
		return finding{}
	}
	text := fmt.Sprintf("renegotiation after application data: the client's records up to its change of keys are %s bytes", join(r.client))
	first, longest := r.client[0], 0
	var alone, empty, presented bool
	for _, n := range exchanges {
		cke := n + r.header
		longest = max(longest, slices.Max(append(r.suite.Sealed12(r.version, cke), 0)))
		switch len(r.client) {
		case 1:
			alone = alone || r.holds(first, cke)
			empty = empty || r.holds(first, cke+3+r.header)
		case 2:
			empty = empty || r.holds(first, 3+r.header) && r.holds(r.client[1], cke)
		case 3:
			presented = presented || r.holds(r.client[1], cke)
		}
	}
	switch {
	case alone && (empty || r.torn):
	case alone:
		return finding{answer: No, text: text + ", ClientKeyExchange alone"}
	case empty:
		return finding{answer: Yes, text: text + ", an empty Certificate and ClientKeyExchange"}
	case presented:
		return finding{answer: Yes, text: text + ", Certificate, ClientKeyExchange and CertificateVerify"}
	case len(r.client) == 1 && first > longest+leastCertificate:
		return finding{answer: Yes, text: text + ", more than ClientKeyExchange: a Certificate is in it"}
	}
	return finding{}
}

// renegotiationServer counts the server's messages in a renegotiation. The
// first handshake of the connection, read in the clear, says how many there are
// without a request.
func renegotiationServer(v *view) finding {
	if len(v.Rounds) == 0 {
		return finding{}
	}
	plain, ok := v.plainFlight()
	if !ok {
		return finding{}
	}
	return v.ofRounds(func(r *renegotiation) finding { return r.counted(plain) })
}

// plainFlight counts the messages of the server's flight in the first handshake of
// the connection, without a request; ok false where it was not read, or where
// counting helps nothing: in DTLS a message takes as many records as it has
// fragments.
func (v *view) plainFlight() (plain int, ok bool) {
	if v.DTLS {
		return 0, false
	}
	done := false
	for _, m := range v.Messages {
		if m.From != v.server {
			continue
		}
		switch {
		case m.Gap && plain > 0:
			return 0, false
		case m.Type == parse.TypeCertificateRequest, m.Type == parse.TypeNewSessionTicket, m.Type == parse.TypeHelloRequest:
		default:
			plain++
		}
		done = done || m.Type == parse.TypeServerHelloDone
	}
	return plain, done && v.find(v.server, parse.TypeServerHello) != nil
}

// counted reads the server's flight of a round, where one without a request has
// that many messages.
func (r *renegotiation) counted(plain int) finding {
	n := len(r.server)
	if !r.whole || n == 0 || !r.holds(r.server[n-1], 4) { // ServerHelloDone ends the flight
		return finding{}
	}
	text := fmt.Sprintf("renegotiation after application data: the server's records are %s bytes, %d messages where its first handshake took %d", join(r.server), n, plain)
	switch {
	case n == plain && !r.torn:
		return finding{answer: No, text: text}
	case n == plain+1:
		return finding{answer: Yes, text: text + ": the one more is the CertificateRequest"}
	}
	return finding{}
}

// askedRenegotiation returns the first renegotiation with a request, or the first
// of all if none can be told from the others.
func (v *view) askedRenegotiation() *renegotiation {
	rounds := v.renegotiations()
	if len(rounds) < 2 {
		return &append(rounds, renegotiation{})[0]
	}
	plain, counts := v.plainFlight()
	for i := range rounds {
		if r := &rounds[i]; r.answered(v.exchanges()).answer == Yes || counts && r.counted(plain).answer == Yes {
			return r
		}
	}
	return &rounds[0]
}

// renegotiationRefused finds renegotiations that came to nothing. What type of
// record is sealed shows in the clear (RFC 5246 §6.2.1): a server that has sent
// none of a handshake, or nothing longer than a HelloRequest, has sent no
// ServerHello and so no CertificateRequest. It takes all records of the server up
// to the end of its direction.
func renegotiationRefused(v *view) finding {
	if v.ServerHello == nil || v.tls13 || v.DTLS || len(v.Rounds) == 0 || len(v.Rounds) >= parse.MaxRounds || v.blind(v.server) {
		return finding{}
	}
	if v.Sides[v.server].FinAt.IsZero() { // a reset may overtake what was sent
		return finding{}
	}
	r := renegotiation{suite: v.ServerHello.Cipher, version: v.ServerHello.Version}
	requests := 0
	for _, round := range v.Rounds {
		if round.Kind != parse.Renegotiation || round.Tape.Full {
			return finding{}
		}
		for _, rec := range round.Tape.Records {
			switch {
			case rec.From != v.server:
			case rec.Gap, rec.Type == parse.HandshakeRecord && !r.holds(int(rec.Len), 4), rec.Type == parse.ChangeCipherSpec:
				return finding{}
			case rec.Type == parse.HandshakeRecord:
				requests++
			}
		}
	}
	if requests > 0 {
		return finding{answer: No, text: "the server wanted to renegotiate, and sent no handshake record longer than that HelloRequest up to its end"}
	}
	return finding{answer: No, text: "the client wanted to renegotiate, and the server sent no handshake record any more up to its end"}
}
