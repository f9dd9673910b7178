package parse

import "fmt"

// Extension types that are read (IANA TLS ExtensionType Values).
const (
	extServerName             = 0
	extMaxFragmentLength      = 1
	extSupportedGroups        = 10
	extECPointFormats         = 11
	extSignatureAlgorithms    = 13
	extALPN                   = 16
	extRecordSizeLimit        = 28
	extEncryptThenMAC         = 22
	extExtendedMaster         = 23
	extSessionTicket          = 35
	extPreSharedKey           = 41
	extEarlyData              = 42
	extSupportedVersions      = 43
	extCertificateAuthorities = 47
	extPostHandshakeAuth      = 49
	extALPSOld                = 17513 // application_settings as Chromium first sent it
	extALPS                   = 17613
	extECH                    = 0xfe0d
	extECHDraft8              = 0xfe08 // the drafts 8 to 12 counted up from here
	extESNI                   = 0xffce // encrypted_server_name, what ECH was before
)

// isGREASE reports whether v is one of the 16 values that RFC 8701 reserves
// among cipher suites, extensions, groups, signature schemes and versions.
func isGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// AlertName returns the IANA name of an alert description, "unknown" for an
// unassigned one (RFC 8446 §6.2, RFC 5246 §7.2, RFC 2246 §7.2).
func AlertName(description uint8) string {
	if name := at(alertNames[:], description); name != "" {
		return name
	}
	return "unknown"
}

var alertNames = [...]string{
	0:   "close_notify",
	1:   "end_of_early_data",
	10:  "unexpected_message",
	20:  "bad_record_mac",
	21:  "decryption_failed",
	22:  "record_overflow",
	30:  "decompression_failure",
	40:  "handshake_failure",
	41:  "no_certificate",
	42:  "bad_certificate",
	43:  "unsupported_certificate",
	44:  "certificate_revoked",
	45:  "certificate_expired",
	46:  "certificate_unknown",
	47:  "illegal_parameter",
	48:  "unknown_ca",
	49:  "access_denied",
	50:  "decode_error",
	51:  "decrypt_error",
	52:  "too_many_cids_requested",
	60:  "export_restriction",
	70:  "protocol_version",
	71:  "insufficient_security",
	80:  "internal_error",
	86:  "inappropriate_fallback",
	90:  "user_canceled",
	100: "no_renegotiation",
	109: "missing_extension",
	110: "unsupported_extension",
	111: "certificate_unobtainable",
	112: "unrecognized_name",
	113: "bad_certificate_status_response",
	114: "bad_certificate_hash_value",
	115: "unknown_psk_identity",
	116: "certificate_required",
	117: "general_error",
	120: "no_application_protocol",
	121: "ech_required",
}

// ClientCertificateTypeName returns the IANA name of a ClientCertificateType
// (RFC 5246 §7.4.4, RFC 8422 §5.5), or its number where none is assigned.
func ClientCertificateTypeName(t uint8) string {
	if name := at(clientCertificateTypeNames[:], t); name != "" {
		return name
	}
	return fmt.Sprint(t)
}

var clientCertificateTypeNames = [...]string{
	1:  "rsa_sign",
	2:  "dss_sign",
	3:  "rsa_fixed_dh",
	4:  "dss_fixed_dh",
	5:  "rsa_ephemeral_dh",
	6:  "dss_ephemeral_dh",
	20: "fortezza_dms",
	64: "ecdsa_sign",
	65: "rsa_fixed_ecdh",
	66: "ecdsa_fixed_ecdh",
	67: "gost_sign256",
	68: "gost_sign512",
}

// SignatureSchemeName returns the IANA name of a SignatureScheme (RFC 8446
// §4.2.3). A pair of TLS 1.2 that TLS 1.3 did not take over is named after its
// two halves, as in "dsa_sha256"; anything else is given in hexadecimal.
func SignatureSchemeName(s uint16) string {
	if i := int(s) - 0x0804; i >= 0 && i < len(pssAndEdwardsSchemes) {
		return pssAndEdwardsSchemes[i]
	}
	switch s {
	case 0x0201:
		return "rsa_pkcs1_sha1"
	case 0x0401:
		return "rsa_pkcs1_sha256"
	case 0x0501:
		return "rsa_pkcs1_sha384"
	case 0x0601:
		return "rsa_pkcs1_sha512"
	case 0x0403:
		return "ecdsa_secp256r1_sha256"
	case 0x0503:
		return "ecdsa_secp384r1_sha384"
	case 0x0603:
		return "ecdsa_secp521r1_sha512"
	case 0x0420:
		return "rsa_pkcs1_sha256_legacy"
	case 0x0520:
		return "rsa_pkcs1_sha384_legacy"
	case 0x0620:
		return "rsa_pkcs1_sha512_legacy"
	case 0x0708:
		return "sm2sig_sm3"
	case 0x081a:
		return "ecdsa_brainpoolP256r1tls13_sha256"
	case 0x081b:
		return "ecdsa_brainpoolP384r1tls13_sha384"
	case 0x081c:
		return "ecdsa_brainpoolP512r1tls13_sha512"
	case 0x0904:
		return "mldsa44"
	case 0x0905:
		return "mldsa65"
	case 0x0906:
		return "mldsa87"
	}
	hash, signature := int(s>>8), int(s&0xff)
	if hash >= 1 && hash <= len(hashNames) && signature >= 1 && signature <= len(signatureNames) {
		return signatureNames[signature-1] + "_" + hashNames[hash-1]
	}
	return fmt.Sprintf("0x%04x", s)
}

// pssAndEdwardsSchemes names the schemes from 0x0804 on.
var pssAndEdwardsSchemes = [...]string{
	"rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512", "ed25519", "ed448",
	"rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512",
}

// hashNames and signatureNames name HashAlgorithm and SignatureAlgorithm of
// RFC 5246 §7.4.1.4.1, from 1 on.
var (
	hashNames      = [...]string{"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}
	signatureNames = [...]string{"rsa", "dsa", "ecdsa"}
)

// String returns the IANA name, or the number where none is assigned.
func (t HandshakeType) String() string {
	if name := at(handshakeTypeNames[:], uint8(t)); name != "" {
		return name
	}
	return fmt.Sprint(uint8(t))
}

var handshakeTypeNames = [...]string{
	TypeHelloRequest:        "hello_request",
	TypeClientHello:         "client_hello",
	TypeServerHello:         "server_hello",
	TypeNewSessionTicket:    "new_session_ticket",
	TypeEndOfEarlyData:      "end_of_early_data",
	TypeHelloRetryRequest:   "hello_retry_request",
	TypeEncryptedExtensions: "encrypted_extensions",
	TypeCertificate:         "certificate",
	TypeServerKeyExchange:   "server_key_exchange",
	TypeCertificateRequest:  "certificate_request",
	TypeServerHelloDone:     "server_hello_done",
	TypeCertificateVerify:   "certificate_verify",
	TypeClientKeyExchange:   "client_key_exchange",
	TypeFinished:            "finished",
	TypeCertificateURL:      "certificate_url",
	TypeCertificateStatus:   "certificate_status",
	TypeSupplementalData:    "supplemental_data",
	TypeKeyUpdate:           "key_update",
	TypeCompressedCert:      "compressed_certificate",
	TypeNextProtocol:        "next_protocol",
}

// at returns names[i], or "" where the table has none.
func at(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return ""
}
