package capture

import "encoding/binary"

// wifi opens a data frame of 802.11 (IEEE 802.11 §9.3.2). Of frames aggregated
// into one it reads the first.
func wifi(d *Decoder, data []byte, at place) inner {
	const (
		header     = 24
		address    = 6
		qosControl = 2
		htControl  = 4
		subframe   = 14 // addresses and length

		version   = 0x03 // of the first byte, zero to this day
		typeData  = 0x08
		noData    = 0x40
		qos       = 0x80
		bothWays  = 0x03 // of the second: to and from the distribution system
		protected = 0x40
		order     = 0x80
		amsdu     = 0x80 // of the QoS control
	)
	if len(data) < 2 {
		return inner{out: at.short()}
	}
	kind, flags := data[0], data[1]
	if kind&version != 0 { // Cisco's access points have the two bytes the other way round
		kind, flags = flags, kind
	}
	if kind&0x0c != typeData || kind&noData != 0 {
		return inner{out: NotTCP}
	}
	n := header
	if flags&bothWays == bothWays {
		n += address
	}
	if kind&qos != 0 {
		if n += qosControl; n > len(data) {
			return inner{out: at.short()}
		}
		if data[n-qosControl]&amsdu != 0 {
			n += subframe
		}
		if flags&order != 0 {
			n += htControl
		}
	}
	if n >= len(data) {
		return inner{out: at.short()}
	}
	if flags&protected == 0 {
		return behind(data, n, 0, at, at.via)
	}
	// Some drivers open the frame and leave its initialisation vector, of WEP or
	// of WPA.
	for _, iv := range [...]int{0, 4, 8} {
		if n+iv < len(data) {
			if _, _, ok := snapHeader(data[n+iv:]); ok {
				return behind(data, n+iv, 0, at, at.via)
			}
		}
	}
	return inner{out: NotTCP, hidden: opaqueWiFi}
}

// ppi is per-packet information: its length, then the link type of what follows.
func ppi(data []byte) (LinkType, int) {
	const header = 8
	if len(data) < header {
		return 0, header
	}
	return linkType(binary.LittleEndian.Uint32(data[4:])), max(header, int(binary.LittleEndian.Uint16(data[2:])))
}

// pktap is Apple's header of the packet tap, likewise.
func pktap(data []byte) (LinkType, int) {
	const (
		header = 12
		most   = 1 << 16
	)
	if len(data) < header {
		return 0, header
	}
	n := binary.LittleEndian.Uint32(data)
	return linkType(binary.LittleEndian.Uint32(data[8:])), int(min(max(header, n), most))
}

// linkType keeps a number that is none from becoming another one.
func linkType(n uint32) LinkType { return LinkType(min(n, 1<<16-1)) }

// avs opens the header of AVS: a magic number, then the header's length.
func avs(d *Decoder, data []byte, at place) inner {
	const (
		header = 8
		magic  = 0x80211001
	)
	if len(data) < header {
		return inner{out: at.short()}
	}
	n := binary.BigEndian.Uint32(data[4:])
	if binary.BigEndian.Uint32(data)&^0xf != magic&^0xf || n < header {
		return inner{out: Bad}
	}
	if int64(n) >= int64(len(data)) {
		return inner{out: at.short()}
	}
	return wifi(d, data[n:], at)
}

// radiotap opens a frame behind a radio header, which has its length in it and
// may say that the frame's header was padded.
func radiotap(d *Decoder, data []byte, at place) inner {
	const header = 8
	if len(data) < header {
		return inner{out: at.short()}
	}
	n := int(binary.LittleEndian.Uint16(data[2:]))
	if data[0] != 0 || n < header {
		return inner{out: Bad}
	}
	if n >= len(data) {
		return inner{out: at.short()}
	}
	return wifi(d, data[n:], at)
}
