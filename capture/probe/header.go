package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Header is the PROXY header that is sent before anything else, as a load
// balancer does it to tell whom it connects for.
type Header struct {
	Version int // 1 or 2; 0 for none
	// Source and Target are what it says; those that are not valid are taken from
	// the connection.
	Source, Target netip.AddrPort
}

// append adds the header for a connection between two addresses to b.
func (h Header) append(b []byte, from, to netip.AddrPort) []byte {
	if h.Source.IsValid() {
		from = h.Source
	}
	if h.Target.IsValid() {
		to = h.Target
	}
	if from.Addr().Is4() != to.Addr().Is4() { // both have to be of one family
		from, to = wide(from), wide(to)
	}
	v4 := from.Addr().Is4()
	switch h.Version {
	case 1:
		family := "TCP6"
		if v4 {
			family = "TCP4"
		}
		return fmt.Appendf(b, "PROXY %s %s %s %d %d\r\n", family, from.Addr().WithZone(""), to.Addr().WithZone(""), from.Port(), to.Port())
	case 2:
		const local = "\r\n\r\n\x00\r\nQUIT\n\x21" // the signature, and version 2, command PROXY
		b = append(b, local...)
		size, family := uint16(36), byte(0x21) // TCP over IPv6
		if v4 {
			size, family = 12, 0x11
		}
		b = append(b, family)
		b = binary.BigEndian.AppendUint16(b, size)
		b = append(b, from.Addr().AsSlice()...)
		b = append(b, to.Addr().AsSlice()...)
		b = binary.BigEndian.AppendUint16(b, from.Port())
		return binary.BigEndian.AppendUint16(b, to.Port())
	}
	return b
}

// wide writes an IPv4 address as IPv6 does (RFC 4291 §2.5.5.2).
func wide(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}
