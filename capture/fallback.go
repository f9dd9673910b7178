package capture

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"
)

// inner is what an encapsulation held: the bytes behind it and their
// EtherType, or, where data is empty, why there are none.
type inner struct {
	etherType uint16
	data      []byte
	via       uint32
	out       Outcome
}

// peel takes one encapsulation off. The data it is given is not empty.
type peel func(d *Decoder, data []byte, at place) inner

// An encapsulation is a row in one of these tables. foreign rows are decoded
// by gopacket, the others here.
var (
	// etherTunnels is by EtherType.
	etherTunnels = map[uint16]peel{
		0x880b: foreign(layers.LayerTypePPP),
		0x8847: foreign(layers.LayerTypeMPLS),
		0x8848: foreign(layers.LayerTypeMPLS), // upstream-assigned labels
		0x8864: foreign(layers.LayerTypePPPoE),
		0x88be: foreign(layers.LayerTypeERSPANII),
	}
	// ipTunnels is by IP protocol number.
	ipTunnels = map[uint8]peel{
		4:   within(viaIPinIP, etherIPv4),
		41:  within(via6in4, etherIPv6),
		47:  foreign(layers.LayerTypeGRE),
		97:  foreign(layers.LayerTypeEtherIP),
		137: foreign(layers.LayerTypeMPLS),
	}
	// udpTunnels is by destination port.
	udpTunnels = map[uint16]peel{
		2152:  gtpu,
		4789:  foreign(layers.LayerTypeVXLAN),
		6081:  foreign(layers.LayerTypeGeneve),
		8472:  foreign(layers.LayerTypeVXLAN), // Linux's default, before the port was assigned
		10800: foreign(layers.LayerTypeVXLAN), // Azure Gateway Load Balancer, internal
		10801: foreign(layers.LayerTypeVXLAN), // and external
	}
)

// open takes an encapsulation off and goes on with what was inside.
func (d *Decoder) open(p peel, data []byte, at place, seg *Segment) Outcome {
	if len(data) == 0 {
		return at.short()
	}
	if at.depth++; at.depth > maxDepth {
		return Bad
	}
	in := p(d, data, at)
	if len(in.data) == 0 {
		return in.out
	}
	at.via = in.via
	return d.network(in.etherType, in.data, at, seg)
}

// within is for tunnels without a header of their own.
func within(kind viaKind, etherType uint16) peel {
	return func(d *Decoder, data []byte, at place) inner {
		return inner{etherType: etherType, data: data, via: d.inside(at.via, kind, 0)}
	}
}

// gtpu opens a GTP-U user packet (3GPP TS 29.281 §5.1). gopacket has a decoder
// for it, which prints to standard output when an extension header is cut.
func gtpu(d *Decoder, data []byte, at place) inner {
	const (
		header     = 8
		optional   = 4 // sequence number, N-PDU number, next extension type
		userPacket = 255
		anyFlag    = 0x07
		extension  = 0x04
	)
	if len(data) < header {
		return inner{out: at.short()}
	}
	flags := data[0]
	if flags>>4 != 3 || data[1] != userPacket { // version 1, GTP rather than GTP'
		return inner{out: NotTCP}
	}
	n := header
	if flags&anyFlag != 0 {
		n += optional
	}
	if n >= len(data) {
		return inner{out: at.short()}
	}
	for more := flags&extension != 0 && data[n-1] != 0; more; more = data[n-1] != 0 {
		words := int(data[n])
		if words == 0 {
			return inner{out: Bad}
		}
		if n += 4 * words; n >= len(data) {
			return inner{out: at.short()}
		}
	}
	return inner{etherType: ipEtherType(data[n:]), data: data[n:], via: d.inside(at.via, viaGTP, 0)}
}

// serial opens a serial link's frame, PPP or, by its first byte, Cisco's HDLC.
func serial(d *Decoder, data []byte, at place) inner {
	const unicast, multicast = 0x0f, 0x8f
	if data[0] != unicast && data[0] != multicast {
		return foreign(layers.LayerTypePPP)(d, data, at)
	}
	etherType, n := hdlcHeader(data)
	if n >= len(data) {
		return inner{out: at.short()}
	}
	return inner{etherType: etherType, data: data[n:], via: at.via}
}

// wifi opens an 802.11 frame without radio header. gopacket takes its last 4
// bytes for a checksum, which captures of this link type rarely have: it is
// given 4 more, and the length of IP tells what belongs to it.
func wifi(d *Decoder, data []byte, at place) inner {
	padded := make([]byte, len(data)+4)
	copy(padded, data)
	return foreign(layers.LayerTypeDot11)(d, padded, at)
}

// mplsPayload finds out what is behind the last label, which does not say
// (RFC 4928 §3): IP by its version, or a pseudowire's control word (RFC 4385
// §3) before a frame.
func mplsPayload(data []byte) (etherType uint16, inside []byte) {
	const controlWord = 4
	if len(data) > controlWord && binary.BigEndian.Uint16(data)>>12 == 0 {
		return etherBridged, data[controlWord:]
	}
	return ipEtherType(data), data
}
