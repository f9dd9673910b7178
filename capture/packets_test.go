package capture

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// The functions below wrap a packet's inside, from TCP outwards.

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func u16(v ...uint16) []byte {
	var b []byte
	for _, v := range v {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// segment is a TCP segment from port 50000 to 8443 with 12 bytes of options.
func segment(payload string) []byte {
	return cat(u16(50000, 8443), u32(7), u32(9), []byte{8 << 4, FlagACK | FlagPSH}, u16(1024, 0, 0),
		make([]byte, 12), []byte(payload))
}

func datagram(src, dst uint16, payload []byte) []byte {
	return cat(u16(src, dst, uint16(8+len(payload)), 0), payload)
}

// ipv4 is from 198.18.0.1 to 198.18.0.2.
func ipv4(proto byte, payload []byte) []byte {
	return cat([]byte{0x45, 0}, u16(uint16(20+len(payload)), 1, 0x4000), []byte{64, proto, 0, 0},
		[]byte{198, 18, 0, 1, 198, 18, 0, 2}, payload)
}

// ipv6 is from ::1 to ::2.
func ipv6(next byte, payload []byte) []byte {
	one, two := netip.MustParseAddr("::1").As16(), netip.MustParseAddr("::2").As16()
	return cat([]byte{0x60, 0, 0, 0}, u16(uint16(len(payload))), []byte{next, 64}, one[:], two[:], payload)
}

func ether(etherType uint16, payload []byte) []byte {
	return cat(make([]byte, 12), u16(etherType), payload)
}

func vlan(id, next uint16, payload []byte) []byte { return cat(u16(0x2000|id, next), payload) }

func vxlanFrame(vni uint32, frame []byte) []byte { return cat(u32(0x08000000), u32(vni<<8), frame) }

// summed puts the right checksum into an IPv4 header.
func summed(packet []byte) []byte {
	return with(packet, 10, u16(^sum16(with(packet[:20], 10, 0, 0)))...)
}

// dataFrame is 802.11 data before an LLC header, unless it is there.
func dataFrame(kind, flags byte, payload []byte) []byte {
	frame := cat([]byte{kind, flags}, make([]byte, 22))
	if flags&3 == 3 {
		frame = append(frame, make([]byte, 6)...)
	}
	if kind&0x80 != 0 {
		frame = append(frame, 0, 0)
	}
	if flags&0x40 == 0 {
		frame = append(frame, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0)
	}
	return append(frame, payload...)
}

// exported is what Wireshark exports of a segment from 198.18.0.1:50000 to
// 198.18.0.2:8443.
func exported(dissector string, portType uint32, info []byte, payload string) []byte {
	packet := cat(u16(12, uint16(len(dissector)+1)), []byte(dissector), []byte{0},
		u16(20, 4), []byte{198, 18, 0, 1}, u16(21, 4), []byte{198, 18, 0, 2},
		u16(24, 4), u32(portType), u16(25, 4), u32(50000), u16(26, 4), u32(8443))
	if info != nil {
		packet = cat(packet, u16(34, uint16(len(info))), info)
	}
	return cat(packet, u16(0, 0), []byte(payload))
}

// with overwrites bytes of a packet.
func with(packet []byte, at int, b ...byte) []byte {
	packet = slices.Clone(packet)
	copy(packet[at:], b)
	return packet
}
