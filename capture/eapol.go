package capture

import (
	"encoding/binary"

	"whoasked/parse"
)

// eapol reads an EAPOL frame (IEEE 802.1X-2020 §11.3): version, packet type,
// length, and, in one of type EAP-Packet, the EAP packet.
func eapol(data []byte, at place, seg *Segment) Outcome {
	const (
		header    = 4
		eapPacket = 0
	)
	if len(data) < header {
		return at.short()
	}
	if data[1] != eapPacket {
		return NotTCP
	}
	data, at.cut = trim(data, min(header+int(binary.BigEndian.Uint16(data[2:])), len(data)+at.cut))
	seg.Via, seg.SrcPort, seg.DstPort = at.via, 0, 0
	seg.Payload, seg.Missing = data[header:], at.cut
	return EAPOL
}

// linkAddresses fills in the ends of an EAPOL frame by their link addresses, as
// far as the link type shows them; those that it doesn't stay zero.
func linkAddresses(link LinkType, data []byte, seg *Segment) {
	const (
		ethernet  = 1
		wifi      = 105
		sll       = 113
		prism     = 119
		radiotap  = 127
		sll2      = 276
		prismHead = 144
	)
	var src, dst []byte
	switch link {
	case ethernet:
		dst, src = part(data, 0), part(data, 6)
	case sll: // the sender's alone
		src = part(data, 6)
	case sll2:
		src = part(data, 12)
	case wifi: // receiver and transmitter (IEEE 802.11-2020 §9.2.4.3)
		dst, src = part(data, 4), part(data, 10)
	case prism:
		dst, src = part(data, prismHead+4), part(data, prismHead+10)
	case radiotap:
		if len(data) >= 4 {
			n := int(binary.LittleEndian.Uint16(data[2:]))
			dst, src = part(data, n+4), part(data, n+10)
		}
	}
	seg.Src, seg.Dst = parse.LinkAddr(src).As16(), parse.LinkAddr(dst).As16()
}

// part returns the 6 bytes of a link address, nil if they are not there.
func part(data []byte, at int) []byte {
	if at+6 > len(data) {
		return nil
	}
	return data[at : at+6]
}
