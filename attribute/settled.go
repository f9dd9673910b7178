package attribute

import "whoasked/parse"

// Decided reports whether the first handshake of a connection has its answer
// and the client's reply to it, so that a line about it can be written while the
// connection goes on. What comes later may add to it: a request in a
// renegotiation or after the handshake, or whether the server went on without a
// certificate. A connection whose answer is unknown is decided only by its end.
func Decided(h *parse.Handshake) bool { return h.End != parse.Open || new(Bench).Look(h).Decided }

// Progress is what can be said of a connection while it goes on.
type Progress struct {
	// Decided and Settled are what the functions of these names report, Verdict is
	// that of [Judge], the zero value unless Decided.
	Decided, Settled bool
	Verdict          Verdict
	// DataAside: what TLS carries for an application, alerts among it, and the end of
	// a direction change nothing of this, as long as nothing else comes.
	DataAside bool
}

// Look tells how far a connection has come that goes on.
func (b *Bench) Look(h *parse.Handshake) (p Progress) {
	if !h.ClientKnown || h.ServerHello == nil {
		return p
	}
	v := b.view.look(h)
	if !v.replied() {
		return p
	}
	first := weigh(v, rules, InHandshake)
	if first.answer == Unknown {
		return p
	}
	p.Decided, p.Settled, p.Verdict = true, v.settled(first.answer), judgeBehind(v, rules, first)
	p.DataAside = !p.Settled && p.Verdict.Asked == No && v.dataAside()
	return p
}

// dataAside reports whether the rules look at no application data of a connection
// that was not asked so far: one of TLS ≤ 1.2 behind its first handshake, which
// was not renegotiated yet.
func (v *view) dataAside() bool {
	return !v.tls13 && v.firstOver() && len(v.Rounds) == 0 && !v.Unsealing && !v.DTLS && v.ServerHello.ALPN != "h2"
}

// replied reports whether the client has answered the server's flight, whole, or
// never will.
func (v *view) replied() bool {
	if _, closed := v.finAt(v.client); closed {
		return true
	}
	if !v.tls13 {
		// Either flight ends with ChangeCipherSpec, the client's with its reply
		// before it.
		for _, a := range v.Alerts {
			if a.From == v.client && a.Fatal {
				return true
			}
		}
		return v.Sides[v.client].CCS && (v.oneSided(v.server) || v.Sides[v.server].CCS || v.find(v.client, parse.TypeClientKeyExchange) != nil)
	}
	switch n := len(v.sealedC); v.flight.kind {
	case flightNone:
		return false
	case flightFinished, flightCert:
		return true
	case flightEmpty:
		return n >= v.flight.records
	case flightAlert:
		return true
	default:
		// A server speaks again once it has all of the client's flight.
		last := v.sealedC[n-1].At
		for _, r := range v.sealedS {
			if r.At > last {
				return true
			}
		}
		return v.flightOver()
	}
}

// flightOver reports whether enough of the client's records were seen that no
// further one can turn out to be part of its flight.
func (v *view) flightOver() bool { return len(v.sealedC) >= maxFlight || v.Tape.Full }

// Settled reports whether nothing that either end may still send by the rules
// of TLS can change the verdict, in any of its fields: from then on the bytes of
// the connection need not be looked at. It is never true while a request is
// possible later, which is so in TLS ≤ 1.2, where any connection can be
// renegotiated unless it speaks HTTP/2 (RFC 9113 §9.2.1), and in TLS 1.3 if the
// ClientHello offers post_handshake_auth (RFC 8446 §4.2.6); a request in the
// first handshake leaves nothing to wait for.
//
// Where bytes were lost that may have hidden a record, and where datagrams may
// come out of order, it stays false up to the end of the connection. It is also
// false as long as keys may open more.
func Settled(h *parse.Handshake) bool {
	if h.End != parse.Open {
		return true
	}
	if !settleable(h) {
		return false
	}
	v := newView(h)
	return v.settled(weigh(v, rules, InHandshake).answer)
}

// settleable reports whether what was captured of a connection, which goes on, is
// enough for it to be settled.
func settleable(h *parse.Handshake) bool {
	if !h.ClientKnown || h.ClientHello == nil || h.ServerHello == nil || h.Midstream || h.Unsealing || h.Flow.Proto.Datagrams() {
		return false
	}
	for s := range h.Sides {
		if h.Sides[s].Hidden > 0 || h.Sides[s].Desync > 0 {
			return false
		}
	}
	return true
}

// settled is [Settled] of a connection that goes on, first being the answer for its
// first handshake.
func (v *view) settled(first Answer) bool {
	if !settleable(v.Handshake) || !v.firstOver() {
		return false
	}
	switch first {
	case Yes:
		return v.replySettled()
	case No:
		return len(v.Rounds) == 0 && v.neverLater()
	}
	return false
}

// firstOver reports whether the rules on the first handshake have seen all they
// look at.
func (v *view) firstOver() bool {
	c, s := &v.Sides[v.client], &v.Sides[v.server]
	if !v.tls13 {
		return c.CCS && s.CCS
	}
	_, framed := v.framing()
	switch v.flight.kind {
	case flightCert:
		return framed
	case flightFinished, flightEmpty:
		return framed && len(v.sealedC) >= v.flight.records && v.paddingTold()
	case flightLarge:
		return framed && v.flightOver()
	}
	return false
}

// neverLater reports whether the connection leaves no place for a request after
// the first handshake.
func (v *view) neverLater() bool {
	if v.tls13 {
		return !v.ClientHello.PostHandshakeAuth
	}
	// The client may renegotiate in front of its connection preface.
	return v.ServerHello.ALPN == "h2" && v.Sides[v.client].AppData > 0
}

// replySettled reports whether the reply to a request in the first handshake,
// and what the server made of it, is known for good.
func (v *view) replySettled() bool {
	reply, required := v.reply(InHandshake)
	switch reply {
	case ReplyCert:
		return true
	case ReplyEmpty:
		return required != Unknown
	}
	return false
}
