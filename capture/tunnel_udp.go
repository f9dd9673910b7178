package capture

import (
	"encoding/binary"

	"whoasked/parse"
)

// vxlan opens a virtual network's frame (RFC 7348 §5).
func vxlan(d *Decoder, data []byte, at place) inner {
	const (
		header  = 8
		validID = 0x08
	)
	if len(data) < header {
		return inner{out: at.short()}
	}
	if data[0]&validID == 0 {
		return inner{out: NotTCP}
	}
	return behind(data, header, etherBridged, at, d.inside(at.via, viaVXLAN, vni(data)))
}

// vni is the network's identifier in VXLAN and Geneve: the three bytes before
// the last of 8.
func vni(data []byte) uint32 { return binary.BigEndian.Uint32(data[4:]) >> 8 }

// vxlanGPE opens the variant that says what is inside
// (draft-ietf-nvo3-vxlan-gpe §3).
func vxlanGPE(d *Decoder, data []byte, at place) inner {
	const (
		header  = 8
		hasNext = 0x04
	)
	if len(data) < header || data[0]&hasNext == 0 {
		return vxlan(d, data, at)
	}
	etherType, ok := nextProtocol(data[3], 4, etherNSH)
	if !ok {
		return inner{out: NotTCP}
	}
	return behind(data, header, etherType, at, d.inside(at.via, viaVXLAN, vni(data)))
}

// geneve opens a virtual network's packet, options and all (RFC 8926 §3.4).
func geneve(d *Decoder, data []byte, at place) inner {
	const (
		header = 8
		words  = 0x3f // options in words of 4 bytes, low bits of the first byte
	)
	if len(data) < header {
		return inner{out: at.short()}
	}
	if data[0]>>6 != 0 { // version
		return inner{out: NotTCP}
	}
	n := header + 4*int(data[0]&words)
	return behind(data, n, binary.BigEndian.Uint16(data[2:]), at, d.inside(at.via, viaGeneve, vni(data)))
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
	return behind(data, n, ipEtherType(data[n:]), at, d.inside(at.via, viaGTP, 0))
}

// l2tp opens a data message of L2TP over UDP: version 2 holds PPP (RFC 2661
// §3.1), version 3 a pseudowire (RFC 3931 §4.1.2.1).
func l2tp(d *Decoder, data []byte, at place) inner {
	const (
		base     = 6 // flags, tunnel, session
		word     = 2
		control  = 0x8000
		length   = 0x4000
		sequence = 0x0800
		offset   = 0x0200
		version3 = 4 // flags and reserved, then the session
	)
	if len(data) < base {
		return inner{out: at.short()}
	}
	flags := binary.BigEndian.Uint16(data)
	switch version := flags & 0x000f; {
	case flags&control != 0 || version != 2 && version != 3:
		return inner{out: NotTCP}
	case version == 3 && len(data) < version3+4:
		return inner{out: at.short()}
	case version == 3:
		return pseudowire(d, data[version3:], at)
	}
	n := base
	if flags&length != 0 {
		n += word
	}
	if flags&sequence != 0 {
		n += 2 * word
	}
	if flags&offset != 0 {
		if n += word; n > len(data) {
			return inner{out: at.short()}
		}
		n += int(binary.BigEndian.Uint16(data[n-word:]))
	}
	if n >= len(data) {
		return inner{out: at.short()}
	}
	at.via = d.inside(at.via, viaL2TP, 0)
	return ppp(d, data[n:], at)
}

// teredo opens IPv6 tunnelled over UDP (RFC 4380 §5.1.1), behind an
// authentication and an origin indication, if they are there.
func teredo(d *Decoder, data []byte, at place) inner {
	const (
		origin         = 8
		authentication = 13 // and the client's identifier and value
	)
	n := 0
	if len(data) > authentication && binary.BigEndian.Uint16(data) == 1 {
		n = authentication + int(data[2]) + int(data[3])
	}
	if n+1 < len(data) && binary.BigEndian.Uint16(data[n:]) == 0 {
		n += origin
	}
	if n < len(data) && data[n]>>4 != 6 {
		return inner{out: NotTCP}
	}
	return behind(data, n, etherIPv6, at, d.inside(at.via, viaTeredo, 0))
}

// lisp opens a packet between two sites (RFC 9300 §5).
func lisp(d *Decoder, data []byte, at place) inner {
	const header = 8
	if len(data) <= header {
		return inner{out: at.short()}
	}
	etherType := ipEtherType(data[header:])
	if etherType == 0 {
		return inner{out: NotTCP}
	}
	return behind(data, header, etherType, at, d.inside(at.via, viaLISP, 0))
}

// capwap opens what an access point sends to its controller (RFC 5415 §4.3):
// an 802.11 frame, or one of Ethernet.
func capwap(d *Decoder, data []byte, at place) inner {
	const (
		minHeader = 8
		sealed    = 1 // type of preamble: DTLS follows
		native    = 0x01
		fragment  = 0x80
		wifiID    = 1
	)
	if len(data) < minHeader {
		return inner{out: at.short()}
	}
	if data[0] == sealed { // its handshake is read as any datagram
		return inner{out: NotTCP, hidden: hiddenIf(opaqueCAPWAP, data[4] == byte(parse.ApplicationData))}
	}
	// Byte 1 holds 5 bits of length in words, then 3 of the radio's identifier;
	// byte 2 two more of it, 5 bits of what is bound, and whether that is native.
	n := 4 * int(data[1]>>3)
	if data[0] != 0 || n < minHeader || data[3]&fragment != 0 {
		return inner{out: NotTCP}
	}
	at.via = d.inside(at.via, viaCAPWAP, 0)
	switch {
	case data[2]&native == 0:
		return behind(data, n, etherBridged, at, at.via)
	case data[2]>>1&0x1f != wifiID || n >= len(data):
		return inner{out: NotTCP}
	}
	return wifi(d, data[n:], at)
}

// tzsp opens a frame that a router or access point mirrors by TZSP.
func tzsp(d *Decoder, data []byte, at place) inner {
	const (
		header   = 4
		received = 0
		toSend   = 1
		ethernet = 1
		wireless = 18
		padding  = 0
		end      = 1
	)
	if len(data) < header {
		return inner{out: at.short()}
	}
	if data[0] != 1 || data[1] != received && data[1] != toSend {
		return inner{out: NotTCP}
	}
	n := header
	for n < len(data) && data[n] != end {
		if data[n] == padding {
			n++
			continue
		}
		if n+1 >= len(data) {
			return inner{out: at.short()}
		}
		n += 2 + int(data[n+1])
	}
	if n++; n >= len(data) {
		return inner{out: at.short()}
	}
	at.via = d.inside(at.via, viaTZSP, 0)
	switch binary.BigEndian.Uint16(data[2:]) {
	case ethernet:
		return behind(data, n, etherBridged, at, at.via)
	case wireless:
		return wifi(d, data[n:], at)
	}
	return inner{out: NotTCP}
}
