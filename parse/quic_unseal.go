package parse

// Packets beyond the Initial ones, opened with the secrets of a key log.

// quicSecrets is what the packets of one side at one level are opened with.
type quicSecrets struct {
	good *quicKeys
	// trial are the keys of every secret there is, until one fits; store is the
	// state of the key store that they were made from.
	trial []*quicKeys
	store uint64
}

// mayUnseal reports whether there are, or may come to be, secrets for the
// connection.
func (q *quicReader) mayUnseal() bool {
	keys, ch := q.c.p.opts.Keys, q.c.h.ClientHello
	return keys != nil && (keys.Growing || ch != nil && keys.has(ch.Random))
}

// quicLabels are the secrets that open a level, by the role of the sender.
var quicLabels = [quicLevels][2]keyLabel{
	levelHandshake: {keyClientHandshake, keyServerHandshake},
	levelData:      {keyClientTraffic, keyServerTraffic},
}

// openSealed opens a packet of a level that has keys of its own.
func (q *quicReader) openSealed(level quicLevel, from Side, v *quicVersion, whole []byte, number int) ([]byte, bool) {
	s := &q.sealed[level][from]
	if s.good != nil {
		frames, ok := s.good.open(whole, number, q.buf[:0])
		q.count(from, ok)
		return frames, ok
	}
	ch, sh, store := q.c.h.ClientHello, q.c.h.ServerHello, q.c.p.opts.Keys
	if ch == nil || sh == nil || store == nil {
		return nil, false
	}
	newHash := hash13(sh.Cipher)
	if newHash == nil {
		if store.has(ch.Random) {
			q.c.h.Keys = KeysUnsupported
		}
		return nil, false
	}
	if s.trial == nil || s.store != store.version {
		role := 0
		if from != q.c.h.Client {
			role = 1
		}
		s.trial, s.store = []*quicKeys{}, store.version
		for _, secret := range store.find(ch.Random, quicLabels[level][role]) {
			if len(secret) != newHash().Size() {
				continue
			}
			if k := newQUICKeys(v, sh.Cipher, newHash, secret); k != nil {
				s.trial = append(s.trial, k)
			}
		}
	}
	for _, k := range s.trial {
		if frames, ok := k.open(whole, number, q.buf[:0]); ok {
			s.good, s.trial = k, nil
			q.count(from, true)
			return frames, true
		}
	}
	if len(s.trial) > 0 {
		q.c.h.Keys = max(q.c.h.Keys, KeysFailed)
	}
	return nil, false
}

// count books a packet that was tried with keys known to fit its level.
func (q *quicReader) count(from Side, ok bool) {
	if ok {
		q.c.h.Keys = KeysOpened
		q.c.h.Sides[from].Opened++
	} else {
		q.c.h.Sides[from].Unopened++
	}
}

// maxQUICData is how many 1-RTT packets of a side are opened to see whether it
// refuses the connection.
const maxQUICData = 24

// short takes a packet with a short header (RFC 9000 §17.3). It tells how the
// handshake ended, if its keys are known: a client is refused for want of a
// certificate by a CONNECTION_CLOSE there.
func (q *quicReader) short(from Side, b []byte) {
	side := &q.c.h.Sides[from]
	side.AppData++
	n := q.idLen[from.Other()]
	if n < 0 || side.AppData > maxQUICData || q.sealed[levelHandshake][from].good == nil || b[0]&quicFixed == 0 {
		return
	}
	if frames, ok := q.openSealed(levelData, from, q.spec(), b, 1+n); ok {
		q.buf = frames[:0]
		q.frames(levelData, from, frames)
	}
}

// spec is the version the connection settled for.
func (q *quicReader) spec() *quicVersion {
	if q.facts.Version == quicV2.name {
		return &quicV2
	}
	return &quicV1
}
