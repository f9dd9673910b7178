package attribute

import (
	"fmt"
	"strings"

	"whoasked/parse"
)

// What may have followed the handshake of an established connection.

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
