package parse

import (
	"slices"
	"time"
)

// openvpnReader puts the streams of TLS records together from the packets of one
// session of OpenVPN's control channel and gives them to the directions of the
// Conn. Packets of the session of TLS behind the next soft reset are passed over:
// over UDP they are a connection of their own, over TCP they are not read.
type openvpnReader struct {
	c     *Conn
	hmac  int   // length of the HMAC, or unknownHMAC
	key   uint8 // valid iff keyed
	keyed bool
	sides [2]openvpnSide
}

// openvpnSide is one direction.
type openvpnSide struct {
	session uint64 // valid iff known
	known   bool
	next    uint32 // message id that is due
	waiting []openvpnMessage
}

// openvpnMessage is a piece of the stream that waits for those before it.
type openvpnMessage struct {
	at   time.Time
	id   uint32
	cut  int // bytes missing behind data
	data []byte
}

// maxOpenVPNWaiting is how many messages of one direction wait: as many as an
// end takes out of order. An end sends no more before the first of them is
// acknowledged, so that with as many the one before them was not captured.
const maxOpenVPNWaiting = 12

func newOpenVPNReader(c *Conn) *openvpnReader {
	c.h.Method = MethodOpenVPN
	r := &openvpnReader{c: c, hmac: unknownHMAC}
	for s := range r.sides {
		r.sides[s].next = 1
	}
	return r
}

// packet takes a packet from whose end cut bytes are missing.
func (r *openvpnReader) packet(from Side, b []byte, cut int) {
	op, key, session, ok := openvpnHead(b)
	if !ok || !op.controls() || r.keyed && key != r.key {
		return
	}
	if openvpnCovered(b) {
		r.c.h.Covered = true
		return
	}
	if r.hmac == unknownHMAC {
		r.hmac = r.guess(from, b)
	}
	s := &r.sides[from]
	if !s.known || s.next == 1 {
		s.session, s.known = session, true
	}
	var p openvpnPacket
	if r.hmac == unknownHMAC || session != s.session || !p.read(b, r.hmac) {
		return
	}
	r.key, r.keyed = p.key, true
	if p.op == openvpnControl {
		r.message(from, openvpnMessage{r.c.now, p.id, cut, p.payload})
	}
}

// guess finds the length of the HMAC: by a reset, by a handshake record, or by
// what acknowledges packets of a session that is known.
func (r *openvpnReader) guess(from Side, b []byte) int {
	if _, n, ok := openvpnReset(b); ok {
		return n
	}
	if n := openvpnByContent(b); n != unknownHMAC {
		return n
	}
	var p openvpnPacket
	for _, n := range openvpnHMACs {
		if o := &r.sides[from.Other()]; o.known && p.read(b, n) && p.acks > 0 && p.peer == o.session {
			return n
		}
	}
	return unknownHMAC
}

// message takes a piece of a stream.
func (r *openvpnReader) message(from Side, m openvpnMessage) {
	s := &r.sides[from]
	i, found := slices.BinarySearchFunc(s.waiting, m.id, func(w openvpnMessage, id uint32) int {
		return int(int64(w.id) - int64(id))
	})
	if m.id < s.next || found {
		return // sent again
	}
	if m.id > s.next {
		m.data = slices.Clone(m.data)
		s.waiting = slices.Insert(s.waiting, i, m)
		if len(s.waiting) > maxOpenVPNWaiting {
			r.skip(from)
		}
		return
	}
	r.hand(from, &m)
	r.drain(from)
}

// drain hands over what is due of what waits.
func (r *openvpnReader) drain(from Side) {
	s := &r.sides[from]
	n := 0
	for ; n < len(s.waiting) && s.waiting[n].id == s.next; n++ {
		r.hand(from, &s.waiting[n])
	}
	s.waiting = slices.Delete(s.waiting, 0, n)
}

func (r *openvpnReader) hand(from Side, m *openvpnMessage) {
	c, d := r.c, &r.c.dirs[from]
	now := c.now
	c.now = m.at
	d.feedInner(m.data)
	if m.cut > 0 {
		d.loseInner(m.cut)
	}
	c.now = now
	r.sides[from].next = m.id + 1
}

// skip gives up the messages in front of the first that waits.
func (r *openvpnReader) skip(from Side) {
	s := &r.sides[from]
	missing := int64(s.waiting[0].id - s.next)
	s.next = s.waiting[0].id
	r.c.h.Sides[from].Lost += missing
	r.c.emit(Event{Kind: EventLost, From: from, Bytes: missing})
	r.c.dirs[from].loseUnknown()
	r.drain(from)
}

// finish is told that no more packets will come.
func (r *openvpnReader) finish() {
	for from := range r.sides {
		for len(r.sides[from].waiting) > 0 {
			r.skip(Side(from))
		}
	}
}
