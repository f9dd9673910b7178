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

	DTLS10    Version = 0xfeff
	DTLS12    Version = 0xfefd
	DTLS13    Version = 0xfefc
	DTLS10Old Version = 0x0100 // of OpenSSL before release 0.9.8f
)

func (v Version) String() string {
	switch v {
	case SSL20:
		return "SSL 2.0"
	case SSL30:
		return "SSL 3.0"
	case TLS10, TLS11, TLS12, TLS13:
		return fmt.Sprintf("TLS 1.%d", v-TLS10)
	case DTLS10, DTLS10Old:
		return "DTLS 1.0"
	case DTLS12:
		return "DTLS 1.2"
	case DTLS13:
		return "DTLS 1.3"
	case 0:
		return ""
	}
	if v>>8 == 0xfb { // an experiment that was deployed
		return fmt.Sprintf("TLS 1.3 fb%d", v&0xff)
	}
	if v>>8 == 0x7f { // draft versions of TLS 1.3, of which there were 28, and of DTLS 1.3
		if v&0xff > 28 {
			return fmt.Sprintf("DTLS 1.3 draft %d", v&0xff)
		}
		return fmt.Sprintf("TLS 1.3 draft %d", v&0xff)
	}
	return fmt.Sprintf("0x%04x", uint16(v))
}

// IsTLS13 reports whether v is TLS 1.3 or one of its drafts, which seal the
// handshake in the same way.
func (v Version) IsTLS13() bool {
	return v == TLS13 || v == DTLS13 || v>>8 == 0x7f || v>>8 == 0xfb
}

// TLS returns the version of TLS that a version of DTLS differs from only in its
// records and headers (RFC 4347, RFC 6347, RFC 9147), any other as it is.
func (v Version) TLS() Version {
	switch v {
	case DTLS10, DTLS10Old:
		return TLS11
	case DTLS12:
		return TLS12
	case DTLS13:
		return TLS13
	}
	return v
}

// HandshakeType is the msg_type of a handshake message (IANA TLS HandshakeType).
type HandshakeType uint8

// Handshake message types.
const (
	TypeHelloRequest        HandshakeType = 0
	TypeClientHello         HandshakeType = 1
	TypeServerHello         HandshakeType = 2
	TypeHelloVerifyRequest  HandshakeType = 3 // DTLS
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
