package parse

import "slices"

// QUICFacts is what a QUIC connection shows beside its TLS handshake.
type QUICFacts struct {
	// Version is "1", "2", "draft-29" …, or the number in hexadecimal, of the
	// latest packet that names one.
	Version string
	// Retry: the server asked the client to prove its address (RFC 9000 §8.1.2).
	Retry bool
	// Negotiation: the server refused a version (RFC 9000 §6).
	Negotiation bool
	// ZeroRTT: the client sent early data (RFC 9001 §4.6).
	ZeroRTT bool
	// Sealed counts Handshake packets that were not opened, Unread Initial ones.
	Sealed, Unread int
}

// quicLevel is an encryption level (RFC 9001 §2.1) whose packets are opened.
type quicLevel uint8

const (
	levelInitial quicLevel = iota
	levelHandshake
	levelData // 1-RTT
	quicLevels
)

// Bounds of one connection.
const (
	// maxQUICHeld bounds packets kept until their keys are known.
	maxQUICHeld      = 16
	maxQUICHeldBytes = 24 << 10
	// maxQUICTrials is how many connection IDs Initial keys are derived from that
	// then do not fit.
	maxQUICTrials = 32
	// maxCrypto is how long the stream of a level may become, in bytes.
	maxCrypto = 1 << 20
)

// quicReader reads the packets of one QUIC connection, as far as their keys are
// known: those of Initial packets always are. The messages in them go to the
// directions of the Conn like those of any record.
type quicReader struct {
	c     *Conn
	facts *QUICFacts

	// Initial keys by the connection ID and version that they come from; the
	// latest last. The sender that opened one with the client's keys is the
	// client.
	initial []quicInitialSet
	trials  int
	client  Side
	known   bool // client is valid

	sealed [quicLevels][2]quicSecrets // by side
	crypto [levelData][2]cryptoStream
	// idLen is the length of the connection IDs that a side chose, -1 if it is not
	// known.
	idLen [2]int

	held      []quicHeld
	heldBytes int
	buf       []byte
}

// quicInitialSet is the Initial keys of one connection ID.
type quicInitialSet struct {
	version uint32
	dcid    []byte
	keys    [2]*quicKeys // of the client, of the server
}

// cryptoStream is one direction of the handshake at one level.
type cryptoStream struct {
	sorter
	msg deframer // the message it is in
}

// quicHeld is a packet whose keys may still come.
type quicHeld struct {
	from Side
	data []byte
}

func newQUICReader(c *Conn) *quicReader {
	q := &quicReader{c: c, facts: &QUICFacts{}, idLen: [2]int{-1, -1}}
	c.h.QUIC = q.facts
	for s := range q.crypto[levelHandshake] {
		q.crypto[levelHandshake][s].msg.unsealed = true
	}
	return q
}

// datagram takes the packets that share a datagram (RFC 9000 §12.2).
func (q *quicReader) datagram(from Side, b []byte) {
	for len(b) > 0 {
		if b[0]&quicLong == 0 {
			q.short(from, b)
			return
		}
		var p quicPacket
		rest, ok := p.read(b)
		if !ok {
			return
		}
		q.packet(from, &p)
		b = rest
	}
}

// packet takes a packet with a long header.
func (q *quicReader) packet(from Side, p *quicPacket) {
	switch {
	case p.version == 0:
		q.facts.Negotiation = true
		return
	case !p.known:
		if q.facts.Version == "" {
			q.facts.Version = hexVersion(p.version)
		}
		return
	}
	q.facts.Version = p.spec.name
	switch p.typ {
	case quicRetry:
		if n := len(q.initial); n > 0 && p.retryIsGenuine(q.initial[n-1].dcid) {
			q.facts.Retry = true
		}
		return
	case quicZeroRTT:
		q.facts.ZeroRTT = true
		return
	}
	q.idLen[from] = len(p.scid)
	if q.open(from, p) {
		q.retry()
	} else {
		q.hold(from, p.whole)
	}
}

// open opens a packet and reads its frames.
func (q *quicReader) open(from Side, p *quicPacket) bool {
	var frames []byte
	ok := false
	level := levelInitial
	if p.typ == quicInitial {
		frames, ok = q.openInitial(from, p)
	} else {
		level = levelHandshake
		frames, ok = q.openSealed(level, from, &p.spec, p.whole, p.number)
	}
	if ok {
		q.buf = frames[:0]
		q.frames(level, from, frames)
	}
	return ok
}

// openInitial opens an Initial packet by keys that are known, or by those of
// the connection ID it goes to, which is how a client begins, and begins again
// after a Retry.
func (q *quicReader) openInitial(from Side, p *quicPacket) ([]byte, bool) {
	role := 0
	if q.known && from != q.client {
		role = 1
	}
	for i := len(q.initial) - 1; i >= 0; i-- {
		set := &q.initial[i]
		if set.version != p.version {
			// A server may go on in another version (RFC 9368 §2.1): the same
			// connection ID, another salt.
			if q.derived(p, set.dcid) {
				continue
			}
			set = q.derive(p, set.dcid)
		}
		if frames, ok := set.keys[role].open(p.whole, p.number, q.buf[:0]); ok {
			return frames, true
		}
	}
	if q.known && from != q.client || q.derived(p, p.dcid) || q.trials >= maxQUICTrials {
		return nil, false
	}
	q.trials++
	set := q.derive(p, p.dcid)
	frames, ok := set.keys[0].open(p.whole, p.number, q.buf[:0])
	if !ok {
		q.initial = q.initial[:len(q.initial)-1]
		return nil, false
	}
	q.client, q.known = from, true
	return frames, true
}

// derived reports whether there are keys of that connection ID in the version
// of a packet.
func (q *quicReader) derived(p *quicPacket, dcid []byte) bool {
	return slices.ContainsFunc(q.initial, func(s quicInitialSet) bool {
		return s.version == p.version && string(s.dcid) == string(dcid)
	})
}

// derive adds the keys of a connection ID, forgetting the oldest of many.
func (q *quicReader) derive(p *quicPacket, dcid []byte) *quicInitialSet {
	const most = 4
	if len(q.initial) == most {
		q.initial = slices.Delete(q.initial, 0, 1)
	}
	set := quicInitialSet{version: p.version, dcid: slices.Clone(dcid)}
	set.keys[0], set.keys[1] = quicInitialKeys(&p.spec, dcid)
	q.initial = append(q.initial, set)
	return &q.initial[len(q.initial)-1]
}

// hold keeps a packet that could not be opened.
func (q *quicReader) hold(from Side, whole []byte) {
	initial := q.c.h.ServerHello == nil
	if !initial && !q.mayUnseal() || len(q.held) >= maxQUICHeld || q.heldBytes+len(whole) > maxQUICHeldBytes {
		q.unread(whole)
		return
	}
	q.held = append(q.held, quicHeld{from, slices.Clone(whole)})
	q.heldBytes += len(whole)
}

// unread counts a packet that stays closed.
func (q *quicReader) unread(whole []byte) {
	var p quicPacket
	if _, ok := p.read(whole); ok && p.typ == quicInitial {
		q.facts.Unread++
	} else {
		q.facts.Sealed++
	}
}

// retry tries the packets kept, now that more keys may be known.
func (q *quicReader) retry() {
	for again := true; again && len(q.held) > 0; {
		again = false
		held := q.held
		q.held, q.heldBytes = nil, 0
		for _, h := range held {
			var p quicPacket
			if _, ok := p.read(h.data); ok && q.open(h.from, &p) {
				again = true
				continue
			}
			q.held = append(q.held, h)
			q.heldBytes += len(h.data)
		}
	}
	if q.c.h.ServerHello != nil && !q.mayUnseal() {
		q.finish()
	}
}

// finish gives up the packets kept.
func (q *quicReader) finish() {
	for _, h := range q.held {
		q.unread(h.data)
	}
	q.held, q.heldBytes = nil, 0
}

// message hands CRYPTO bytes to the parser of handshake messages. Each level is
// a stream of its own, so the message that a direction is in changes with it.
func (q *quicReader) message(level quicLevel, from Side, s *cryptoStream, b []byte) {
	d := &q.c.dirs[from]
	q.c.started()
	d.msg, s.msg = s.msg, d.msg
	d.handshake(b)
	d.msg, s.msg = s.msg, d.msg
}
