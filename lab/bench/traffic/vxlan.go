package traffic

import "encoding/binary"

// tunnelLen is what VXLAN over IPv4 puts in front of a frame, in bytes.
const tunnelLen = etherLen + ipLen + udpLen + vxlanLen

const vxlanLen = 8

// tunnel wraps packets into VXLAN (RFC 7348 §5) between two routers.
type tunnel struct {
	vni uint32
	buf [recordLen + tunnelLen + etherLen + mtu]byte
}

// wrap returns a packet with its pcap record header, wrapped; valid until the
// next.
func (t *tunnel) wrap(packet []byte) []byte {
	b := t.buf[:len(packet)+tunnelLen]
	copy(b, packet[:recordLen])
	n := uint32(len(b) - recordLen)
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint32(b[12:], n)

	e := b[recordLen:]
	copy(e, "\x02\x00\x00\x00\x00\x04\x02\x00\x00\x00\x00\x03\x08\x00")
	ip := e[etherLen:]
	copy(ip, "\x45\x00\x00\x00\x00\x00\x40\x00\x40\x11\x00\x00\xc6\x12\xc8\x01\xc6\x12\xc8\x02")
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[10:], ^fold(add(0, ip[:ipLen])))

	udp := ip[ipLen:]
	binary.BigEndian.PutUint16(udp, 49152+uint16(len(packet)&0xfff)) // stands for the hash of the flow
	binary.BigEndian.PutUint16(udp[2:], 4789)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], 0) // no checksum (RFC 7348 §5)
	binary.BigEndian.PutUint32(udp[udpLen:], 0x08000000)
	binary.BigEndian.PutUint32(udp[udpLen+4:], t.vni<<8)
	copy(udp[udpLen+vxlanLen:], packet[recordLen:])
	return b
}
