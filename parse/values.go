package parse

import "fmt"

// Version is a protocol version as on the wire, e.g. 0x0303 for TLS 1.2.
type Version uint16

// Protocol versions.
const (
	SSL20 Version = 0x0002
	SSL30 Version = 0x0300
	TLS10 Version = 0x0301
	TLS11 Version = 0x0302
	TLS12 Version = 0x0303
	TLS13 Version = 0x0304
)

func (v Version) String() string {
	switch v {
	case SSL20:
		return "SSL 2.0"
	case SSL30:
		return "SSL 3.0"
	case TLS10, TLS11, TLS12, TLS13:
		return fmt.Sprintf("TLS 1.%d", v-TLS10)
	case 0:
		return ""
	}
	if v>>8 == 0xfb { // an experiment that was deployed
		return fmt.Sprintf("TLS 1.3 fb%d", v&0xff)
	}
	if v>>8 == 0x7f { // draft versions of TLS 1.3
		return fmt.Sprintf("TLS 1.3 draft %d", v&0xff)
	}
	return fmt.Sprintf("0x%04x", uint16(v))
}

// IsTLS13 reports whether v is TLS 1.3 or one of its drafts, which seal the
// handshake in the same way.
func (v Version) IsTLS13() bool { return v == TLS13 || v>>8 == 0x7f || v>>8 == 0xfb }

// HandshakeType is the msg_type of a handshake message (IANA TLS HandshakeType).
type HandshakeType uint8

// Handshake message types.
const (
	TypeHelloRequest        HandshakeType = 0
	TypeClientHello         HandshakeType = 1
	TypeServerHello         HandshakeType = 2
	TypeNewSessionTicket    HandshakeType = 4
	TypeEndOfEarlyData      HandshakeType = 5
	TypeHelloRetryRequest   HandshakeType = 6 // drafts of TLS 1.3 before 22
	TypeEncryptedExtensions HandshakeType = 8
	TypeCertificate         HandshakeType = 11
	TypeServerKeyExchange   HandshakeType = 12
	TypeCertificateRequest  HandshakeType = 13
	TypeServerHelloDone     HandshakeType = 14
	TypeCertificateVerify   HandshakeType = 15
	TypeClientKeyExchange   HandshakeType = 16
	TypeFinished            HandshakeType = 20
	TypeCertificateURL      HandshakeType = 21
	TypeCertificateStatus   HandshakeType = 22
	TypeSupplementalData    HandshakeType = 23
	TypeKeyUpdate           HandshakeType = 24
	TypeCompressedCert      HandshakeType = 25
	TypeNextProtocol        HandshakeType = 67
)
