package attribute

import (
	"time"

	"whoasked/parse"
)

// reply tells what the client did about a request, and whether TLS went on
// without a certificate.
func (v *view) reply(when When) (Reply, Answer) {
	if r, required, ok := v.replyUnsealed(when); ok {
		return r, required
	}
	switch {
	case when == AfterHandshake:
		return v.replyPostHandshake()
	case when == InRenegotiation:
		return v.replyRenegotiation(), Unknown
	case v.tls13 || v.flight.kind == flightEmpty || v.flight.kind == flightCert || v.flight.kind == flightLarge:
		r := v.reply13()
		return r, v.required(r, v.flightEnd())
	}
	r, at := v.replyClear()
	return r, v.required(r, at)
}

func (v *view) reply13() Reply {
	switch v.flight.kind {
	case flightEmpty:
		return ReplyEmpty
	case flightCert, flightLarge:
		return ReplyCert
	case flightAlert:
		return ReplyRefused
	case flightUnclear, flightFinished:
		return NoReply // there was one, but not a legible one
	}
	for _, a := range v.Alerts {
		if a.From == v.client {
			return ReplyRefused
		}
	}
	s, ok := v.silent()
	switch {
	case !ok:
		return ReplyNone
	case s.until-s.since >= heldAtLeast:
		return ReplyStalled
	case s.fin:
		return ReplyDropped
	}
	return ReplyNone
}

// flightEnd is when the client's second flight was through.
func (v *view) flightEnd() time.Duration {
	if len(v.sealedC) == 0 {
		return 0
	}
	return v.sealedC[min(max(v.flight.records, 1), len(v.sealedC))-1].At
}

// replyClear reads the reply of TLS ≤ 1.2 and when it came.
func (v *view) replyClear() (Reply, time.Duration) {
	if m := v.find(v.client, parse.TypeCertificate); m != nil {
		if m.Len <= 3 {
			return ReplyEmpty, m.At
		}
		return ReplyCert, m.At
	}
	asked := v.find(v.server, parse.TypeCertificateRequest)
	for _, a := range v.Alerts {
		if a.From != v.client {
			continue
		}
		if a.Description == 41 && !a.Fatal {
			return ReplyEmpty, a.At
		}
		if asked != nil && a.At >= asked.At {
			return ReplyRefused, a.At
		}
	}
	if asked == nil || v.Sides[v.client].Lost > 0 || v.find(v.client, parse.TypeClientKeyExchange) != nil {
		return ReplyNone, 0
	}
	until := v.Last.Sub(v.Start)
	at, closed := v.finAt(v.client)
	if serverAt, ok := v.finAt(v.server); ok && (!closed || serverAt < at) {
		closed, until = false, serverAt
	}
	if closed {
		until = at
	}
	switch held := until - asked.At; {
	case held < 0: // it gave up before it could know of the request
		return ReplyNone, 0
	case held >= heldAtLeast:
		return ReplyStalled, 0
	case closed:
		return ReplyDropped, 0
	}
	return ReplyNone, 0
}

// enough is how many bytes of sealed application data a server must send before
// it is believed to serve a client without a certificate: an error page that
// asks for one is shorter.
const enough = 4 << 10

// refusedWithin is how long after the client's flight, beside some round trips, a server
// may take to refuse it in TLS 1.3; who closes later may do so for any reason.
const refusedWithin = 250 * time.Millisecond

// closedBefore reports whether a side had ended its stream by then.
func (v *view) closedBefore(s parse.Side, at time.Duration) bool {
	closed, ok := v.finAt(s)
	return ok && closed <= at
}

// required tells whether TLS refused to go on after an empty Certificate. That
// HTTP went on to refuse (nginx answers 400) is sealed, so a short answer leaves
// it unknown.
func (v *view) required(r Reply, at time.Duration) Answer {
	if r != ReplyEmpty {
		return Unknown
	}
	for _, a := range v.Alerts {
		// One of TLS ≤ 1.2 that had to be unsealed came behind the handshake, and
		// is not about it.
		if a.From == v.server && a.Fatal && a.At >= at && (v.tls13 || !a.Unsealed) {
			return Yes
		}
	}
	// In TLS 1.3 a close_notify is as long as any alert.
	until := at + refusedWithin + 4*v.Opening.Reply()
	served, refused, leaving := v.servedInRounds(at), false, false
	for _, rec := range v.Tape.Records {
		if rec.At < at {
			continue
		}
		alert := rec.Type == parse.ApplicationData && v.tls13 && v.isAlert13(rec)
		if rec.From != v.server {
			leaving = leaving || alert
			continue
		}
		if rec.Gap {
			served++ // what is missing may have been data
		}
		switch {
		case alert:
			refused = refused || served == 0 && !leaving && !v.closedBefore(v.client, rec.At) && rec.At <= until
		case rec.Type == parse.ApplicationData:
			served += int(rec.Len)
		case rec.Type == parse.ChangeCipherSpec && !v.tls13:
			served++ // TLS ≤ 1.2 went on to Finished
		}
	}
	closedAt, closed := v.finAt(v.server)
	clientAt, clientClosed := v.finAt(v.client)
	switch {
	case refused:
		return Yes
	case v.tls13 && (leaving || closedAt > until): // it need not be about the handshake
	case served == 0 && closed && closedAt >= at && (!clientClosed || closedAt < clientAt) && v.Sides[v.server].Lost == 0:
		return Yes
	}
	if v.Sides[v.server].AppBytes-v.handshakeBytes() > enough {
		return No
	}
	return Unknown
}

// servedInRounds counts the bytes that a server sent behind a time in rounds of
// TLS 1.3: while one is open, the first tape does not hold them.
func (v *view) servedInRounds(at time.Duration) int {
	n := 0
	for _, round := range v.Rounds {
		for _, rec := range round.Tape.Records {
			if round.Kind == parse.PostHandshake && rec.From == v.server && rec.At >= at && !(v.tls13 && v.isAlert13(rec)) {
				n += int(rec.Len)
			}
		}
	}
	return n
}

// unused reports whether a connection on which the client answered with an empty
// Certificate was closed before it carried anything of the client's.
func (v *view) unused() bool {
	c := &v.Sides[v.client]
	if v.End != parse.FIN && v.End != parse.RST || c.Lost > 0 || c.Hidden > 0 {
		return false
	}
	for _, a := range v.Alerts {
		if a.From == v.server && a.Fatal {
			return false // it was refused
		}
	}
	if !v.tls13 {
		return c.AppData == 0
	}
	switch c.AppData - v.flight.records {
	case 0:
		return true
	case 1: // close_notify
		return len(v.sealedC) == c.AppData && v.isAlert13(v.sealedC[c.AppData-1])
	}
	return false
}

// handshakeBytes is how much of the server's sealed data came before the
// client's answer.
func (v *view) handshakeBytes() int64 {
	if !v.tls13 {
		return 0
	}
	var n int64
	end := v.flightEnd()
	for _, r := range v.sealedS {
		if r.At <= end {
			n += int64(r.Len)
		}
	}
	return n
}

func (v *view) isAlert13(r parse.Record) bool {
	n, ok := v.ServerHello.Cipher.Sealed13(alertContent)
	return ok && (int(r.Len) == n || int(r.Len) == n+jssePadding)
}

func (v *view) replyRenegotiation() Reply {
	switch r := v.askedRenegotiation(); {
	case len(r.client) == 0:
		asked, until := v.timesRenegotiation()
		_, closed := v.finAt(v.client)
		switch {
		case until-asked >= heldAtLeast:
			return ReplyStalled
		case closed:
			return ReplyDropped
		}
		return ReplyNone
	case r.holds(r.client[0], 3+r.header), len(r.client) == 1 && r.client[0] < leastCertificate:
		return ReplyEmpty
	}
	return ReplyCert
}

// times returns when a request was through and when the client reacted: by an
// answer, by closing, or not at all up to the end.
func (v *view) times(when When) (asked, reacted time.Duration) {
	if asked, reacted, ok := v.timesUnsealed(when); ok {
		return asked, reacted
	}
	switch {
	case when == InRenegotiation:
		return v.timesRenegotiation()
	case when == AfterHandshake:
		return 0, 0
	}
	if s, ok := v.silent(); ok {
		return s.since, s.until
	}
	if len(v.sealedC) > 0 && v.flight.kind != flightNone {
		reacted = v.sealedC[0].At
		for _, r := range v.sealedS {
			if r.At <= reacted {
				asked = r.At
			}
		}
		return asked, reacted
	}
	if m := v.find(v.server, parse.TypeCertificateRequest); m != nil {
		asked = m.At
	}
	if m := v.find(v.client, parse.TypeCertificate); m != nil {
		return asked, m.At
	}
	if at, ok := v.finAt(v.client); ok {
		return asked, at
	}
	return asked, v.Last.Sub(v.Start)
}

func (v *view) timesRenegotiation() (asked, reacted time.Duration) {
	hello := false
	for _, r := range v.askedRenegotiation().records {
		switch {
		case r.Type != parse.HandshakeRecord:
		case r.From == v.server:
			asked = r.At
		case !hello:
			hello = true
		default:
			return asked, r.At
		}
	}
	if at, ok := v.finAt(v.client); ok {
		return asked, at
	}
	return asked, v.Last.Sub(v.Start)
}
