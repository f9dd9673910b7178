package trace

import (
	"encoding/binary"
	"net/netip"
)

// ICMP types that report on a packet of ours.
const (
	unreachable4  = 3  // Destination Unreachable, RFC 792
	timeExceeded4 = 11 // Time Exceeded
	unreachable6  = 1  // Destination Unreachable, RFC 4443 §3.1
	timeExceeded6 = 3  // Time Exceeded, §3.3
)

// Codes of Destination Unreachable for a port.
const (
	portUnreachable4 = 3
	portUnreachable6 = 4
)

// outcomeOf tells what an ICMP error says; ok is false for one that is none.
func outcomeOf(v6 bool, kind, code uint8) (o Outcome, port, ok bool) {
	exceeded, unreach, portCode := uint8(timeExceeded4), uint8(unreachable4), uint8(portUnreachable4)
	if v6 {
		exceeded, unreach, portCode = timeExceeded6, unreachable6, portUnreachable6
	}
	switch {
	case kind == exceeded && code == 0: // code 1 is about fragments
		return Expired, false, true
	case kind == unreach:
		return Unreachable, code == portCode, true
	}
	return Silent, false, false
}

// quote is the packet that an ICMP error is about.
type quote struct {
	kind, code uint8
	proto      uint8 // of IP
	src, dst   netip.AddrPort
}

const (
	protoTCP = 6
	protoUDP = 17
)

// parseICMP reads an ICMP error that quotes a TCP or UDP packet, from the ICMP
// header on. Routers quote as little as the first 8 bytes behind the IP header
// (RFC 792), which have the ports.
func parseICMP(v6 bool, b []byte) (q quote, ok bool) {
	const header = 8
	if len(b) < header {
		return quote{}, false
	}
	q.kind, q.code = b[0], b[1]
	if _, _, ok := outcomeOf(v6, q.kind, q.code); !ok {
		return quote{}, false
	}
	b = b[header:]
	if v6 {
		return q.read6(b)
	}
	return q.read4(b)
}

func (q quote) read4(b []byte) (quote, bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return quote{}, false
	}
	n := int(b[0]&15) * 4
	// A fragment but the first has no ports.
	if n < 20 || len(b) < n || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return quote{}, false
	}
	q.proto = b[9]
	return q.ports(netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[n:])
}

func (q quote) read6(b []byte) (quote, bool) {
	const header = 40
	if len(b) < header || b[0]>>4 != 6 {
		return quote{}, false
	}
	q.proto = b[6] // our packets have no extension headers
	return q.ports(netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[header:])
}

func (q quote) ports(src, dst netip.Addr, b []byte) (quote, bool) {
	if q.proto != protoTCP && q.proto != protoUDP || len(b) < 4 {
		return quote{}, false
	}
	q.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	q.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	return q, true
}
