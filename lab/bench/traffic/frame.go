package traffic

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Header lengths in bytes.
const (
	etherLen  = 14
	ipLen     = 20
	tcpLen    = 20
	udpLen    = 8
	recordLen = 16 // of a packet in a pcap file
	mtu       = 1500
)

// IP protocol numbers (IANA).
const (
	protoTCP = 6
	protoUDP = 17
)

// TCP flags (RFC 9293 §3.1).
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
)

// step is one TCP segment of a flow.
type step struct {
	after    time.Duration // since the step before
	from     side
	flags    uint8
	seq, ack uint32
	data     []byte
}

// framer builds packets in one buffer, each valid until the next.
type framer struct {
	buf [recordLen + etherLen + mtu]byte
	id  uint16 // IPv4 identification
}

// fileHeader is the header of a pcap file: microseconds, little-endian,
// Ethernet, nothing cut.
func fileHeader() []byte {
	h := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, make([]byte, 8)...)
	h = binary.LittleEndian.AppendUint32(h, 262144)
	return binary.LittleEndian.AppendUint32(h, 1)
}

// tcp returns a segment with its pcap record header. With stamps it carries the
// timestamps option (RFC 7323 §3).
func (f *framer) tcp(at time.Time, from, to netip.AddrPort, s *step, stamps bool) []byte {
	b := f.buf[:recordLen+etherLen+ipLen]
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint32(b, s.seq)
	b = binary.BigEndian.AppendUint32(b, s.ack)
	b = append(b, 0, s.flags)
	b = binary.BigEndian.AppendUint16(b, 64240)
	b = append(b, 0, 0, 0, 0) // checksum, urgent pointer
	if s.flags&syn != 0 {
		b = append(b, 2, 4, (mtu-ipLen-tcpLen)>>8, (mtu-ipLen-tcpLen)&0xff) // MSS
		b = append(b, 1, 3, 3, 7)                                           // window scale
	}
	if stamps {
		ms := uint32(at.UnixMilli())
		b = append(b, 1, 1, 8, 10)
		b = binary.BigEndian.AppendUint32(b, ms)
		b = binary.BigEndian.AppendUint32(b, ms-7)
	}
	header := len(b) - recordLen - etherLen - ipLen
	b[recordLen+etherLen+ipLen+12] = uint8(header/4) << 4
	b = append(b, s.data...)
	return f.finish(b, at, from.Addr(), to.Addr(), protoTCP, 16)
}

// udp returns a datagram with its pcap record header.
func (f *framer) udp(at time.Time, from, to netip.AddrPort, data []byte) []byte {
	b := f.buf[:recordLen+etherLen+ipLen]
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(udpLen+len(data)))
	b = append(b, 0, 0)
	b = append(b, data...)
	return f.finish(b, at, from.Addr(), to.Addr(), protoUDP, 6)
}

// finish fills in everything below the transport header, and the checksum at
// offset sum of that header.
func (f *framer) finish(b []byte, at time.Time, from, to netip.Addr, proto uint8, sum int) []byte {
	r := b[:recordLen]
	n := uint32(len(b) - recordLen)
	binary.LittleEndian.PutUint32(r[0:], uint32(at.Unix()))
	binary.LittleEndian.PutUint32(r[4:], uint32(at.Nanosecond()/1000))
	binary.LittleEndian.PutUint32(r[8:], n)
	binary.LittleEndian.PutUint32(r[12:], n)

	e := b[recordLen:]
	copy(e, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00")

	f.id++
	ip := e[etherLen:]
	ip[0], ip[1] = 0x45, 0
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[4:], f.id)
	ip[6], ip[7] = 0x40, 0 // don't fragment
	ip[8], ip[9] = 64, proto
	ip[10], ip[11] = 0, 0
	src, dst := from.As4(), to.As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], ^fold(add(0, ip[:ipLen])))

	segment := ip[ipLen:]
	pseudo := add(uint64(proto)+uint64(len(segment)), ip[12:ipLen])
	binary.BigEndian.PutUint16(segment[sum:], ^fold(add(pseudo, segment)))
	return b
}

// add continues the Internet checksum (RFC 1071) over b.
func add(sum uint64, b []byte) uint64 {
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.BigEndian.Uint32(b))
	}
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
