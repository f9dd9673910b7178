package parse

import (
	"slices"
	"time"
)

// dtlsReader reads the records of one DTLS connection. Handshake messages are
// put together and in order by their message_seq (RFC 6347 §4.2.2), which tells
// exactly where one is missing, and read like those of TLS; of sealed records
// the headers are booked, and with keys the contents are read.
type dtlsReader struct {
	c     *Conn
	sides [2]dtlsSide
	leads uint16 // the epoch that the latest renegotiation leads to, 0 before one
}

// dtlsSide is the state of one direction.
type dtlsSide struct {
	dtlsMessages              // in the clear
	inside       dtlsMessages // of a handshake in the sealed connection; with keys
	keyed        uint16       // the epoch whose keys the unsealing has

	clear  replayWindow // of epoch 0
	change *Record      // a ChangeCipherSpec in front of which records are missing

	epoch        uint16          // the latest sealed one
	windows      [2]replayWindow // of it and of the one before
	finished     bool            // its first handshake record has passed
	finishedSize int             // the length of that
}

// dtlsMessages puts the messages of one handshake from one side in order.
type dtlsMessages struct {
	next     uint16        // message_seq that is due
	last     HandshakeType // of the message handed over before
	waiting  []*dtlsMessage
	size     int // bytes of their bodies
	unsealed bool
}

// Bounds of the messages of one direction that wait to become whole or for one
// before them.
const (
	maxDTLSMessages = 24
	maxDTLSWaiting  = 128 << 10 // bytes of bodies
)

// dtlsMessage is a message of which something has come.
type dtlsMessage struct {
	sorter
	at   time.Time // when the latest piece came
	typ  HandshakeType
	seq  uint16
	len  int
	body []byte
}

func (m *dtlsMessage) whole() bool { return len(m.body) == m.len }

func newDTLSReader(c *Conn) *dtlsReader {
	c.h.DTLS = true
	return &dtlsReader{c: c}
}

// datagram takes the records of a datagram. What is none, such as the STUN and
// RTP packets beside DTLS-SRTP, and the records of DTLS 1.3 behind the hellos
// (RFC 9147 §4), is passed over.
func (r *dtlsReader) datagram(from Side, b []byte) {
	for b = dtlsBody(b); len(b) > 0; {
		claimed := 0
		if len(b) >= dtlsHeader {
			claimed = int(b[11])<<8 | int(b[12])
		}
		rec, rest, ok := readDTLSRecord(b)
		if !ok {
			return
		}
		b = rest
		r.record(from, &rec, claimed)
	}
}

// record takes a record that claims n bytes.
func (r *dtlsReader) record(from Side, rec *dtlsRecord, n int) {
	if rec.epoch > 0 {
		r.c.started()
		r.sealed(from, rec, n)
		return
	}
	s := &r.sides[from]
	if !s.clear.add(rec.seq) {
		return
	}
	switch rec.typ {
	case HandshakeRecord:
		r.c.started()
		for b := rec.body; len(b) > 0; {
			f, rest, ok := readDTLSFragment(b)
			if !ok {
				r.c.malformed(from, "a DTLS record with a fragment that is none")
				break
			}
			r.fragment(from, &s.dtlsMessages, &f)
			b = rest
		}
	case AlertRecord:
		if n == 2 && len(rec.body) == 2 {
			r.c.emit(Event{Kind: EventAlert, From: from, Alert: Alert{
				At: r.c.since(), From: from, Fatal: rec.body[0] == 2, Description: rec.body[1],
			}})
		}
	case ChangeCipherSpec:
		// Sent again, it is no other one.
		if !r.c.h.Sides[from].CCS && s.change == nil {
			s.change = &Record{At: r.c.since(), From: from, Type: ChangeCipherSpec, Len: uint16(n)}
		}
	}
	r.changed(from, false)
}

// changed books the ChangeCipherSpec once nothing is missing in front of it, or
// when nothing more will come.
func (r *dtlsReader) changed(from Side, last bool) {
	s := &r.sides[from]
	if s.change == nil || !last && (s.clear.holes() || len(s.waiting) > 0) {
		return
	}
	rec := *s.change
	rec.Gap = s.clear.holes() || len(s.waiting) > 0
	s.change = nil
	r.c.emit(Event{Kind: EventRecord, From: from, Time: r.c.h.Start.Add(rec.At), Record: rec})
}

// fragment takes a piece of a message.
func (r *dtlsReader) fragment(from Side, s *dtlsMessages, f *dtlsFragment) {
	if f.seq < s.next {
		// A server that has kept no state may number from 0 again.
		if f.seq != 0 || s.last != TypeHelloVerifyRequest || f.typ != TypeServerHello {
			return
		}
		s.next = 0
	}
	i, found := slices.BinarySearchFunc(s.waiting, f.seq, func(m *dtlsMessage, seq uint16) int { return int(m.seq) - int(seq) })
	if !found {
		if len(s.waiting) >= maxDTLSMessages || f.len > maxMessage {
			r.c.malformed(from, "more DTLS messages at a time than are kept")
			return
		}
		s.waiting = slices.Insert(s.waiting, i, &dtlsMessage{typ: f.typ, seq: f.seq, len: f.len})
	}
	m := s.waiting[i]
	if m.typ != f.typ || m.len != f.len {
		r.c.malformed(from, "fragments of a DTLS message that contradict each other")
		return
	}
	m.at = r.c.now
	before := len(m.body) + m.held
	ok := s.size+len(f.data) <= maxDTLSWaiting && m.take(uint64(f.at), f.data, func(b []byte) { m.body = append(m.body, b...) })
	if s.size += len(m.body) + m.held - before; !ok {
		r.c.malformed(from, "more fragments of DTLS messages than are kept")
	}
	for len(s.waiting) > 0 && s.waiting[0].seq == s.next && s.waiting[0].whole() {
		r.deliver(from, s, false)
	}
}

// deliver hands the first message that waits over. gap says that one before it
// is missing.
func (r *dtlsReader) deliver(from Side, s *dtlsMessages, gap bool) {
	c, d := r.c, &r.c.dirs[from]
	m := s.waiting[0]
	s.waiting = slices.Delete(s.waiting, 0, 1)
	s.size -= len(m.body) + m.held
	s.next, s.last = m.seq+1, m.typ
	now := c.now
	c.now = m.at
	msg := Message{At: c.since(), From: from, Type: m.typ, Len: m.len, Gap: gap, Unsealed: s.unsealed}
	if s.unsealed {
		msg.Round = c.un.round12(m.typ)
	}
	c.emit(Event{Kind: EventMessage, From: from, Message: msg})
	switch {
	case m.whole() && m.typ == TypeClientHello:
		d.message(m.typ, s.unsealed, withoutCookie(m.body))
	case m.whole():
		d.message(m.typ, s.unsealed, m.body)
	case m.typ == TypeCertificateRequest:
		c.emit(Event{Kind: EventCertificateRequest, From: from, Request: &CertificateRequest{
			At: c.now, From: from, Unsealed: s.unsealed, Malformed: "part of the message was not captured",
		}})
	}
	c.now = now
}

// withoutCookie returns the body of a ClientHello in the layout of TLS, without
// the field that DTLS has behind the session id (RFC 6347 §4.2.1).
func withoutCookie(body []byte) []byte {
	at := 2 + 32
	if len(body) <= at {
		return body
	}
	if at += 1 + int(body[at]); len(body) <= at {
		return body
	}
	end := at + 1 + int(body[at])
	if end > len(body) {
		return body[:at] // which ends there
	}
	return slices.Concat(body[:at], body[end:])
}

// finish hands over what waits for messages that were not captured.
func (r *dtlsReader) finish() {
	for from := range r.sides {
		r.changed(Side(from), true) // before the messages are gone that show a gap
		r.flush(Side(from), &r.sides[from].dtlsMessages)
		r.flush(Side(from), &r.sides[from].inside)
	}
}

// flush hands over what waits of one handshake.
func (r *dtlsReader) flush(from Side, s *dtlsMessages) {
	for len(s.waiting) > 0 {
		gap := s.waiting[0].seq != s.next
		if gap {
			r.c.h.Sides[from].Hidden++
		}
		r.deliver(from, s, gap)
	}
}

// sealed books a record of an epoch behind the first, and reads it if there are
// keys.
func (r *dtlsReader) sealed(from Side, rec *dtlsRecord, n int) {
	s, c := &r.sides[from], r.c
	if rec.epoch > s.epoch {
		s.windows[1] = replayWindow{}
		if rec.epoch == s.epoch+1 {
			s.windows[1] = s.windows[0]
		}
		s.windows[0], s.epoch, s.finished = replayWindow{}, rec.epoch, false
	}
	current := rec.epoch == s.epoch
	window := &s.windows[0]
	if !current {
		if window = &s.windows[1]; rec.epoch+1 != s.epoch {
			return
		}
	}
	if !window.add(rec.seq & (1<<48 - 1)) {
		return
	}
	out := Record{At: c.since(), From: from, Type: rec.typ, Len: uint16(n), Gap: window.holes()}
	leads := rec.epoch
	switch {
	case rec.typ == ChangeCipherSpec:
		leads++
	case rec.typ != HandshakeRecord:
	case current && !s.finished: // Finished (RFC 6347 §4.2.4)
		s.finished, s.finishedSize = true, n
	case n == s.finishedSize: // and again, in a flight sent again
		return
	default:
		leads++
	}
	if r.book(leads, out) {
		c.emit(Event{Kind: EventRecord, From: from, Record: out})
	}
	if c.un != nil && len(rec.body) == n {
		r.unseal(from, rec)
	}
}

// book opens and closes the rounds around a sealed record, which belongs to the
// handshake that leads to that epoch, and reports whether it counts: what is sent
// again or comes late of a handshake that is through does not. Each handshake
// behind the first has a round of its own, however much of it was captured.
func (r *dtlsReader) book(leads uint16, rec Record) bool {
	c := r.c
	switch {
	case leads > max(r.leads, 1):
		c.endRound()
		c.openRound(Renegotiation)
		r.leads = leads
	case rec.Type == ApplicationData && leads == r.leads:
		c.closeRound(rec.From)
	case rec.Type == HandshakeRecord || rec.Type == ChangeCipherSpec:
		return r.leads <= 1 || c.roundOpen()
	}
	return true
}

// replayWindow is what of a sequence of numbers has been seen (RFC 6347
// §4.1.2.6): all below low, and those whose bit is set from there on.
type replayWindow struct {
	low  uint64
	bits uint64
	lost bool // some below low were not seen
}

// add notes a number and reports whether it is new.
func (w *replayWindow) add(n uint64) bool {
	if n < w.low {
		return false
	}
	if n >= w.low+64 {
		shift := n - w.low - 63
		if shift < 64 {
			w.lost = w.lost || w.bits&(1<<shift-1) != 1<<shift-1
			w.bits >>= shift
		} else {
			w.lost, w.bits = true, 0
		}
		w.low += shift
	}
	bit := uint64(1) << (n - w.low)
	if w.bits&bit != 0 {
		return false
	}
	w.bits |= bit
	for w.bits&1 != 0 {
		w.bits >>= 1
		w.low++
	}
	return true
}

// holes reports whether numbers below the highest one are missing.
func (w *replayWindow) holes() bool { return w.lost || w.bits != 0 }
