package parse

// Connections made of datagrams.

// Opening says what a UDP datagram would be as the first one seen of its flow.
type Opening uint8

const (
	// NoOpening: nothing that carries TLS.
	NoOpening Opening = iota
	// Begins: the first datagram of a client.
	Begins
	// Underway: of a connection whose beginning was not captured.
	Underway
)

// OpeningOf judges a UDP datagram by its shape alone. It is cheap for what is
// none of ours.
func OpeningOf(b []byte) Opening {
	const capwap = 1 // the first byte in front of its DTLS
	switch {
	case len(b) < 13, b[0] < byte(ChangeCipherSpec) && b[0] != capwap:
		return NoOpening
	case b[0]&quicLong != 0:
		return quicOpening(b)
	}
	if v := dtlsOpening(b); v != NoOpening {
		return v
	}
	return openvpnOpening(b)
}

// Names are what a datagram calls its connection by: connection IDs of QUIC,
// the client random of DTLS, the session id or key id of OpenVPN, hashed; 0 for
// none.
type Names struct {
	From, To uint64
	// Fresh: it is a client's first, and To a name that the client has chosen.
	Fresh bool
	// Mutual: it is fresh, whichever side it comes from.
	Mutual bool
}

// MayName tells the datagrams that [NamesIn] may find a name in, a long header of
// QUIC, a handshake record of DTLS, or a reset of OpenVPN, from the bulk of data.
func MayName(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch openvpnOp(b[0] >> 3) {
	case openvpnSoftReset, openvpnClientReset, openvpnClientReset3:
		return true
	}
	return LongHeader(b) || b[0] == byte(HandshakeRecord)
}

// LongHeader tells QUIC's packets with a long header from all else.
func LongHeader(b []byte) bool { return len(b) > 0 && b[0]&quicLong != 0 }

// NamesIn reads the names in a datagram, by which one flow that carries several
// connections one after the other can be cut.
func NamesIn(b []byte) (n Names) {
	if LongHeader(b) {
		var p quicPacket
		if _, ok := p.read(b); !ok || !p.known || p.typ == quicRetry && len(p.scid) == 0 {
			return n
		}
		// A client that answers a Retry sends a token, and goes to an ID that it was
		// given.
		const least = 8 // RFC 9000 §7.2
		n.Fresh = p.typ == quicInitial && len(p.token) == 0 && len(p.dcid) >= least
		n.From, n.To = hashName(p.scid), hashName(p.dcid)
		return n
	}
	r, _, ok := readDTLSRecord(dtlsBody(b))
	if !ok {
		return openvpnNames(b)
	}
	if r.epoch != 0 || r.typ != HandshakeRecord {
		return n
	}
	const random = 2 + 32 // behind the version
	if f, _, ok := readDTLSFragment(r.body); ok && f.typ == TypeClientHello && f.seq == 0 && f.at == 0 && len(f.data) >= random {
		n.To, n.Fresh = hashName(f.data[2:random]), true
	}
	return n
}

// hashName is FNV-1a; 0 for an empty name.
func hashName(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// Transport names what carries the connection's TLS: "tcp", "quic", "udp" for
// DTLS or OpenVPN, "eapol" or "radius".
func (h *Handshake) Transport() string {
	switch {
	case h.QUIC != nil:
		return "quic"
	case h.Flow.Proto == UDP:
		return "udp"
	case h.Flow.Proto == EAPOL:
		return "eapol"
	case h.Flow.Proto == RADIUS:
		return "radius"
	}
	return "tcp"
}

// datagrams reads a connection made of datagrams, by one of its readers.
type datagrams struct {
	quic *quicReader
	dtls *dtlsReader
	eap  *eapReader
	vpn  *openvpnReader // also of packets that TCP carries
}

// datagram takes one datagram. A flow carries one protocol, which the first
// datagram tells; STUN, RTP and others beside it are passed over.
func (c *Conn) datagram(ch *Chunk) {
	if c.grams == nil {
		c.grams = &datagrams{}
		switch {
		case ch.Flow.Proto != UDP:
			c.grams.eap = &eapReader{c: c}
		case ch.Data[0]&quicLong != 0:
			c.grams.quic = newQUICReader(c)
		case dtlsOpening(ch.Data) == NoOpening && openvpnOpening(ch.Data) != NoOpening:
			c.grams.vpn = newOpenVPNReader(c)
		default:
			c.grams.dtls = newDTLSReader(c)
		}
	}
	switch g := c.grams; {
	case g.eap != nil:
		g.eap.packet(ch.From, ch.Data, ch.Lost)
	case g.quic != nil:
		g.quic.datagram(ch.From, ch.Data)
	case g.vpn != nil:
		g.vpn.packet(ch.From, ch.Data, ch.Lost)
	default:
		g.dtls.datagram(ch.From, ch.Data)
	}
}

// finish is told that no more datagrams will come.
func (g *datagrams) finish() {
	switch {
	case g == nil:
	case g.quic != nil:
		g.quic.finish()
	case g.dtls != nil:
		g.dtls.finish()
	case g.vpn != nil:
		g.vpn.finish()
	}
}
