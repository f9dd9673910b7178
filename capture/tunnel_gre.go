package capture

import "encoding/binary"

// gre opens generic routing encapsulation: RFC 2784 with key and sequence
// number (RFC 2890), the routing of RFC 1701, and PPTP's version 1 (RFC 2637
// §4.1).
func gre(d *Decoder, data []byte, at place) inner {
	const (
		base          = 4
		word          = 4
		checksum      = 0x8000
		routing       = 0x4000
		key           = 0x2000
		sequence      = 0x1000
		acknowledged  = 0x0080 // version 1
		versionNumber = 0x0007
	)
	if len(data) < base {
		return inner{out: at.short()}
	}
	flags, protocol := binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:])
	version := flags & versionNumber
	if version > 1 {
		return inner{out: Bad}
	}
	n := base
	if flags&(checksum|routing) != 0 {
		n += word
	}
	if flags&key != 0 {
		n += word
	}
	if flags&sequence != 0 {
		n += word
	}
	if version == 1 && flags&acknowledged != 0 {
		n += word
	}
	if flags&routing != 0 {
		var ok bool
		if n, ok = sourceRoutes(data, n); !ok {
			return inner{out: at.short()}
		}
	}
	if n == len(data) && at.cut == 0 {
		return inner{out: NotTCP} // a keepalive, or a bare acknowledgment of PPTP
	}
	at.via = d.inside(at.via, viaGRE, 0)
	if protocol == etherERSPAN && flags&sequence == 0 && n < len(data) {
		// Type I has no header, and so no session.
		return behind(data, n, etherBridged, at, d.inside(at.via, viaERSPAN1, 0))
	}
	return behind(data, n, protocol, at, at.via)
}

// sourceRoutes skips source route entries (RFC 1701), which an empty one ends.
func sourceRoutes(data []byte, n int) (int, bool) {
	const header = 4
	for n+header <= len(data) {
		length := int(data[n+3])
		last := binary.BigEndian.Uint16(data[n:]) == 0 && length == 0
		if n += header + length; last {
			return n, true
		}
	}
	return 0, false
}

// erspan2 opens a frame that a switch mirrored by ERSPAN type II.
func erspan2(d *Decoder, data []byte, at place) inner {
	const header = 8
	if len(data) < header {
		return inner{out: at.short()}
	}
	if data[0]>>4 != 1 {
		return inner{out: NotTCP}
	}
	return behind(data, header, etherBridged, at, d.inside(at.via, viaERSPAN, erspanSession(data)))
}

// erspan3 opens type III, which carries time stamps and maybe another header
// for its platform.
func erspan3(d *Decoder, data []byte, at place) inner {
	const (
		header    = 12
		platform  = 8
		hasMore   = 0x01 // in the last byte
		ipPackets = 2
	)
	if len(data) < header {
		return inner{out: at.short()}
	}
	if data[0]>>4 != 2 {
		return inner{out: NotTCP}
	}
	n := header
	if data[header-1]&hasMore != 0 {
		n += platform
	}
	via := d.inside(at.via, viaERSPAN, erspanSession(data))
	if n < len(data) && data[header-2]>>2&0x1f == ipPackets {
		return behind(data, n, ipEtherType(data[n:]), at, via)
	}
	return behind(data, n, etherBridged, at, via)
}

// erspanSession is the number of the mirror session, at the same place in all
// types.
func erspanSession(data []byte) uint32 { return uint32(binary.BigEndian.Uint16(data[2:]) & 0x03ff) }

// l2tp3 opens L2TP version 3 right over IP (RFC 3931 §4.1.1).
func l2tp3(d *Decoder, data []byte, at place) inner {
	if len(data) < 4 {
		return inner{out: at.short()}
	}
	return pseudowire(d, data, at)
}

// pseudowire opens an L2TPv3 session's data message, from the session identifier
// on. Whether a cookie of 4 or 8 bytes (RFC 3931 §4.1) and a sublayer of 4
// (§4.6) follow was agreed on elsewhere: a frame has to prove that it is one.
func pseudowire(d *Decoder, data []byte, at place) inner {
	const session = 4
	if binary.BigEndian.Uint32(data) == 0 { // control
		return inner{out: NotTCP}
	}
	for _, n := range [...]int{session, session + 4, session + 8, session + 12} {
		if n < len(data) && consistentFrame(data[n:], at.cut) {
			return behind(data, n, etherBridged, at, d.inside(at.via, viaL2TP3, 0))
		}
	}
	return inner{out: NotTCP}
}
