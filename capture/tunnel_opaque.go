package capture

import "encoding/binary"

// opaqueKind is a kind of tunnel that nobody can look into without its keys.
type opaqueKind uint8

const (
	opaqueESP opaqueKind = iota
	opaqueWireGuard
	opaqueOpenVPN
	opaqueCAPWAP
	opaqueMACsec
	opaquePPP
	opaqueWiFi
	numOpaques
)

var opaqueNames = [numOpaques]string{
	opaqueESP:       "IPsec (ESP)",
	opaqueWireGuard: "WireGuard",
	opaqueOpenVPN:   "data of OpenVPN",
	opaqueCAPWAP:    "CAPWAP over DTLS",
	opaqueMACsec:    "MACsec",
	opaquePPP:       "encrypted or compressed PPP",
	opaqueWiFi:      "encrypted Wi-Fi",
}

func (k opaqueKind) String() string { return opaqueNames[k] }

// openVPNPort is where servers of OpenVPN listen. Its control channel, which
// carries TLS, is read as any datagram.
const openVPNPort = 1194

// opaque counts a packet that cannot be looked into.
func opaque(kind opaqueKind) peel {
	return func(d *Decoder, _ []byte, _ place) inner {
		d.stats.Opaque[kind]++
		return inner{out: NotTCP}
	}
}

// natTraversal recognises IPsec in UDP (RFC 3948 §2): key exchange begins with
// four zero bytes, a keepalive is one byte.
func natTraversal(d *Decoder, data []byte, _ place) inner {
	const header = 8 // SPI, sequence number
	if len(data) > header && binary.BigEndian.Uint32(data) != 0 {
		d.stats.Opaque[opaqueESP]++
	}
	return inner{out: NotTCP}
}

// wireGuard recognises a message by its type and the reserved bytes behind it.
func wireGuard(d *Decoder, data []byte, _ place) inner {
	if len(data) >= 4 && data[0] >= 1 && data[0] <= 4 && data[1]|data[2]|data[3] == 0 {
		d.stats.Opaque[opaqueWireGuard]++
	}
	return inner{out: NotTCP}
}
