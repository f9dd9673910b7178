package capture

import (
	"encoding/binary"

	"whoasked/parse"
)

// opaqueKind is a kind of tunnel that nobody can look into without its keys.
type opaqueKind uint8

const (
	notOpaque opaqueKind = iota
	opaqueESP
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

// countOpaque counts a packet that cannot be looked into, if it is one.
func (s *DecodeStats) countOpaque(kind opaqueKind) {
	if kind != notOpaque {
		s.Opaque[kind]++
	}
}

// opaque is for what holds nothing but sealed contents.
func opaque(kind opaqueKind) peel {
	return func(*Decoder, []byte, place) inner { return inner{out: NotTCP, hidden: kind} }
}

func hiddenIf(kind opaqueKind, so bool) opaqueKind {
	if so {
		return kind
	}
	return notOpaque
}

// natTraversal recognises IPsec in UDP (RFC 3948 §2): key exchange begins with
// four zero bytes, a keepalive is one byte. ESP begins with a random number,
// which may look like anything.
func natTraversal(_ *Decoder, data []byte, _ place) inner {
	const header = 8 // SPI, sequence number
	esp := len(data) > header && binary.BigEndian.Uint32(data) != 0 && parse.OpeningOf(data) == parse.NoOpening
	return inner{out: NotTCP, hidden: hiddenIf(opaqueESP, esp)}
}

// wireGuard recognises a message by its type and the reserved bytes behind it.
func wireGuard(_ *Decoder, data []byte, _ place) inner {
	message := len(data) >= 4 && data[0] >= 1 && data[0] <= 4 && data[1]|data[2]|data[3] == 0
	return inner{out: NotTCP, hidden: hiddenIf(opaqueWireGuard, message)}
}

// openVPN recognises packets with data. Those of the control channel, which
// carries TLS, are read as any datagram.
func openVPN(_ *Decoder, data []byte, _ place) inner {
	return inner{out: NotTCP, hidden: hiddenIf(opaqueOpenVPN, parse.DataOfOpenVPN(data))}
}
