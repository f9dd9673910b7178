package parse

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// retryRandom is the Random by which a HelloRetryRequest differs from a
// ServerHello: SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
const retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91" +
	"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"

// parseServerHello reads the body of a ServerHello message (RFC 8446 §4.1.3,
// RFC 5246 §7.4.1.3); retry tells that it is a HelloRetryRequest. The hello is
// nil if its cipher suite cannot be reached; otherwise what could be read
// stands, and malformed tells what is wrong with the rest. fp asks for JA3S.
// body is not kept.
func parseServerHello(body []byte, fp bool) (h *ServerHello, retry bool, malformed string) {
	s := cryptobyte.String(body)
	var version, cipher uint16
	var random []byte
	var session cryptobyte.String
	if !s.ReadUint16(&version) || !s.ReadBytes(&random, 32) {
		return nil, false, "ServerHello cut short"
	}
	// Drafts of TLS 1.3 before 22 put their version here and left out the
	// session id and the compression method.
	oldDraft := version>>8 == 0x7f
	if !oldDraft && !s.ReadUint8LengthPrefixed(&session) || !s.ReadUint16(&cipher) {
		return nil, false, "ServerHello cut short"
	}
	h = &ServerHello{Version: Version(version), Random: [32]byte(random), Cipher: CipherSuite(cipher)}
	var bad flaw
	if len(session) > 0 {
		h.SessionID = slices.Clone([]byte(session))
		bad.noteIf(len(session) > 32, "session id longer than 32 bytes")
	}
	var extensions cryptobyte.String
	var compression uint8
	if !oldDraft && !s.ReadUint8(&compression) {
		bad.note("ServerHello ends before its compression method")
	} else if !s.Empty() {
		extensions = readExtensionBlock(&s, &bad)
		h.readExtensions(extensions, &bad)
	}
	h.compressed = compression != 0
	h.digest = blend(blend(h.digest, uint64(version)), uint64(h.Cipher))
	if fp {
		h.JA3S = ja3s(Version(version), h.Cipher, extensions)
	}
	return h, string(random) == retryRandom, string(bad)
}

// readExtensions reads the extensions one by one. Of several of one type the
// first counts.
func (h *ServerHello) readExtensions(s cryptobyte.String, bad *flaw) {
	var seen struct{ versions, psk, alpn bool }
	for !s.Empty() {
		var typ uint16
		var data cryptobyte.String
		if !s.ReadUint16(&typ) || !s.ReadUint16LengthPrefixed(&data) {
			bad.note("an extension is cut short")
			return
		}
		if !isGREASE(typ) {
			h.digest = blend(h.digest, uint64(typ))
		}
		var again *bool
		ok := true
		switch typ {
		case extSupportedVersions:
			again = &seen.versions
			var v uint16
			if ok = data.ReadUint16(&v) && data.Empty(); ok && !seen.versions {
				h.Version = Version(v)
			}
		case extPreSharedKey:
			again = &seen.psk
			h.PSK = true
		case extALPN:
			again = &seen.alpn
			var list, name cryptobyte.String
			ok = data.ReadUint16LengthPrefixed(&list) && data.Empty() &&
				list.ReadUint8LengthPrefixed(&name) && list.Empty() && len(name) > 0
			if !seen.alpn && len(name) > 0 {
				h.ALPN = protocolName(name)
			}
		case extEncryptThenMAC:
			h.encryptThenMAC = true
			continue
		case extExtendedMaster:
			h.extendedMaster = true
			continue
		default:
			continue
		}
		if *again {
			bad.notef("extension %d comes twice", typ)
		}
		*again = true
		if !ok {
			bad.notef("extension %d is malformed", typ)
		}
	}
}
