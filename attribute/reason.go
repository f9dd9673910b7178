package attribute

import (
	"fmt"

	"whoasked/parse"
)

// reason says why no rule could answer, the likeliest cause first.
func (v *view) reason() string {
	switch {
	case v.ServerHello != nil && v.ServerHello.Version == parse.SSL20:
		return "the connection is SSL 2.0, whose handshake is sealed"
	case v.ClientHello == nil && v.ServerHello == nil:
		return "the capture begins after the handshake of this connection"
	case v.ServerHello != nil && v.QUIC != nil:
		return "QUIC hides the handshake; retry over TCP" + v.keyTrouble()
	case v.ServerHello != nil && v.DTLS && v.tls13:
		return "DTLS 1.3 seals the request, and the lengths of its records say nothing about it"
	case v.lost():
		return fmt.Sprintf("%d bytes of the handshake were not captured", v.Sides[0].Lost+v.Sides[1].Lost)
	case v.ServerHello == nil:
		return v.reasonNoServerHello()
	case v.tls13:
		return v.reasonSealed()
	case v.oneSided(v.client):
		return "only the server's side was captured, and not all of its flight"
	}
	return "the handshake breaks off before the server's flight is complete" + v.ended()
}

func (v *view) lost() bool {
	return v.Sides[0].Lost+v.Sides[1].Lost > 0
}

func (v *view) reasonNoServerHello() string {
	for _, a := range v.Alerts {
		if a.From == v.server {
			return fmt.Sprintf("the server refused the ClientHello with alert %d (%s)", a.Description, parse.AlertName(a.Description))
		}
	}
	_, closed := v.finAt(v.server)
	switch {
	case v.oneSided(v.server) && closed:
		return "the server closed the connection without answering the ClientHello"
	case v.oneSided(v.server) && v.End == parse.RST:
		return "the connection was reset before the server answered the ClientHello"
	case v.oneSided(v.server):
		return "nothing of the server's side was captured"
	case v.RetryRequested:
		return "the handshake breaks off after the HelloRetryRequest" + v.ended()
	}
	return "the server's answer to the ClientHello was not recognised"
}

func (v *view) reasonSealed() string {
	switch {
	case v.flight.kind == flightAlert:
		return v.flight.text + ", and the server's flight does not show how many messages it holds"
	case len(v.sealedS) == 0:
		return "the handshake breaks off after the ServerHello" + v.ended()
	case v.oneSided(v.client):
		return "TLS 1.3 seals the request, only the server's side was captured, and its flight does not show how many messages it holds"
	}
	return "TLS 1.3 seals the request, and the client did not answer the server's flight" + v.ended()
}

func (v *view) ended() string {
	switch v.End {
	case parse.RST:
		if v.ClientKnown && v.EndFrom == v.client {
			return ": the client reset the connection, and what came behind that was not read"
		}
		return ": the server reset the connection, and what came behind that was not read"
	case parse.FIN:
		return ": the connection was closed"
	case parse.CaptureEnd:
		return ": the capture ends there"
	case parse.Evicted:
		return ": it was given up to stay within the limits (limits.flows)"
	case parse.Idle:
		return ": nothing more came"
	}
	return ""
}
