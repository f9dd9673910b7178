package capture

import "encoding/binary"

// holds tells whether data, behind which cut bytes are missing, may be what a
// tunnel at a port has inside. Of foreign bytes less than one in 1,000 are taken
// for that.
func holds(etherType uint16, data []byte, cut int) bool {
	for range maxTags {
		n, ok := 0, true
		switch {
		case etherType == etherIPv4 || etherType == etherIPv6:
			return mayBeIP(etherType, data, cut)
		case etherType == etherBridged:
			etherType, n = ethernetHeader(data)
		case etherType == etherVLAN || etherType == etherQinQ || etherType == etherQinQOld:
			if n = 4; len(data) >= n {
				etherType = binary.BigEndian.Uint16(data[2:])
			}
		case etherType < etherMin:
			etherType, n, ok = snapHeader(data)
		default:
			return etherType == etherEAPOL || etherTunnels[etherType] != nil
		}
		if !ok || n >= len(data) {
			return ok && cut > 0
		}
		data = data[n:]
	}
	return false
}

// mayBeIP judges by what foreign bytes have by chance only: that the length is
// right, or the header's checksum, which a network card may have left out.
func mayBeIP(etherType uint16, data []byte, cut int) bool {
	const header4, header6 = 20, 40
	if ipEtherType(data) != etherType {
		return false
	}
	have := len(data) + cut
	if etherType == etherIPv6 {
		if len(data) < header6 {
			return cut > 0
		}
		n := int(binary.BigEndian.Uint16(data[4:]))
		return n == 0 || n == have-header6 || n < have-header6 && beginsTransport(data[6])
	}
	head := int(data[0]&0x0f) * 4
	if head < header4 {
		return false
	}
	if len(data) < head {
		return cut > 0
	}
	total := int(binary.BigEndian.Uint16(data[2:]))
	return total == 0 || total == have || binary.BigEndian.Uint16(data[10:]) == 0 || sum16(data[:head]) == 0xffff
}

// beginsTransport tells what IPv6 has behind its header most often.
func beginsTransport(next byte) bool {
	switch next {
	case protoTCP, protoUDP, protoFragment, protoICMPv6:
		return true
	}
	return false
}

// looksVXLAN recognises VXLAN at a port that is not its own: the header's
// reserved bits are zero, and the frame within holds together.
func looksVXLAN(data []byte, cut int) bool {
	const header = 8
	return len(data) > header && binary.BigEndian.Uint32(data) == 0x08000000 && data[header-1] == 0 &&
		consistentFrame(data[header:], cut)
}

// consistentFrame tells whether data, behind which cut bytes are missing, is an
// Ethernet frame of IP beyond reasonable doubt: what the headers say of lengths
// is right, and so is IPv4's checksum.
func consistentFrame(data []byte, cut int) bool {
	etherType, n := ethernetHeader(data)
	for range 2 {
		if etherType != etherVLAN && etherType != etherQinQ {
			break
		}
		if n += 4; n > len(data) {
			return false
		}
		etherType = binary.BigEndian.Uint16(data[n-2:])
	}
	if n >= len(data) {
		return false
	}
	ip := data[n:]
	return ipEtherType(ip) == etherType && consistentIP(ip, cut)
}

// consistentIP is consistentFrame for an IP packet, which may be padded to the
// least length of a frame.
func consistentIP(data []byte, cut int) bool {
	const (
		header4, header6 = 20, 40
		leastPayload     = 46 // of an Ethernet frame
	)
	var total int
	switch {
	case len(data) >= header4 && data[0] == 0x45:
		total = int(binary.BigEndian.Uint16(data[2:]))
		if total < header4 || sum16(data[:header4]) != 0xffff {
			return false
		}
	case len(data) >= header6 && data[0]>>4 == 6:
		total = header6 + int(binary.BigEndian.Uint16(data[4:]))
		if !beginsTransport(data[6]) {
			return false
		}
	default:
		return false
	}
	have := len(data) + cut
	return total == have || total < have && have <= leastPayload
}

// sum16 is the one's complement sum that checksums are made of (RFC 1071 §1);
// over data with its checksum it is 0xffff. The length is even.
func sum16(data []byte) uint16 {
	var sum uint32
	for ; len(data) >= 2; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}
