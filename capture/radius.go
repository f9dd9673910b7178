package capture

import (
	"encoding/binary"

	"whoasked/parse"
)

// radius tells apart the authentications that RADIUS carries between the same
// two ends (RFC 3579): requests by their State or, at first, by the station that
// asks in; answers by the Identifier of the request.
type radius struct {
	requests map[radiusRequest]*session
	names    map[radiusName]*session
	eap      []byte // the EAP packet put together from attributes
}

// radiusRequest names a request that waits for its answer.
type radiusRequest struct {
	Tuple // from the client
	id    uint8
}

// radiusName is a State (RFC 2865 §5.24) or a Calling-Station-Id (§5.31), as the
// server at that address knows it.
type radiusName struct {
	server    [16]byte
	attribute uint8
	value     string
}

// radiusNames are the entries of one session, to be removed with it. A request
// may be sent again after its State has changed.
type radiusNames struct {
	request radiusRequest
	states  [2]radiusName
	station radiusName
}

func newRadius() radius {
	return radius{requests: make(map[radiusRequest]*session), names: make(map[radiusName]*session)}
}

// RADIUS codes (RFC 2865 §3) and attributes.
const (
	radiusAccessRequest   = 1
	radiusAccessAccept    = 2
	radiusAccessReject    = 3
	radiusAccessChallenge = 11

	radiusState          = 24
	radiusCallingStation = 31
	radiusEAPMessage     = 79
)

// radiusPort tells the assigned port, and the one used before.
func radiusPort(p uint16) bool { return p == 1812 || p == 1645 }

// radiusPacket is a RADIUS packet as far as it is of interest. eap is the
// concatenation of its EAP-Message attributes (RFC 3579 §3.1).
type radiusPacket struct {
	code, id       uint8
	state, station []byte
	eap            []byte
}

// read reports whether data is an Access packet, and takes it apart. buf is
// memory for eap.
func (p *radiusPacket) read(data, buf []byte) bool {
	const header = 20
	if len(data) < header {
		return false
	}
	switch data[0] {
	case radiusAccessRequest, radiusAccessAccept, radiusAccessReject, radiusAccessChallenge:
	default:
		return false
	}
	n := int(binary.BigEndian.Uint16(data[2:]))
	if n < header || n > 4096 {
		return false
	}
	*p = radiusPacket{code: data[0], id: data[1], eap: buf[:0]}
	for rest := data[header:min(n, len(data))]; len(rest) >= 2; {
		length := int(rest[1])
		if length < 2 || length > len(rest) {
			return false
		}
		value := rest[2:length]
		switch rest[0] {
		case radiusState:
			p.state = value
		case radiusCallingStation:
			p.station = value
		case radiusEAPMessage:
			p.eap = append(p.eap, value...)
		}
		rest = rest[length:]
	}
	return true
}

// radiusDatagram hands the EAP packet in a RADIUS packet over; ok tells that it
// is one.
func (t *Tracker) radiusDatagram(at int64, seg *Segment) (ok bool) {
	r := &t.sessions.radius
	var p radiusPacket
	if seg.Missing > 0 || !p.read(seg.Payload, r.eap) {
		return false
	}
	r.eap = p.eap
	if len(p.eap) == 0 {
		return true
	}
	tuple, from := seg.Tuple, parse.Opener
	if p.code != radiusAccessRequest {
		tuple, from = tuple.Reverse(), parse.Accepter
	}
	request := radiusRequest{tuple, p.id}
	s := t.radiusSession(&p, &request, at)
	if s == nil {
		if !parse.OpensEAP(p.eap) {
			return true
		}
		s = t.openSession(parse.RADIUS, &session{}, tuple)
	}
	r.rename(s, &p, request)
	packet := Segment{Payload: p.eap}
	t.handEAP(s, at, from, &packet)
	return true
}

// radiusSession finds the session of a packet, nil for none.
func (t *Tracker) radiusSession(p *radiusPacket, request *radiusRequest, at int64) *session {
	r := &t.sessions.radius
	if p.code != radiusAccessRequest {
		if s := r.requests[*request]; s != nil {
			return s
		}
	}
	if len(p.state) > 0 {
		if s := r.names[radiusName{request.Dst, radiusState, string(p.state)}]; s != nil {
			return s
		}
	}
	if len(p.station) == 0 {
		return nil
	}
	s := r.names[radiusName{request.Dst, radiusCallingStation, string(p.station)}]
	if s != nil && len(p.state) == 0 { // it begins again
		t.endSession(s, at, parse.Reused)
		return nil
	}
	return s
}

// rename enters what a packet tells of its session.
func (r *radius) rename(s *session, p *radiusPacket, request radiusRequest) {
	n := &s.radius
	if p.code == radiusAccessRequest && n.request != request {
		if r.requests[n.request] == s {
			delete(r.requests, n.request)
		}
		n.request = request
		r.requests[request] = s
	}
	if len(p.station) > 0 && n.station.value == "" {
		n.station = radiusName{request.Dst, radiusCallingStation, string(p.station)}
		r.names[n.station] = s
	}
	if state := string(p.state); state != "" && state != n.states[0].value && state != n.states[1].value {
		r.drop(n.states[1], s)
		n.states[1] = n.states[0]
		n.states[0] = radiusName{request.Dst, radiusState, state}
		r.names[n.states[0]] = s
	}
}

func (r *radius) drop(n radiusName, s *session) {
	if n.value != "" && r.names[n] == s {
		delete(r.names, n)
	}
}

func (r *radius) forget(s *session) {
	n := &s.radius
	if r.requests[n.request] == s {
		delete(r.requests, n.request)
	}
	r.drop(n.station, s)
	r.drop(n.states[0], s)
	r.drop(n.states[1], s)
}
