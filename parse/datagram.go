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
	switch {
	case len(b) < 13:
		return NoOpening
	case b[0]&quicLong != 0:
		return quicOpening(b)
	}
	return dtlsOpening(b)
}

// Transport names what carries the connection's TLS: "tcp", "quic", "udp" for
// DTLS, "eapol" or "radius".
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
		default:
			c.grams.dtls = newDTLSReader(c)
		}
	}
	switch g := c.grams; {
	case g.eap != nil:
		g.eap.packet(ch.From, ch.Data, ch.Lost)
	case g.quic != nil:
		g.quic.datagram(ch.From, ch.Data)
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
	}
}
