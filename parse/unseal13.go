package parse

// Epochs of TLS 1.3 keys (RFC 8446 §7.1). Early data is not opened: it holds no
// more of the handshake than its end.
const (
	epochNone uint8 = iota
	epochHandshake
	epochTraffic
)

// state13 is what one direction knows of TLS 1.3 keys.
type state13 struct {
	cur     *opener13
	epoch   uint8 // of cur
	floor   uint8 // the least epoch of the next record while cur is nil
	change  bool  // keys change behind this record
	through bool  // Finished has passed
	answers uint8 // client: to post-handshake requests so far
	// cands are the openers of the epochs from floor on; valid iff made.
	cands []candidate13
	made  bool
}

type candidate13 struct {
	*opener13
	epoch uint8
	seq   uint64 // at which it opened a record
}

// try13 opens a TLS 1.3 record. Application data in step is only looked at from
// its end, for the type of its content.
func (u *unsealing) try13(d *direction, s *sealed, r *sealedRecord) outcome {
	s.missing += r.lost
	r.lost = 0
	if s.last && s.missing > 0 { // the first application data may be among what is lost
		u.finish(s)
		return passed
	}
	if s.cur != nil && s.missing == 0 && s.epoch == epochTraffic && !s.last && u.c.inner == nil && s.cur.peek(s.seq, r.body) == ApplicationData {
		s.seq++
		s.hole = true
		u.settle13(d, s, ApplicationData)
		return passed
	}
	got, t, content := u.search13(d, s, r)
	if got.opener13 == nil {
		return u.closed13(d, s)
	}
	inStep := got.opener13 == s.cur && got.seq == s.seq || s.cur == nil && got.epoch == s.floor && got.seq == 0
	if !inStep {
		s.msg.reset(u.c.p)
		s.gap, s.hole = true, true
	}
	s.cur, s.epoch, s.seq, s.missing, s.cands, s.made = got.opener13, got.epoch, got.seq+1, 0, nil, false
	u.content(d, s, t, content)
	if s.change {
		u.changeKeys13(s)
	}
	u.settle13(d, s, t)
	return opened
}

// closed13 judges a record that no opener opened.
func (u *unsealing) closed13(d *direction, s *sealed) outcome {
	switch {
	case s.last && (s.cur != nil || len(s.cands) > 0 || !u.c.p.opts.Keys.Growing):
		u.finish(s)
		return passed
	case s.cur != nil:
		return unopened
	case hash13(u.c.h.ServerHello.Cipher) == nil:
		if u.c.p.opts.Keys.has(u.next.client) {
			u.c.h.Keys = KeysUnsupported
		}
		u.finish(s)
		return passed
	case len(s.cands) == 0 && u.c.p.opts.Keys.Growing:
		return waiting
	case s.floor == epochHandshake && s.missing == 0 && d.from == u.c.h.Client && u.c.h.ClientHello.EarlyData:
		return passed // early data
	}
	return unopened
}

// search13 finds the secret and the sequence number that open a record. Both
// are known unless records were lost, or keys have just changed.
func (u *unsealing) search13(d *direction, s *sealed, r *sealedRecord) (got candidate13, t ContentType, content []byte) {
	window := uint64(min(s.missing, maxWindow))
	attempt := func(c candidate13) bool {
		for last := c.seq + window; c.seq <= last && u.spent <= maxTrial; c.seq++ {
			// Under a wrong key or number, few last bytes are a type.
			switch c.peek(c.seq, r.body) {
			case HandshakeRecord, AlertRecord, ApplicationData:
			default:
				u.spent += 64
				continue
			}
			var ok bool
			if t, content, ok = c.open(u.c.p.plain[:0], c.seq, r.hdr, r.body); ok {
				u.c.p.plain = content
				got = c
				return true
			}
			u.spent += len(r.body)
		}
		return false
	}
	if s.cur != nil {
		if attempt(candidate13{s.cur, s.epoch, s.seq}) || s.missing == 0 {
			return got, t, content
		}
		if s.epoch == epochTraffic { // a KeyUpdate may be among what is missing
			if next := s.cur.next(u.c.h.ServerHello.Cipher, u.c.h.ServerHello.Version); next != nil {
				attempt(candidate13{next, epochTraffic, 0})
			}
			return got, t, content
		}
	}
	for _, c := range u.candidates13(d, s) {
		if attempt(c) {
			break
		}
	}
	return got, t, content
}

// candidates13 makes openers of the secrets for the epochs that can follow.
func (u *unsealing) candidates13(d *direction, s *sealed) []candidate13 {
	k := u.c.p.opts.Keys
	if s.made && s.keysSeen == k.version {
		return s.cands
	}
	s.cands, s.made, s.keysSeen = nil, true, k.version
	s.floor = max(s.floor, epochHandshake)
	labels := [2]keyLabel{keyClientHandshake, keyClientTraffic}
	if d.from != u.c.h.Client {
		labels = [2]keyLabel{keyServerHandshake, keyServerTraffic}
	}
	for epoch := max(s.floor, s.epoch+1); epoch <= epochTraffic; epoch++ {
		for _, secret := range k.find(u.next.client, labels[epoch-epochHandshake]) {
			if o := newOpener13(u.c.h.ServerHello.Cipher, u.c.h.ServerHello.Version, secret); o != nil {
				s.cands = append(s.cands, candidate13{o, epoch, 0})
			}
		}
	}
	return s.cands
}

// changeKeys13 goes on to the keys behind Finished or KeyUpdate.
func (u *unsealing) changeKeys13(s *sealed) {
	s.msg.reset(u.c.p)
	s.change, s.seq = false, 0
	if s.epoch == epochTraffic {
		s.cur = s.cur.next(u.c.h.ServerHello.Cipher, u.c.h.ServerHello.Version)
		return
	}
	s.cur, s.epoch, s.floor, s.through, s.made = nil, epochNone, epochTraffic, true, false
}

// round13 numbers a message: with a post-handshake request begins the next
// round, and with the client's Certificate its answer to the next one.
func (u *unsealing) round13(d *direction, s *sealed, t HandshakeType) uint8 {
	switch {
	case s.epoch != epochTraffic:
		return 0
	case d.from != u.c.h.Client:
		if t != TypeCertificateRequest {
			return 0
		}
		u.round = min(u.round, 254) + 1
		return u.round
	case t == TypeCertificate || t == TypeCompressedCert:
		s.answers = min(s.answers, 254) + 1
		return s.answers
	case t == TypeCertificateVerify || t == TypeFinished:
		return s.answers
	}
	return 0
}

// settle13 finds out when a direction can change no verdict any more: unless
// post-handshake requests are possible, the client's behind its Finished, the
// server's behind its first reaction to that.
func (u *unsealing) settle13(d *direction, s *sealed, t ContentType) {
	h := u.c.h
	client := &u.dirs[h.Client]
	switch {
	case t == AlertRecord:
		s.closed = true
		u.finish(s) // all alerts end the direction (RFC 8446 §6)
	case u.c.inner != nil: // all is read
	case h.ClientHello.PostHandshakeAuth:
	case d.from == h.Client:
		if s.through && (u.heard || h.ServerHello.ALPN == "h2") {
			u.finish(s)
		} else if s.through {
			s.last = true
			u.settle()
		}
	case t == ApplicationData && (client.through || client.failed > 0):
		u.finish(s)
	}
}
