package parse

import "encoding/binary"

// Records of DTLS ≤ 1.2 are sealed like those of TLS, with the epoch as the upper
// 16 bits of the sequence number (RFC 6347 §4.1.2.1). As each says both, keys and
// number are certain, whatever was lost. The first handshake is in the clear: what
// keys open is the rest of it, alerts, and handshakes inside of the connection.

// overTCP is the version of TLS that seals records as v does.
func (v Version) overTCP() Version {
	switch v {
	case DTLS10, DTLS10Old:
		return TLS11
	case DTLS12:
		return TLS12
	}
	return v
}

// unseal opens a record, if its keys are at hand.
func (r *dtlsReader) unseal(from Side, rec *dtlsRecord) {
	u := r.c.un
	side, s, d := &r.sides[from], &u.dirs[from], &r.c.dirs[from]
	if rec.typ != HandshakeRecord && rec.typ != AlertRecord || r.c.h.ServerHello == nil || r.c.tls13() {
		return
	}
	if rec.epoch > side.keyed && u.next.complete {
		r.flush(from, &side.inside)
		side.keyed, side.inside = rec.epoch, dtlsMessages{unsealed: true}
		s.hello, s.open, s.cand, s.made = u.next, nil, nil, false
	}
	if rec.epoch != side.keyed {
		return // it came late, or the hellos were not captured
	}
	cands := []candidate12{{opener12: s.open}}
	if s.open == nil {
		if cands, _ = u.candidates12(d, s); len(cands) == 0 {
			if u.hopefulNow12() && protect12(s.hello) == nil {
				r.c.h.Keys = max(r.c.h.Keys, KeysUnsupported)
			}
			return
		}
	}
	number := uint64(rec.epoch)<<48 | rec.seq&(1<<48-1)
	hdr := [headerLen]byte{byte(rec.typ)}
	binary.BigEndian.PutUint16(hdr[1:], uint16(r.c.h.ServerHello.Version))
	for _, o := range cands {
		content, ok := o.open(r.c.p.plain[:0], number, hdr, rec.body)
		if !ok {
			continue
		}
		r.c.p.plain, s.open, s.cand = content, o.opener12, nil
		r.c.h.Keys = KeysOpened
		r.c.h.Sides[from].Opened++
		r.content(from, rec.typ, content)
		return
	}
	r.c.h.Keys = max(r.c.h.Keys, KeysFailed)
	r.c.h.Sides[from].Unopened++
}

// content reads what a record held.
func (r *dtlsReader) content(from Side, t ContentType, b []byte) {
	c, s := r.c, &r.sides[from].inside
	if t == AlertRecord {
		if len(b) == 2 {
			c.emit(Event{Kind: EventAlert, From: from, Alert: Alert{At: c.since(), From: from, Fatal: b[0] == 2, Description: b[1], Unsealed: true}})
		}
		return
	}
	for len(b) > 0 {
		f, rest, ok := readDTLSFragment(b)
		if !ok {
			c.malformed(from, "a DTLS record with a fragment that is none")
			return
		}
		b = rest
		switch f.typ {
		case TypeFinished: // numbered as the messages in the clear before it
			if f.at == 0 && len(f.data) == f.len {
				c.emit(Event{Kind: EventMessage, From: from, Message: Message{
					At: c.since(), From: from, Type: f.typ, Len: f.len, Unsealed: true, Round: c.un.round12(f.typ),
				}})
			}
			continue
		case TypeHelloRequest, TypeClientHello, TypeServerHello: // they begin a handshake
			if len(s.waiting) == 0 && !r.again(s, &f) {
				s.next = f.seq
			}
		}
		r.fragment(from, s, &f)
	}
}

// again tells a message that begins a handshake, or a piece of one, that is sent
// once more: it has an earlier number, and a hello the random of the one before.
func (r *dtlsReader) again(s *dtlsMessages, f *dtlsFragment) bool {
	const random = 2 + 32 // behind the version
	if f.seq >= s.next {
		return false
	}
	if f.typ == TypeHelloRequest || f.at > 0 || len(f.data) < random {
		return true
	}
	last := &r.c.un.next
	if f.typ == TypeClientHello {
		return last.client == [32]byte(f.data[2:])
	}
	return last.complete && last.server == [32]byte(f.data[2:])
}
