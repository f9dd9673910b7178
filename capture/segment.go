package capture

import "net/netip"

// Tuple is the address pair of a segment or datagram in wire order, small and
// free of pointers so that it hashes fast. IPv4 addresses are IPv4-mapped, link
// addresses as [parse.LinkAddr] has them.
type Tuple struct {
	Src, Dst         [16]byte
	SrcPort, DstPort uint16
	// Via is an index into the Decoder's names of encapsulations; 0 is none.
	Via uint32
}

// TCP flag bits, as in byte 13 of the header.
const (
	FlagFIN = 1 << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
	FlagURG
)

// Segment is one TCP segment as captured, or, with Payload and Missing alone,
// one datagram.
type Segment struct {
	Tuple
	Seq, Ack uint32
	Flags    uint8
	// TTL is the IPv4 time to live or the IPv6 hop limit.
	TTL uint8
	// Payload is what was captured of the payload; borrowed from the packet.
	Payload []byte
	// Options is what was captured of the TCP options; borrowed like Payload.
	Options []byte
	// Missing counts payload bytes behind Payload that the snap length cut.
	Missing int
}

// SrcAddr and DstAddr return the ends, IPv4-mapped addresses unmapped.
func (t *Tuple) SrcAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(t.Src).Unmap(), t.SrcPort)
}

// DstAddr is SrcAddr for the destination.
func (t *Tuple) DstAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(t.Dst).Unmap(), t.DstPort)
}

// Reverse returns the tuple of the opposite direction.
func (t Tuple) Reverse() Tuple {
	return Tuple{Src: t.Dst, Dst: t.Src, SrcPort: t.DstPort, DstPort: t.SrcPort, Via: t.Via}
}
