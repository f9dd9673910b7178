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
	etherWiFi    = 0x8200 // a whole 802.11 frame, in GRE of Aruba

	etherPPP      = 0x880b
	etherMPLS     = 0x8847
	etherERSPAN   = 0x88be
	etherERSPAN3  = 0x22eb
	etherNSH      = 0x894f
	etherMACsec   = 0x88e5
	etherEAPOL    = 0x888e // 802.1X
	etherWiFiPeek = 0x2452 // an 802.11 frame, from Intel's driver

	// etherMin is the lowest EtherType; below stands a length (802.3).
	etherMin = 0x0600
)

// header reads a link header and returns the EtherType behind it and the
// header's length. A length beyond data means that the header was cut.
type header func(data []byte) (etherType uint16, length int)

// linkRow is how one link type begins: a header read in place, an encapsulation
// to open, or a header that names the link type of what follows it.
type linkRow struct {
	header header
	peel   peel
	around func(data []byte) (LinkType, int)
}

// linkExported is what Wireshark exports.
const linkExported = 252

// linkTypes is indexed by LinkType.
var linkTypes = [...]linkRow{
	0:   {header: nullHeader},
	1:   {header: ethernetHeader},
	8:   {header: rawBehind(16)}, // SLIP
	9:   {peel: serial},
	10:  {peel: foreign(layers.LayerTypeFDDI)},
	12:  {header: rawHeader},
	14:  {header: rawHeader},
	50:  {peel: serial},
	51:  {peel: pppoe},
	100: {header: llcHeader}, // ATM by RFC 2684
	101: {header: rawHeader},
	104: {header: hdlcHeader},
	105: {peel: wifi},
	106: {header: llcHeader}, // ATM on Linux
	107: {header: frameRelayHeader},
	108: {header: nullHeader},
	113: {header: sllHeader},
	117: {peel: foreign(layers.LayerTypePFLog)},
	119: {peel: foreign(layers.LayerTypePrismHeader)},
	127: {peel: radiotap},
	163: {peel: avs},
	192: {around: ppi},
	204: {peel: directed},
	219: {peel: mpls},
	228: {header: rawHeader},
	229: {header: rawHeader},
	239: {header: nflogHeader},
	240: {header: ethernetBehind(4)}, // netANALYZER
	258: {around: pktap},
	276: {header: sll2Header},
	281: {header: taggedEthernet(4)}, // Broadcom's switch tag
	282: {header: ethernetBehind(4)}, // the same, in front
	284: {header: taggedEthernet(4)}, // Marvell's
	285: {header: taggedEthernet(8)}, // with an EtherType of its own
}

func (d *Decoder) link(link LinkType, data []byte, at place, seg *Segment) Outcome {
	if int(link) >= len(linkTypes) {
		return UnknownLink
	}
	row := &linkTypes[link]
	switch {
	case link == linkExported:
		return d.exported(data, at, seg)
	case row.header != nil:
		etherType, n := row.header(data)
		if n > len(data) {
			return at.short()
		}
		return d.network(etherType, data[n:], at, seg)
	case row.peel != nil:
		return d.open(row.peel, data, at, seg)
	case row.around != nil:
		link, n := row.around(data)
		if n >= len(data) {
			return at.short()
		}
		if at.depth++; at.depth > maxDepth {
			return Bad
		}
		return d.link(link, data[n:], at, seg)
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
// capturing machine; the first one shows which that is.
func nflogHeader(data []byte) (uint16, int) {
	const (
		fixed, attribute = 4, 4
		payload          = 9
		familyIPv4       = 2
		familyIPv6       = 10
	)
	var order binary.ByteOrder = binary.LittleEndian
	if len(data) >= fixed+2 && data[fixed] == 0 { // at least 4, and of the first less than 256
		order = binary.BigEndian
	}
	for at := fixed; at+attribute <= len(data); {
		length := int(order.Uint16(data[at:]))
		if length < attribute {
			return 0, at
		}
		if kind := order.Uint16(data[at+2:]); kind == payload {
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

// frameRelayHeader is an address of 2 to 4 bytes, then Cisco's EtherType or
// what RFC 2427 §3 has.
func frameRelayHeader(data []byte) (uint16, int) {
	const (
		unnumbered = 0x03
		lastByte   = 0x01 // of the address
		nlpidIPv4  = 0xcc
		nlpidIPv6  = 0x8e
		nlpidSNAP  = 0x80
		snap       = 5 // organisation and EtherType
	)
	n := 0
	for n < len(data) && n < 4 && data[n]&lastByte == 0 {
		n++
	}
	if n++; n+2 > len(data) {
		return 0, n + 2
	}
	if data[n] != unnumbered {
		return binary.BigEndian.Uint16(data[n:]), n + 2
	}
	if n++; data[n] == 0 && n+1 < len(data) { // padding to an even length
		n++
	}
	switch data[n] {
	case nlpidIPv4:
		return etherIPv4, n + 1
	case nlpidIPv6:
		return etherIPv6, n + 1
	case nlpidSNAP:
		if n+1+snap > len(data) {
			return 0, n + 1 + snap
		}
		return binary.BigEndian.Uint16(data[n+1+3:]), n + 1 + snap
	}
	return 0, n
}

// llcHeader leaves all to the LLC header behind it.
func llcHeader([]byte) (uint16, int) { return 0, 0 }

// rawBehind is IP behind n bytes of something else.
func rawBehind(n int) header {
	return func(data []byte) (uint16, int) {
		if n >= len(data) {
			return 0, n + 1
		}
		return ipEtherType(data[n:]), n
	}
}

// ethernetBehind is Ethernet behind n bytes of something else.
func ethernetBehind(n int) header {
	return func(data []byte) (uint16, int) {
		if n > len(data) {
			return 0, n
		}
		return etherBridged, n
	}
}

// taggedEthernet has n bytes for the ports of a switch chip in front of the
// EtherType.
func taggedEthernet(n int) header {
	const addresses = 12
	return func(data []byte) (uint16, int) {
		length := addresses + n + 2
		if length > len(data) {
			return 0, length
		}
		return binary.BigEndian.Uint16(data[length-2:]), length
	}
}

// serial opens a serial link's frame, PPP or, by its first byte, Cisco's HDLC.
func serial(d *Decoder, data []byte, at place) inner {
	const unicast, multicast = 0x0f, 0x8f
	if data[0] != unicast && data[0] != multicast {
		return ppp(d, data, at)
	}
	etherType, n := hdlcHeader(data)
	return behind(data, n, etherType, at, at.via)
}

// directed opens a frame of PPP behind a byte for its direction.
func directed(d *Decoder, data []byte, at place) inner {
	if len(data) < 2 {
		return inner{out: at.short()}
	}
	return ppp(d, data[1:], at)
}

// snapHeader reads an LLC header that says SNAP with an EtherType (RFC 1042).
func snapHeader(data []byte) (etherType uint16, length int, ok bool) {
	const prefix = "\xaa\xaa\x03\x00\x00\x00"
	if len(data) < len(prefix)+2 || string(data[:len(prefix)]) != prefix {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(data[len(prefix):]), len(prefix) + 2, true
}
