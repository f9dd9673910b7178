package parse

// mode is what a direction takes its next byte for.
type mode uint8

const (
	hunting mode = iota // looking for where TLS begins, or begins again
	synced              // the next byte's place in a record is known
	opaque              // not TLS, or lost for good: bytes are only counted
)

// Bounds of one direction.
const (
	// huntLimit is how many bytes without a sign of TLS make a direction
	// opaque. It starts anew when the other direction is found to carry TLS.
	huntLimit = 256 << 10
	// maxRecord is the largest length a record header may claim: 2^14 plus the
	// expansion that RFC 5246 §6.2.3 allows.
	maxRecord = 1<<14 + 2048
	// maxHeld bounds what hunting keeps back of TLS; a hello in the SSL 2.0 layout
	// is the longest.
	maxHeld = 2 + 1024

	headerLen    = 5
	signatureLen = 11
)

// direction is the state of one half of a connection:
//
//	hunting ──sign of TLS──▶ synced ──bad header, or a loss beyond
//	   ▲                       │        the end of the record──┐
//	   └───────────────────────┴────────────────────────────────┘
//
// Within synced, the next byte is, in this order: of a body that is passed over
// (skip), of a body that is read (body), or of a record header (hdr).
type direction struct {
	c    *Conn
	from Side
	mode mode
	// fresh: no byte has passed yet, so that the next one begins the stream.
	fresh bool
	// gap: a record may be missing in front of the next one.
	gap bool
	// torn: a message may be missing in front of the next one in the clear. It
	// outlasts gap, as a record taken for sealed may be a piece of a message.
	torn bool
	// uncertain: a loss may have hidden the ChangeCipherSpec.
	uncertain bool
	// sealed: a ChangeCipherSpec has passed.
	sealed bool
	// finished: the first sealed handshake record (Finished, TLS ≤ 1.2) passed.
	finished bool

	hdrN uint8
	hdr  [headerLen]byte
	skip int
	body int
	typ  ContentType // of body
	blen int         // full length of body
	kept bool        // body is collected, to be unsealed
	pile []byte      // what came of it so far

	msg   deframer
	alert [2]byte

	held   []byte    // kept back while hunting
	hunted int       // bytes passed while hunting
	cand   candidate // while hunting
	due    bool      // while hunting: a preamble says that TLS may begin here
	found  bool      // a sign of TLS was found
	tds    tdsPacket
	vpn    openvpnFrames
}

// candidate is a record header found while hunting; a second header right
// behind its body confirms it.
type candidate struct {
	rec  Record
	set  bool
	wait int // bytes up to the next header
}

// feed takes bytes in stream order.
func (d *direction) feed(data []byte) {
	for len(data) > 0 {
		switch {
		case d.tds.on:
			data = d.unwrap(data)
		case d.vpn.on:
			data = d.unframe(data)
		default:
			data = d.step(data)
		}
	}
}

// feedInner takes bytes that were carried in packets.
func (d *direction) feedInner(data []byte) {
	for len(data) > 0 {
		data = d.step(data)
	}
}

// step takes some bytes, as its mode says, and returns the rest.
func (d *direction) step(data []byte) []byte {
	switch d.mode {
	case hunting:
		return d.hunt(data)
	case synced:
		return d.records(data)
	}
	return nil
}

// records walks records until data or the record boundary is lost.
func (d *direction) records(data []byte) []byte {
	for len(data) > 0 {
		if d.skip > 0 {
			n := min(d.skip, len(data))
			d.skip -= n
			data = data[n:]
			continue
		}
		if d.body > 0 {
			n := min(d.body, len(data))
			d.body -= n // before clear: it may turn the rest into skip
			d.clear(data[:n])
			data = data[n:]
			continue
		}
		n := copy(d.hdr[d.hdrN:], data)
		d.hdrN += uint8(n)
		data = data[n:]
		if d.hdrN < headerLen {
			return nil
		}
		d.hdrN = 0
		if !plausibleHeader(d.hdr[:]) {
			if d.endsTDS() {
				return nil
			}
			d.c.h.Sides[d.from].Desync++
			d.c.malformed(d.from, "bytes that are no record header where one is due")
			d.search()
			// The first byte is known to be wrong; the others may begin a record.
			d.held = append(d.held[:0], d.hdr[1:]...)
			return d.hunt(data)
		}
		d.begin(ContentType(d.hdr[0]), int(d.hdr[3])<<8|int(d.hdr[4]))
	}
	return nil
}

// begin starts a record whose header is complete.
func (d *direction) begin(t ContentType, n int) {
	clear := false
	switch t {
	case HandshakeRecord:
		// A hello may follow a ChangeCipherSpec that only pleases middleboxes
		// (RFC 8446 §D.4), so that unless TLS ≤ 1.2 is certain, clear looks first.
		sh := d.c.h.ServerHello
		clear = !d.sealed || sh == nil || sh.Version.IsTLS13()
	case AlertRecord:
		clear = n == 2 // too short for any sealed alert
	}
	if n == 0 {
		return
	}
	if clear {
		d.typ, d.body, d.blen = t, n, n
		return
	}
	gap := d.gap
	d.record(t, n)
	if d.c.un != nil && d.c.un.wants(d, t, gap) {
		d.typ, d.body, d.blen, d.kept = t, n, n, true
		return
	}
	d.skip = n
}

// collect takes bytes of a sealed body, up to the whole.
func (d *direction) collect(b []byte) {
	if len(b) < d.blen {
		if d.pile == nil {
			d.pile = d.c.p.buffer()
		}
		d.pile = append(d.pile, b...)
		b = d.pile
	}
	if d.body > 0 {
		return
	}
	d.kept = false
	d.c.un.take(d, b)
	d.drop()
}

// drop gives up collecting a body.
func (d *direction) drop() {
	d.kept = false
	if d.pile != nil {
		d.c.p.putBuffer(d.pile)
		d.pile = nil
	}
}

// record books a record whose content stays closed.
func (d *direction) record(t ContentType, n int) {
	r := Record{At: d.c.since(), From: d.from, Type: t, Len: uint16(n), Gap: d.gap}
	d.gap = false
	if t == ChangeCipherSpec {
		d.sealed, d.uncertain = true, false
	}
	d.c.book(d, r)
}

// clear takes bytes of a body that is read.
func (d *direction) clear(b []byte) {
	if d.kept {
		d.collect(b)
		return
	}
	switch d.typ {
	case AlertRecord:
		d.alert[d.blen-d.body-len(b)] = b[0] // a body of two bytes comes in one or two pieces
		d.alert[1] = b[len(b)-1]
		if d.body == 0 {
			d.c.emit(Event{Kind: EventAlert, From: d.from, Alert: Alert{
				At: d.c.since(), From: d.from, Fatal: d.alert[0] == 2, Description: d.alert[1],
			}})
		}
	case HandshakeRecord:
		d.handshake(b)
	}
}

// align makes the next byte the first one of a record.
func (d *direction) align() {
	d.drop()
	d.msg.reset(d.c.p)
	d.mode, d.hdrN, d.skip, d.body = synced, 0, 0, 0
	d.held, d.cand = d.held[:0], candidate{}
}

// lose takes note of n bytes that are missing.
func (d *direction) lose(n int) {
	d.fresh, d.due = false, false
	if d.c.heard != nil && !d.found {
		d.c.heard.missed(d.from)
	}
	switch {
	case d.tds.on:
		d.loseWrapped(n)
	case d.vpn.on:
		d.loseFramed(n)
	default:
		d.loseInner(n)
	}
}

// loseUnknown takes note of missing bytes that were carried in packets, whose
// number nothing tells.
func (d *direction) loseUnknown() {
	const more = 1 << 30 // than any record
	d.fresh, d.due = false, false
	if d.c.heard != nil && !d.found {
		d.c.heard.missed(d.from)
	}
	d.loseInner(more)
}

// loseInner takes note of missing bytes that are no packet headers.
func (d *direction) loseInner(n int) {
	for n > 0 {
		switch {
		case d.mode == opaque:
			return
		case d.mode == hunting:
			if d.cand.set && n <= d.cand.wait {
				d.cand.wait -= n
				return
			}
			d.held, d.cand = d.held[:0], candidate{}
			d.hidden()
			return
		case d.skip > 0: // only the length mattered
			k := min(n, d.skip)
			d.skip -= k
			n -= k
		case d.body > 0:
			n = d.loseBody(n)
		default:
			d.search()
			return
		}
	}
}

// loseBody takes note of missing bytes in a body that is read and returns how
// many of them lie behind what it could account for.
func (d *direction) loseBody(n int) int {
	if d.kept {
		d.drop()
		d.c.un.missed(d)
		d.skip, d.body = d.body, 0
		return n
	}
	if d.typ == HandshakeRecord {
		if k := d.msg.lose(d, min(n, d.body)); k > 0 {
			d.body -= k
			return n - k
		}
		if d.body == d.blen && (d.sealed || d.uncertain) {
			d.record(HandshakeRecord, d.blen) // its first bytes would have told; sealed is likelier
			d.torn = true
		} else {
			d.hidden() // where the next message begins is lost up to the end of the record
		}
	}
	d.msg.reset(d.c.p)
	d.skip, d.body = d.body, 0
	return n
}

// hidden notes that a record may be missing in front of the next one.
func (d *direction) hidden() {
	d.gap, d.torn = true, true
	d.c.h.Sides[d.from].Hidden++
}
