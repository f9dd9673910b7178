package capture

import (
	"encoding/binary"
	"math/bits"

	"github.com/google/gopacket/layers"
)

// EtherTypes the decoder walks itself.
const (
	etherIPv4    = 0x0800
	etherIPv6    = 0x86dd
	etherVLAN    = 0x8100 // 802.1Q
	etherQinQ    = 0x88a8 // 802.1ad
	etherQinQOld = 0x9100
	etherBridged = 0x6558 // a whole Ethernet frame (RFC 1701)
	etherEAPOL   = 0x888e // 802.1X
	// etherMin is the lowest EtherType; below stands a length (802.3).
	etherMin = 0x0600
)

// header reads a link header and returns the EtherType behind it and the
// header's length. A length beyond data means that the header was cut.
type header func(data []byte) (etherType uint16, length int)

// linkRow is how one link type begins: a header read in place, or, where that
// is nil, an encapsulation to open.
type linkRow struct {
	header header
	peel   peel
}

// linkTypes is indexed by LinkType.
var linkTypes = [...]linkRow{
	0:   {header: nullHeader},
	1:   {header: ethernetHeader},
	9:   {peel: serial},
	10:  {peel: foreign(layers.LayerTypeFDDI)},
	12:  {header: rawHeader},
	14:  {header: rawHeader},
	50:  {peel: serial},
	101: {header: rawHeader},
	104: {header: hdlcHeader},
	105: {peel: wifi},
	108: {header: nullHeader},
	113: {header: sllHeader},
	117: {peel: foreign(layers.LayerTypePFLog)},
	119: {peel: foreign(layers.LayerTypePrismHeader)},
	127: {peel: foreign(layers.LayerTypeRadioTap)},
	228: {header: rawHeader},
	229: {header: rawHeader},
	239: {header: nflogHeader},
	276: {header: sll2Header},
}

func (d *Decoder) link(link LinkType, data []byte, at place, seg *Segment) Outcome {
	if int(link) >= len(linkTypes) {
		return UnknownLink
	}
	row := &linkTypes[link]
	switch {
	case row.header != nil:
		etherType, n := row.header(data)
		if n > len(data) {
			return at.short()
		}
		return d.network(etherType, data[n:], at, seg)
	case row.peel != nil:
		return d.open(row.peel, data, at, seg)
	}
	return UnknownLink
}

// maxTags bounds VLAN tags and other headers of 4 to 14 bytes in a row.
const maxTags = 8

// network goes from an EtherType to IP, through VLAN tags, SNAP and bridged
// frames in any order.
func (d *Decoder) network(etherType uint16, data []byte, at place, seg *Segment) Outcome {
	for range maxTags {
		var n int
		switch {
		case etherType == etherIPv4:
			return d.ip4(data, at, seg)
		case etherType == etherIPv6:
			return d.ip6(data, at, seg)
		case etherType == etherVLAN || etherType == etherQinQ || etherType == etherQinQOld:
			if n = 4; len(data) < n {
				return at.short()
			}
			// Identifier 0 only carries a priority (802.1Q): the answer may
			// come without the tag.
			if id := binary.BigEndian.Uint16(data) & 0x0fff; id != 0 {
				at.via = d.inside(at.via, viaVLAN, uint32(id))
			}
			etherType = binary.BigEndian.Uint16(data[2:])
		case etherType == etherBridged:
			next, length := ethernetHeader(data)
			if n = length; n > len(data) {
				return at.short()
			}
			etherType = next
		case etherType < etherMin:
			next, length, ok := snapHeader(data)
			if !ok {
				return NotTCP
			}
			etherType, n = next, length
		case etherType == etherEAPOL:
			return eapol(data, at, seg)
		default:
			if p, ok := etherTunnels[etherType]; ok {
				return d.open(p, data, at, seg)
			}
			return NotTCP
		}
		data = data[n:]
	}
	return Bad
}

func ethernetHeader(data []byte) (uint16, int) {
	const length = 14
	if len(data) < length {
		return 0, length
	}
	return binary.BigEndian.Uint16(data[12:]), length
}

// rawHeader is that of links without one: the IP version decides.
func rawHeader(data []byte) (uint16, int) {
	if len(data) == 0 {
		return 0, 1
	}
	return ipEtherType(data), 0
}

// ipEtherType guesses from the version field; data must not be empty.
func ipEtherType(data []byte) uint16 {
	switch data[0] >> 4 {
	case 4:
		return etherIPv4
	case 6:
		return etherIPv6
	}
	return 0
}

// nullHeader is the address family of the capturing machine's headers, in the
// byte order of that machine (NULL) or of the network (LOOP).
func nullHeader(data []byte) (uint16, int) {
	const length = 4
	if len(data) < length {
		return 0, length
	}
	family := binary.LittleEndian.Uint32(data)
	if family > 0xffff {
		family = bits.ReverseBytes32(family)
	}
	switch family {
	case 2:
		return etherIPv4, length
	case 10, 23, 24, 28, 30: // Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin
		return etherIPv6, length
	}
	return 0, length
}

// hdlcHeader is Cisco's: address, control, EtherType.
func hdlcHeader(data []byte) (uint16, int) {
	const length = 4
	if len(data) < length {
		return 0, length
	}
	return binary.BigEndian.Uint16(data[2:]), length
}

func sllHeader(data []byte) (uint16, int) {
	const length = 16
	if len(data) < length {
		return 0, length
	}
	return binary.BigEndian.Uint16(data[14:]), length
}

func sll2Header(data []byte) (uint16, int) {
	const length = 20
	if len(data) < length {
		return 0, length
	}
	return binary.BigEndian.Uint16(data), length
}

// nflogHeader is that of Linux' firewall log: an address family, then
// attributes of which one is the packet. Lengths are in the byte order of the
// capturing machine, taken for little-endian.
func nflogHeader(data []byte) (uint16, int) {
	const (
		fixed, attribute = 4, 4
		payload          = 9
		familyIPv4       = 2
		familyIPv6       = 10
	)
	for at := fixed; at+attribute <= len(data); {
		length := int(binary.LittleEndian.Uint16(data[at:]))
		if length < attribute {
			return 0, at
		}
		if kind := binary.LittleEndian.Uint16(data[at+2:]); kind == payload {
			switch data[0] {
			case familyIPv4:
				return etherIPv4, at + attribute
			case familyIPv6:
				return etherIPv6, at + attribute
			}
			return 0, at
		}
		at += (length + 3) &^ 3
	}
	return 0, len(data) + 1
}

// snapHeader reads an LLC header that says SNAP with an EtherType (RFC 1042).
func snapHeader(data []byte) (etherType uint16, length int, ok bool) {
	const prefix = "\xaa\xaa\x03\x00\x00\x00"
	if len(data) < len(prefix)+2 || string(data[:len(prefix)]) != prefix {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(data[len(prefix):]), len(prefix) + 2, true
}
