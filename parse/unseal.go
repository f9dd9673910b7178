package parse

import (
	"slices"
	"time"
)

// KeyState tells what the secrets at hand did for a connection.
type KeyState uint8

// Values of KeyState; the zero value also stands for a run without keys.
const (
	KeysNone        KeyState = iota // there are none for its client random
	KeysUnsupported                 // there are, but the suite or version is not opened here
	KeysFailed                      // there are, and none of them opened a record
	KeysOpened                      // sealed records were opened
)

// Bounds of unsealing.
const (
	// maxWindow is how far a sequence number is searched behind lost records.
	maxWindow = 256
	// lossWindow is how many records a loss of unknown extent is taken for.
	lossWindow = 64
	// maxTrial bounds, in bytes of ciphertext, what failing to open records may
	// cost one connection.
	maxTrial = 16 << 20
	// maxHeldRecords and maxHeldBytes bound what one direction keeps while its
	// secrets or its ServerHello have not come; maxHeldTotal bounds all of them.
	maxHeldRecords = 16
	maxHeldBytes   = 40 << 10
	maxHeldTotal   = 4 << 20
)

// unsealing opens the sealed records of one connection, as far as they may hold
// handshake messages or alerts and a secret for them is at hand. Secrets are
// looked up when a record needs them: they may come until then, and with
// Keys.Growing also some records later.
type unsealing struct {
	c     *Conn
	dirs  [2]sealed // indexed by Side
	spent int       // of maxTrial
	heard bool      // the client's first application data was looked at
	round uint8     // the latest handshake inside the connection
	next  hello12   // of the handshake that is going on
	// origins are the client randoms of connections whose session this one offers
	// to resume (TLS ≤ 1.2): its secrets may be logged under theirs.
	origins [][32]byte
	script  transcript // of the handshake that is going on
}

// sealed is one direction of unsealing.
type sealed struct {
	done   bool // what is still to come can change no verdict, or is lost for good
	closed bool // by an alert
	last   bool // but for the client's first application data
	rec    sealedRecord
	msg    deframer
	gap    bool // a message may be missing in front of the next one
	hole   bool // of what runs inside, bytes are missing in front of the next ones
	// The next record has the number seq, or up to missing more: records were
	// lost, or did not open.
	seq     uint64
	missing int
	failed  int // records in a row that did not open

	held      []sealedRecord
	heldBytes int

	keysSeen uint64 // version of the secrets when candidates were made
	state13
	state12
}

// sealedRecord is a record to be opened.
type sealedRecord struct {
	typ  ContentType
	hdr  [headerLen]byte
	at   time.Duration
	body []byte
	lost int // records that may be missing in front of it
	// TLS ≤ 1.2, where records between may be passed over: seq and missing of the
	// direction when this one came.
	seq     uint64
	missing int
}

// outcome is what became of a record.
type outcome uint8

const (
	unopened outcome = iota
	opened
	passed  // it tells nothing
	waiting // for a secret, or for the ServerHello
)

// hopeful reports whether there are secrets for the connection or may yet be.
func (u *unsealing) hopeful() bool {
	k := u.c.p.opts.Keys
	return k.Growing || k.has(u.next.client) || slices.ContainsFunc(u.origins, k.has) || u.mayFindRSA()
}

// wants takes note of a sealed record that begins and reports whether its body
// is needed; then take or missed follows.
func (u *unsealing) wants(d *direction, t ContentType, gap bool) bool {
	s := &u.dirs[d.from]
	if s.done {
		return false
	}
	s.rec = sealedRecord{typ: t, hdr: d.hdr, at: u.c.since()}
	if gap {
		s.rec.lost = lossWindow
	}
	switch sh := u.c.h.ServerHello; {
	case sh == nil:
		return t == ApplicationData && u.hopeful()
	case sh.Version.IsTLS13():
		return t == ApplicationData && (s.cur != nil || u.hopeful())
	}
	return u.wants12(d, s, t)
}

// missed is told that the body of a record that was wanted is not there.
func (u *unsealing) missed(d *direction) {
	s := &u.dirs[d.from]
	u.count12(s, &s.rec)
	if !u.c.tls13() && u.listens(d, s.rec.typ) {
		u.hear()
	}
	if s.open != nil {
		s.open.skip(int(s.rec.hdr[3])<<8|int(s.rec.hdr[4]), nil)
	}
	s.missing += s.rec.lost
	u.unopened(d, s)
}

// count12 gives a record of TLS ≤ 1.2 its number.
func (u *unsealing) count12(s *sealed, r *sealedRecord) {
	if sh := u.c.h.ServerHello; sh != nil && !sh.Version.IsTLS13() {
		r.seq, r.missing = s.seq, s.missing
		s.seq++
	}
}

// unopened counts a record that stays closed.
func (u *unsealing) unopened(d *direction, s *sealed) {
	if sh := u.c.h.ServerHello; sh == nil || sh.Version.IsTLS13() {
		s.missing++
	}
	s.failed++
	s.hole = true
	s.msg.reset(u.c.p)
	u.c.h.Sides[d.from].Unopened++
	if s.cur == nil && s.open == nil && s.failed > maxWindow || u.spent > maxTrial {
		u.finish(s)
	}
}

// finish gives a direction's records up for good.
func (u *unsealing) finish(s *sealed) {
	s.done = true
	s.msg.reset(u.c.p)
	u.release(s)
	u.settle()
}

// settle finds out whether records can still change a verdict.
func (u *unsealing) settle() {
	a, b := &u.dirs[0], &u.dirs[1]
	if (a.done || a.last) && (b.done || b.last) || u.c.h.ServerHello != nil && !u.c.tls13() && u.dirs[u.c.h.Client].done && u.c.inner == nil {
		u.c.h.Unsealing = false
	}
}

// hear takes note that the client's first application data has passed. With
// TLS ≤ 1.2 it is all in the first handshake and behind it that keys could add:
// the rest of that handshake is in the clear.
func (u *unsealing) hear() {
	u.heard = true
	if !u.c.tls13() {
		u.c.h.Unsealing = false
	}
}

// Bodies reports whether the bodies of application data records are looked at,
// or may be yet: a source need not hand them over else (see [Sieve]). Without
// Keys, and with TLS ≤ 1.2 once it is known what the client says first, it is
// record headers that tell all there is, for most cipher suites. It does not
// become true again.
func (c *Conn) Bodies() bool {
	u := c.un
	switch {
	case u == nil:
		return c.h.ClientHello == nil && c.p.opts.Keys != nil
	case c.h.ServerHello == nil || u.c.tls13() || !u.heard || c.inner != nil:
		return true
	}
	for i := range u.dirs {
		if o := u.dirs[i].open; o != nil && o.chained() {
			return true
		}
	}
	return false
}

// take opens a record, or keeps it until it can be.
func (u *unsealing) take(d *direction, body []byte) {
	s := &u.dirs[d.from]
	r := s.rec
	r.body = body
	u.count12(s, &r)
	u.drain(d)
	if s.done {
		return
	}
	if len(s.held) > 0 || u.try(d, s, &r) == waiting {
		u.hold(d, s, r)
	}
}

// try opens a record and reads what is in it.
func (u *unsealing) try(d *direction, s *sealed, r *sealedRecord) outcome {
	sh := u.c.h.ServerHello
	if sh == nil {
		return waiting
	}
	now := u.c.now
	u.c.now = u.c.h.Start.Add(r.at)
	defer func() { u.c.now = now }()
	var got outcome
	if sh.Version.IsTLS13() {
		got = u.try13(d, s, r)
	} else {
		got = u.try12(d, s, r)
	}
	switch got {
	case opened:
		s.failed = 0
		u.c.h.Keys = KeysOpened
		u.c.h.Sides[d.from].Opened++
	case unopened:
		u.unopened(d, s)
		u.c.h.Keys = max(u.c.h.Keys, KeysFailed)
	}
	return got
}

// hold keeps a record until its secret or the ServerHello comes.
func (u *unsealing) hold(d *direction, s *sealed, r sealedRecord) {
	p := u.c.p
	for len(s.held) > 0 && (len(s.held) >= maxHeldRecords || s.heldBytes+len(r.body) > maxHeldBytes) {
		s.heldBytes -= len(s.held[0].body)
		p.heldBytes -= len(s.held[0].body)
		s.held = slices.Delete(s.held, 0, 1)
		u.unopened(d, s)
	}
	if s.done {
		return
	}
	if len(r.body) > maxHeldBytes || p.heldBytes+len(r.body) > maxHeldTotal {
		u.unopened(d, s)
		return
	}
	r.body = slices.Clone(r.body)
	s.heldBytes += len(r.body)
	p.heldBytes += len(r.body)
	s.held = append(s.held, r)
}

// drain opens what was held, as far as it can be by now.
func (u *unsealing) drain(d *direction) {
	s := &u.dirs[d.from]
	for len(s.held) > 0 && !s.done {
		r := s.held[0]
		if u.try(d, s, &r) == waiting {
			return
		}
		if len(s.held) == 0 {
			return // given up meanwhile
		}
		s.heldBytes -= len(r.body)
		u.c.p.heldBytes -= len(r.body)
		s.held = slices.Delete(s.held, 0, 1)
	}
}

// release forgets what was held.
func (u *unsealing) release(s *sealed) {
	u.c.p.heldBytes -= s.heldBytes
	s.held, s.heldBytes = nil, 0
}

// content reads what a record held.
func (u *unsealing) content(d *direction, s *sealed, t ContentType, b []byte) {
	switch t {
	case ApplicationData:
		if u.listens(d, t) {
			u.hear()
			if !s.gap {
				u.tunnelled(d, b)
			}
		}
		u.pass(d.from, b)
	case HandshakeRecord:
		for len(b) > 0 {
			if s.msg.open {
				b = d.content(&s.msg, b)
			} else if b = s.msg.header(b); s.msg.hdrN == 4 {
				d.openMessage(&s.msg)
			}
		}
	case AlertRecord:
		if len(b) != 2 {
			u.c.malformed(d.from, "an unsealed alert is not two bytes long")
			return
		}
		a := Alert{At: u.c.since(), From: d.from, Fatal: b[0] == 2, Description: b[1], Unsealed: true}
		if u.c.tls13() {
			a.Fatal = b[1] != 0 && b[1] != 90 // the level says nothing (RFC 8446 §6): close_notify, user_canceled
		}
		u.c.emit(Event{Kind: EventAlert, From: d.from, Alert: a})
	}
}

// opened marks a message that was unsealed.
func (u *unsealing) opened(d *direction, m *Message) {
	s := &u.dirs[d.from]
	m.Gap, s.gap = s.gap, false
	if u.c.tls13() {
		m.Round = u.round13(d, s, m.Type)
	} else {
		m.Round = u.round12(m.Type)
	}
}

// closed takes note of an unsealed message whose last byte has passed.
func (u *unsealing) closed(d *direction, t HandshakeType) {
	s := &u.dirs[d.from]
	switch {
	case !u.c.tls13():
	case t == TypeFinished && s.epoch == epochHandshake, t == TypeKeyUpdate && s.epoch == epochTraffic:
		s.change = true // behind the record: nothing may follow in it (RFC 8446 §5.1)
	}
}
