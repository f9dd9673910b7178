package attribute

import (
	"slices"
	"time"

	"whoasked/parse"
)

// view is a connection as the rules look at it: the facts sorted by TLS role.
type view struct {
	*parse.Handshake
	client, server parse.Side
	tls13          bool // negotiated, as the ServerHello says
	// Messages are those in the clear, opened those that were unsealed.
	Messages, opened []parse.Message
	// sealedC and sealedS are the sealed records of each role on the tape of the
	// first handshake (TLS 1.3: type 23), in order.
	sealedC, sealedS []parse.Record
	flight           flight // the client's, TLS 1.3
	support          string // what else has a dropped connection be one that was asked, empty for nothing

	records []parse.Record // the memory of sealedC and sealedS
}

func newView(h *parse.Handshake) *view { return new(view).look(h) }

// look turns a view to another connection, in the memory it has.
func (v *view) look(h *parse.Handshake) *view {
	*v = view{Handshake: h, client: h.Client, server: h.Client.Other(), records: v.records}
	v.Messages = h.Messages
	if h.Keys == parse.KeysOpened { // else none is unsealed
		v.Messages = nil
		for _, m := range h.Messages {
			if m.Unsealed {
				v.opened = append(v.opened, m)
			} else {
				v.Messages = append(v.Messages, m)
			}
		}
	}
	v.tls13 = h.ServerHello != nil && h.ServerHello.Version.IsTLS13()
	if !h.ClientKnown {
		return v
	}
	v.sealedC, v.sealedS = v.sealed(h.Tape.Records)
	v.flight = v.readFlight()
	return v
}

// sealed sorts the sealed records of a tape by role, both in v.records.
func (v *view) sealed(tape []parse.Record) (client, server []parse.Record) {
	var ofClient, ofServer int
	for i := range tape {
		switch {
		case tape[i].Type != parse.ApplicationData:
		case tape[i].From == v.client:
			ofClient++
		default:
			ofServer++
		}
	}
	v.records = slices.Grow(v.records[:0], ofClient+ofServer)
	both := v.records[:ofClient+ofServer]
	client, server = both[:0:ofClient], both[ofClient:ofClient]
	for i := range tape {
		switch {
		case tape[i].Type != parse.ApplicationData:
		case tape[i].From == v.client:
			client = append(client, tape[i])
		default:
			server = append(server, tape[i])
		}
	}
	return client, server
}

// find returns the first clear message of a type from a side.
func (v *view) find(from parse.Side, t parse.HandshakeType) *parse.Message {
	for i := range v.Messages {
		if m := &v.Messages[i]; m.From == from && m.Type == t {
			return m
		}
	}
	return nil
}

// oneSided reports whether nothing at all was captured of a side.
func (v *view) oneSided(s parse.Side) bool {
	return v.Sides[s].Bytes == 0
}

// finAt returns when a side closed its direction since Start, ok false if it
// did not.
func (v *view) finAt(s parse.Side) (time.Duration, bool) {
	if t := v.Sides[s].FinAt; !t.IsZero() {
		return t.Sub(v.Start), true
	}
	if v.End == parse.RST && v.EndFrom == s {
		return v.Last.Sub(v.Start), true
	}
	return 0, false
}
