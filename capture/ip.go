package capture

import "encoding/binary"

// IP protocol numbers the decoder walks itself.
const (
	protoHopByHop = 0
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoICMPv6   = 58
	protoAH       = 51
	protoDestOpts = 60
	protoMobility = 135
	protoHIP      = 139
	protoShim6    = 140
)

// ip4 reads an IPv4 header (RFC 791 §3.1). What is behind the total length is
// padding of the link.
func (d *Decoder) ip4(data []byte, at place, seg *Segment) Outcome {
	const minHeader = 20
	if len(data) < minHeader {
		return at.short()
	}
	head := int(data[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(data[2:]))
	if total == 0 {
		// Captured before the network card cut it into packets.
		total = len(data) + at.cut
	}
	if data[0]>>4 != 4 || head < minHeader || total < head {
		return Bad
	}
	data, at.cut = trim(data, total)
	if head > len(data) {
		return at.short()
	}
	at.ttl = data[8]
	mapIPv4(&seg.Src, data[12:16])
	mapIPv4(&seg.Dst, data[16:20])
	const moreOrOffset = 0x3fff
	if binary.BigEndian.Uint16(data[6:])&moreOrOffset != 0 {
		f := fragment4(data, head, at)
		return d.fragment(&f, at, seg)
	}
	return d.transport(data[9], data[head:], at, seg)
}

// ip6 reads an IPv6 header (RFC 8200 §3).
func (d *Decoder) ip6(data []byte, at place, seg *Segment) Outcome {
	const header = 40
	if len(data) < header {
		return at.short()
	}
	if data[0]>>4 != 6 {
		return Bad
	}
	total := header + int(binary.BigEndian.Uint16(data[4:]))
	if total == header {
		// A jumbogram, or captured before the network card cut it.
		total = len(data) + at.cut
	}
	data, at.cut = trim(data, total)
	at.ttl = data[7]
	seg.Src = [16]byte(data[8:24])
	seg.Dst = [16]byte(data[24:40])
	return d.transport(data[6], data[header:], at, seg)
}

// trim returns the part of data that belongs to a layer of total bytes, and
// how many of that layer's bytes are missing behind it.
func trim(data []byte, total int) ([]byte, int) {
	if total <= len(data) {
		return data[:total], 0
	}
	return data, total - len(data)
}

func mapIPv4(dst *[16]byte, addr []byte) {
	binary.BigEndian.PutUint64(dst[:8], 0)
	binary.BigEndian.PutUint64(dst[8:], 0xffff<<32|uint64(binary.BigEndian.Uint32(addr)))
}

// transport goes from an IP protocol number to TCP, through extension headers
// (RFC 8200 §4, of which IPv4 knows only AH).
func (d *Decoder) transport(proto uint8, data []byte, at place, seg *Segment) Outcome {
	for {
		var n int
		switch proto {
		case protoTCP:
			return d.tcp(data, at, seg)
		case protoUDP:
			return d.udp(data, at, seg)
		case protoHopByHop, protoRouting, protoDestOpts, protoMobility, protoHIP, protoShim6:
			if len(data) < 8 {
				return at.short()
			}
			n = 8 + 8*int(data[1])
		case protoAH: // RFC 4302 §2.2: length in words of 4 bytes, minus 2
			if len(data) < 8 {
				return at.short()
			}
			n = 8 + 4*int(data[1])
		case protoFragment:
			if n = 8; len(data) < n {
				return at.short()
			}
			const moreOrOffset = 0xfff9
			if binary.BigEndian.Uint16(data[2:])&moreOrOffset != 0 {
				f := fragment6(data, at)
				return d.fragment(&f, at, seg)
			}
		default:
			if p, ok := ipTunnels[proto]; ok {
				return d.open(p, data, at, seg)
			}
			return NotTCP
		}
		if n > len(data) {
			return at.short()
		}
		proto, data = data[0], data[n:]
	}
}

// tcp reads a TCP header (RFC 9293 §3.1). Options may be cut: what counts for
// the stream stands before them.
func (d *Decoder) tcp(data []byte, at place, seg *Segment) Outcome {
	const minHeader = 20
	if len(data) < minHeader {
		return at.short()
	}
	head := int(data[12]>>4) * 4
	payload := len(data) + at.cut - head
	if head < minHeader || payload < 0 {
		return Bad
	}
	if sampled(d.stats.Outcomes[TCP]) {
		d.checkSum(data, at, seg)
	}
	seg.Via = at.via
	seg.SrcPort = binary.BigEndian.Uint16(data)
	seg.DstPort = binary.BigEndian.Uint16(data[2:])
	seg.Seq = binary.BigEndian.Uint32(data[4:])
	seg.Ack = binary.BigEndian.Uint32(data[8:])
	seg.Flags = data[13]
	seg.TTL = at.ttl
	seg.Options = data[minHeader:min(head, len(data))]
	seg.Payload = data[min(head, len(data)):]
	seg.Missing = payload - len(seg.Payload)
	return TCP
}

// udp looks for tunnels by port, that of the destination first, and takes
// anything else for a datagram (RFC 768).
func (d *Decoder) udp(data []byte, at place, seg *Segment) Outcome {
	const header = 8
	if len(data) < header {
		return at.short()
	}
	src, dst := binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:])
	for _, port := range [...]uint16{dst, src} {
		if p := d.udpTunnels.at(port); p != nil {
			if out, ok := d.openDatagram(p, data[header:], at, seg); ok {
				return out
			}
		}
	}
	if looksVXLAN(data[header:], at.cut) {
		return d.open(vxlan, data[header:], at, seg)
	}
	d.look(dst, data[header:], at.cut)
	// A length of 0 is that of a jumbogram (RFC 2675 §4); one beyond the packet
	// is a lie, or the packet was captured before the network card cut it.
	if n := int(binary.BigEndian.Uint16(data[4:])); n >= header {
		data, at.cut = trim(data, min(n, len(data)+at.cut))
	}
	seg.Via = at.via
	seg.SrcPort, seg.DstPort = src, dst
	seg.Payload, seg.Missing = data[header:], at.cut
	return UDP
}
