package parse

import (
	"net/netip"
	"time"
)

// Side names one end of a connection by who opened it. It says nothing about
// who is the TLS client: in FTP data or XMPP dialback connections the accepter
// may send the ClientHello.
type Side uint8

const (
	// Opener sent the first SYN or datagram, or, where that was not captured, is
	// the end a source takes for it.
	Opener Side = iota
	// Accepter is the other end.
	Accepter
)

// Other returns the opposite end.
func (s Side) Other() Side { return s ^ 1 }

func (s Side) String() string {
	if s == Opener {
		return "opener"
	}
	return "accepter"
}

// Proto is what carries the chunks of a connection.
type Proto uint8

const (
	// TCP carries a stream of bytes each way.
	TCP Proto = iota
	// UDP carries datagrams, of QUIC or DTLS.
	UDP
	// EAPOL carries EAP packets in link-layer frames (IEEE 802.1X), between a
	// supplicant, the Opener, and an authenticator, by their link addresses.
	EAPOL
	// RADIUS carries the EAP packets of one supplicant between an access server,
	// the Opener, and an authentication server (RFC 3579).
	RADIUS
)

// Datagrams reports whether chunks hold one datagram each.
func (p Proto) Datagrams() bool { return p != TCP }

// Flow says between which addresses a connection runs and by what way it was
// seen. It is comparable. One flow can carry several connections, one after
// the other (port reuse).
type Flow struct {
	// Via names the layers below the innermost IP header that tell otherwise
	// equal addresses apart: "vlan 12", "vxlan 800". Empty for none. Where those of
	// the opener and of the accepter differ it names both, which may be known only
	// some chunks later: "vxlan 800 | vxlan 900".
	Via string
	// Proto is what Addrs are the ends of.
	Proto Proto
	// Addrs holds both ends, indexed by Side.
	Addrs [2]netip.AddrPort
}

// End tells why no more bytes will come.
type End uint8

const (
	// Open: more may come.
	Open End = iota
	// FIN: both sides closed in order, and everything before was handed over.
	FIN
	// RST: one side, the chunk's From, reset the connection.
	RST
	// Idle: nothing was seen for longer than the source's idle timeout.
	Idle
	// Reused: a new connection began between the same addresses and ports.
	Reused
	// CaptureEnd: the capture ended while the connection was open.
	CaptureEnd
	// Evicted: the source gave the connection up to stay within its limits.
	Evicted
)

var endNames = [...]string{"open", "fin", "rst", "idle", "reused", "capture-end", "evicted"}

func (e End) String() string {
	if int(e) < len(endNames) {
		return endNames[e]
	}
	return "unknown"
}

// Chunk is the unit every source hands over: a run of bytes of one direction
// of one connection, in stream order. Chunks of one connection arrive in
// capture order; the same bytes may be cut into chunks in any way.
//
// Where Flow.Proto is not TCP, Data is exactly one datagram (UDP) or one EAP
// packet, in the order captured, which need not be the order sent; Lost counts
// the bytes cut from its end, not before it, and the fields Conflict and Fin
// are not used.
type Chunk struct {
	// Conn numbers the connection among those open now, from 0, densely. A
	// number is used again after a chunk with End set.
	Conn int
	Flow Flow
	// From is the side that sent Data, or Fin, or the RST.
	From Side
	// Midstream is set on every chunk of a connection whose SYN was not seen.
	Midstream bool
	// Time is when the packet was captured. With End Idle, CaptureEnd or Evicted
	// it is when the connection was last seen alive, be it by a bare ACK.
	Time time.Time
	// Lost counts the bytes missing in this direction just before Data: not
	// captured, cut by the snap length, or given up waiting for.
	Lost int
	// Skipped counts the bytes just before Data, beside Lost, that were seen but
	// not handed over because they lie in the body of a record that is passed
	// over by its length; see Sieve.
	Skipped int
	// Walked counts the bytes just before Data, behind what is Lost, that the source
	// kept to itself because they are the rest of a record and whole records of
	// application data: what comes next is a record header. It counts them modulo 2^32.
	Walked int
	// Conflict counts bytes that arrived again with different content since
	// the last chunk; the first copy was kept.
	Conflict int
	// Data is borrowed: it is valid until the next chunk. It may be empty when
	// only Lost, Fin or End is told.
	Data []byte
	// Fin says that From has closed its direction behind Data.
	Fin bool
	// Opening, borrowed like Data, is what showed of From when the connection was opened.
	// It comes with the first bytes of each side whose SYN was captured, else it is nil.
	Opening *TCPSide
	// End is set on the last chunk of the connection.
	End End
}
