package capture

import "encoding/binary"

// Tags in front of what Wireshark exports (epan/exported_pdu.h), with
// link type 252.
const (
	pduEnd       = 0
	pduDissector = 12
	pduSrcIPv4   = 20
	pduDstIPv4   = 21
	pduSrcIPv6   = 22
	pduDstIPv6   = 23
	pduPortType  = 24
	pduSrcPort   = 25
	pduDstPort   = 26
	pduTCPInfo   = 34
)

// maxExported bounds how many directions of exported streams are counted at
// once, 200 KiB.
const maxExported = 4096

// exported reads the payload of one segment that Wireshark exported without the
// headers around it, its addresses in tags. Exports of whole packets go on as such.
func (d *Decoder) exported(data []byte, at place, seg *Segment) Outcome {
	const (
		tag     = 4 // type and length, big-endian
		tcpPort = 2
		tcpInfo = 14 // version, first, next and acknowledged number
	)
	var (
		t        Tuple
		info     []byte
		portType uint32
		name     string
	)
	for {
		if len(data) < tag {
			return at.short()
		}
		kind, n := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:]))
		data = data[tag:]
		if n > len(data) {
			return at.short()
		}
		value := data[:n]
		if data = data[n:]; kind == pduEnd {
			break
		}
		switch kind {
		case pduDissector:
			name = trimZeros(value)
		case pduSrcIPv4, pduSrcIPv6:
			setAddr(&t.Src, value)
		case pduDstIPv4, pduDstIPv6:
			setAddr(&t.Dst, value)
		case pduPortType:
			portType = number(value)
		case pduSrcPort:
			t.SrcPort = uint16(number(value))
		case pduDstPort:
			t.DstPort = uint16(number(value))
		case pduTCPInfo:
			info = value
		}
	}
	switch {
	case len(data) == 0:
		return at.short()
	case name == "ip" || name == "ipv6":
		return d.network(ipEtherType(data), data, at, seg)
	case name == "eth" || name == "eth_withoutfcs" || name == "eth_maybefcs":
		return d.network(etherBridged, data, at, seg)
	case portType != tcpPort || t.SrcPort == 0 || t.DstPort == 0:
		return NotTCP
	}
	*seg = Segment{Tuple: t, Flags: FlagACK, Payload: data, Missing: at.cut}
	seg.Via = at.via
	if len(info) >= tcpInfo {
		// The numbers are those of the last segment put together into it.
		seg.Seq = binary.BigEndian.Uint32(info[6:]) - uint32(len(data)+at.cut)
		seg.Ack = binary.BigEndian.Uint32(info[10:])
		return TCP
	}
	d.count(seg)
	return TCP
}

// count makes up the numbers of a segment that was exported without.
func (d *Decoder) count(seg *Segment) {
	if d.pdus == nil || len(d.pdus) >= maxExported {
		d.pdus = make(map[Tuple]uint32)
	}
	const first = 1
	next, ok := d.pdus[seg.Tuple]
	if !ok {
		next = first
	}
	seg.Seq = next
	seg.Ack = max(d.pdus[seg.Reverse()], first)
	d.pdus[seg.Tuple] = next + uint32(len(seg.Payload)+seg.Missing)
}

func setAddr(dst *[16]byte, value []byte) {
	switch len(value) {
	case 4:
		mapIPv4(dst, value)
	case 16:
		*dst = [16]byte(value)
	}
}

func number(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

// trimZeros returns a string without the zero bytes that fill it up.
func trimZeros(b []byte) string {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return string(b)
}
