package parse

import (
	"crypto/sha256"

	"golang.org/x/crypto/cryptobyte"
)

// hello12 is what the hellos of one handshake of TLS ≤ 1.2 say about its keys.
type hello12 struct {
	client, server [32]byte
	version        Version
	suite          CipherSuite
	etm            bool // encrypt_then_mac (RFC 7366)
	ems            bool // extended_master_secret (RFC 7627)
	complete       bool // both hellos were read
}

// state12 is what one direction knows of TLS ≤ 1.2 keys.
type state12 struct {
	open  opener12
	cand  []candidate12 // while open is nil; valid iff made
	hello hello12       // of the handshake whose ChangeCipherSpec passed last
}

// candidate12 is an opener that a secret may have made.
type candidate12 struct {
	opener12
	master []byte // if it was made of a pre_master_secret
}

// hello takes note of a hello, in the clear or unsealed. It begins unsealing
// with the first ClientHello.
func (c *Conn) hello(e *Event, body []byte) {
	if k := c.p.opts.Keys; k == nil || k.version == 0 && !k.Growing {
		return
	}
	if c.h.QUIC != nil {
		return // it opens its packets by itself
	}
	if c.un == nil {
		if e.Kind != EventClientHello {
			return
		}
		c.un = &unsealing{c: c}
		for s := range c.un.dirs {
			c.un.dirs[s].msg.unsealed = true
		}
	}
	u := c.un
	switch e.Kind {
	case EventClientHello:
		u.next = hello12{client: e.ClientHello.Random}
		u.origins = c.p.sessions.resumed(e.ClientHello.SessionID, offeredTicket(body))
		u.script.begin(c.p, c.p.opts.Keys.premasters > 0 && !c.h.DTLS, e.From, body)
	case EventServerHello:
		sh := e.ServerHello
		u.next.server, u.next.version, u.next.suite, u.next.etm, u.next.ems = sh.Random, sh.Version.overTCP(), sh.Cipher, sh.encryptThenMAC, sh.extendedMaster
		u.next.complete = !sh.compressed
		if sh.Version.IsTLS13() {
			u.script.begin(c.p, false, e.From, nil) // its secrets are others
		}
		c.h.Unsealing = u.hopeful()
		if len(sh.SessionID) > 0 && !sh.Version.IsTLS13() {
			c.p.sessions.note(sessionKey(sh.SessionID), u.origin())
		}
	}
}

// origin is the client random under which the secrets of this connection were
// logged: that of the connection whose session it resumes, if it is known.
func (u *unsealing) origin() [32]byte {
	if len(u.origins) > 0 && !u.c.p.opts.Keys.has(u.next.client) {
		return u.origins[0]
	}
	return u.next.client
}

// ticket takes note of a NewSessionTicket of TLS ≤ 1.2 (RFC 5077 §3.3).
func (u *unsealing) ticket(body []byte) {
	if len(body) > 6 && !u.c.tls13() {
		u.c.p.sessions.note(ticketKey(body[6:]), u.origin())
	}
}

// sessions remembers the client random of the connection that made a session,
// by its id or ticket.
type sessions struct{ young, old map[[32]byte][32]byte }

// maxSessions bounds what is remembered; the older half is forgotten first.
const maxSessions = 1 << 15

func sessionKey(id []byte) (k [32]byte) {
	copy(k[:], id)
	return k
}

func ticketKey(ticket []byte) [32]byte { return sha256.Sum256(ticket) }

func (s *sessions) note(key, random [32]byte) {
	if len(s.young) >= maxSessions/2 {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = make(map[[32]byte][32]byte)
	}
	s.young[key] = random
}

// resumed returns the client randoms of connections whose session is offered by
// its id or ticket; either may be empty.
func (s *sessions) resumed(id, ticket []byte) (randoms [][32]byte) {
	look := func(key [32]byte) {
		for _, m := range []map[[32]byte][32]byte{s.young, s.old} {
			if r, ok := m[key]; ok {
				randoms = append(randoms, r)
			}
		}
	}
	if len(id) > 0 {
		look(sessionKey(id))
	}
	if len(ticket) > 0 {
		look(ticketKey(ticket))
	}
	return randoms
}

// offeredTicket returns the contents of session_ticket (RFC 5077 §3.2) in a
// ClientHello, nil for none.
func offeredTicket(hello []byte) []byte {
	s := cryptobyte.String(hello)
	var skip, extensions, data cryptobyte.String
	if !s.Skip(2+32) || !s.ReadUint8LengthPrefixed(&skip) || !s.ReadUint16LengthPrefixed(&skip) ||
		!s.ReadUint8LengthPrefixed(&skip) || !s.ReadUint16LengthPrefixed(&extensions) {
		return nil
	}
	for !extensions.Empty() {
		var typ uint16
		if !extensions.ReadUint16(&typ) || !extensions.ReadUint16LengthPrefixed(&data) {
			return nil
		}
		if typ == extSessionTicket {
			return data
		}
	}
	return nil
}

// wants12 is wants for TLS ≤ 1.2, where record headers show what is sealed
// handshake.
func (u *unsealing) wants12(d *direction, s *sealed, t ContentType) bool {
	s.missing += s.rec.lost
	s.rec.lost = 0
	switch {
	case t == ChangeCipherSpec:
		u.changeKeys12(d, s)
		return false
	case !s.hello.complete:
		if t != HandshakeRecord || !u.next.complete {
			return false
		}
		u.changeKeys12(d, s) // it was lost
		s.missing += lossWindow
	case t != HandshakeRecord && t != AlertRecord:
		if s.open != nil && (s.open.chained() || u.reads(d, t)) {
			return true
		}
		if u.listens(d, t) {
			u.hear() // unread: what comes next is not the first any more
		}
		s.seq++
		s.hole = true
		return false
	}
	if s.open == nil && !u.hopefulNow12() {
		s.seq++
		return false
	}
	return true
}

// hopefulNow12 reports whether a record is worth being read while no secret has
// opened one.
func (u *unsealing) hopefulNow12() bool {
	if u.c.h.ServerHello == nil {
		return u.hopeful()
	}
	id := u.c.h.ServerHello.SessionID
	return u.hopeful() || len(id) > 0 && u.c.p.opts.Keys.has(sessionKey(id))
}

// changeKeys12 puts the keys of the latest hellos into force.
func (u *unsealing) changeKeys12(d *direction, s *sealed) {
	u.release(s)
	s.msg.reset(u.c.p)
	if sh := u.c.h.ServerHello; sh != nil && sh.compressed && u.c.p.opts.Keys.has(u.next.client) {
		u.c.h.Keys = max(u.c.h.Keys, KeysUnsupported) // whatever the suite
	}
	if !u.next.complete || s.open != nil && u.next == s.hello {
		// The hellos of this handshake were lost, and its keys with them.
		if s.open != nil {
			u.unopened(d, s)
		}
		u.finish(s)
		return
	}
	s.hello, s.open, s.cand, s.made = u.next, nil, nil, false
	s.seq, s.missing, s.failed = 0, 0, 0
}

// try12 opens a record of TLS ≤ 1.2.
func (u *unsealing) try12(d *direction, s *sealed, r *sealedRecord) outcome {
	cands := []candidate12{{opener12: s.open}}
	if s.open == nil {
		var missing bool
		if cands, missing = u.candidates12(d, s); len(cands) == 0 {
			return u.closed12(s, missing)
		}
	}
	if r.typ != HandshakeRecord && r.typ != AlertRecord && !u.reads(d, r.typ) {
		s.open.skip(len(r.body), r.body)
		return passed
	}
	for _, o := range cands {
		for q := r.seq; q <= r.seq+uint64(min(r.missing, maxWindow)) && u.spent <= maxTrial; q++ {
			content, ok := o.open(u.c.p.plain[:0], q, r.hdr, r.body)
			if !ok {
				u.spent += len(r.body)
				continue
			}
			u.c.p.plain = content
			if q != r.seq {
				s.msg.reset(u.c.p)
				s.gap, s.hole = true, true
			}
			s.seq += q - r.seq
			s.missing -= r.missing
			s.open, s.cand = o.opener12, nil
			if o.master != nil {
				u.c.p.opts.Keys.add(s.hello.client, keyMaster, o.master) // sessions are resumed by it
			}
			u.content(d, s, r.typ, content)
			return opened
		}
	}
	if u.listens(d, r.typ) {
		u.hear()
	}
	for _, o := range cands {
		o.skip(len(r.body), r.body)
	}
	return unopened
}

// closed12 judges a record for which there is no opener. missing says that there
// is a pre_master_secret, and not all that it takes to use it.
func (u *unsealing) closed12(s *sealed, missing bool) outcome {
	k := u.c.p.opts.Keys
	if k.Growing && protect12(s.hello) != nil {
		return waiting
	}
	if missing {
		u.c.h.Keys = max(u.c.h.Keys, KeysFailed)
	}
	if u.hopefulNow12() && protect12(s.hello) == nil {
		u.c.h.Keys = max(u.c.h.Keys, KeysUnsupported)
	}
	u.finish(s)
	return passed
}

// candidates12 makes openers of the secrets for the hellos in force.
func (u *unsealing) candidates12(d *direction, s *sealed) (cands []candidate12, missing bool) {
	k := u.c.p.opts.Keys
	if s.keysSeen == k.version && s.made {
		return s.cand, false
	}
	s.cand, s.keysSeen = nil, k.version
	masters := k.find(s.hello.client, keyMaster)
	for _, origin := range u.origins {
		masters = append(masters, k.find(origin, keyMaster)...)
	}
	if id := u.c.h.ServerHello.SessionID; len(id) > 0 {
		masters = append(masters, k.find(sessionKey(id), keyMasterByID)...)
	}
	client := d.from == u.c.h.Client
	for _, m := range masters {
		if o := newOpener12(s.hello, m, client); o != nil {
			s.cand = append(s.cand, candidate12{o, nil})
		}
	}
	derived, missing := u.masters(s.hello)
	for _, m := range derived {
		if o := newOpener12(s.hello, m, client); o != nil {
			s.cand = append(s.cand, candidate12{o, m})
		}
	}
	s.made = !missing
	return s.cand, missing
}

// round12 numbers a message: with a hello begins the next handshake, once both
// sides have changed to the keys of the one before.
func (u *unsealing) round12(t HandshakeType) uint8 {
	switch t {
	case TypeHelloRequest, TypeClientHello:
		if u.round == 0 || u.dirs[0].hello == u.next && u.dirs[1].hello == u.next {
			u.round = min(u.round, 254) + 1
			u.next = hello12{}
		}
	case TypeServerHello, TypeCertificate, TypeServerKeyExchange, TypeCertificateRequest, TypeServerHelloDone,
		TypeCertificateVerify, TypeClientKeyExchange, TypeCertificateStatus:
		u.round = max(u.round, 1) // in the first handshake they are in the clear
	}
	return u.round
}
