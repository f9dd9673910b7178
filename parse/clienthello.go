package parse

import (
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Bounds of what a ClientHello keeps; honest ones stay far below.
const (
	maxExtensions = 256
	maxProtocols  = 64  // ALPN names
	maxNameLen    = 255 // bytes of a server name or an ALPN name before escaping
)

// helloParts are the borrowed pieces of a ClientHello that fingerprints are
// made from; nil for what was not there.
type helloParts struct {
	suites     cryptobyte.String
	extensions cryptobyte.String // the whole block
	groups     cryptobyte.String // body of supported_groups
	formats    cryptobyte.String // body of ec_point_formats
	schemes    cryptobyte.String // body of signature_algorithms
	alpn       cryptobyte.String // the first ALPN name that is not GREASE
}

// parseClientHello reads the body of a ClientHello message (RFC 8446 §4.1.2).
// The hello is nil if its cipher suites cannot be reached; otherwise what could
// be read stands, and malformed tells what is wrong with the rest. fp asks for
// JA3 and JA4. body is not kept.
func parseClientHello(body []byte, fp bool) (h *ClientHello, malformed string) {
	s := cryptobyte.String(body)
	var legacy uint16
	var random []byte
	var session, compression cryptobyte.String
	var p helloParts
	if !s.ReadUint16(&legacy) || !s.ReadBytes(&random, 32) ||
		!s.ReadUint8LengthPrefixed(&session) || !s.ReadUint16LengthPrefixed(&p.suites) {
		return nil, "ClientHello cut short"
	}
	h = &ClientHello{LegacyVersion: Version(legacy), Random: [32]byte(random), GREASE: hasGREASE(p.suites)}
	var bad flaw
	if len(session) > 0 {
		h.SessionID = slices.Clone([]byte(session))
		bad.noteIf(len(session) > 32, "session id longer than 32 bytes")
	}
	bad.noteIf(len(p.suites) == 0 || len(p.suites)%2 != 0, "cipher suites")
	if !s.ReadUint8LengthPrefixed(&compression) {
		bad.note("ClientHello ends before its compression methods")
	} else if !s.Empty() { // SSL 3.0 and TLS 1.0 know hellos without extensions
		p.extensions = readExtensionBlock(&s, &bad)
		h.readExtensions(&p, &bad)
	}
	if len(h.Versions) == 0 {
		h.Versions = []Version{h.LegacyVersion}
	}
	if h.digest = helloDigest(h, &p); fp {
		h.JA3, h.JA4 = ja3(h, &p), ja4(h, &p)
	}
	return h, string(bad)
}

// readExtensionBlock reads the extensions of a hello, as far as they are there.
func readExtensionBlock(s *cryptobyte.String, bad *flaw) cryptobyte.String {
	var block cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&block) {
		bad.note("extensions cut short")
		return *s // the length has been read, and as much as there is follows
	}
	bad.noteIf(!s.Empty(), "bytes behind the extensions")
	return block
}

// readExtensions reads the extensions one by one. Of several of one type the
// first counts.
func (h *ClientHello) readExtensions(p *helloParts, bad *flaw) {
	h.Extensions = make([]uint16, 0, 20)
	for s := p.extensions; !s.Empty(); {
		var typ uint16
		var data cryptobyte.String
		if !s.ReadUint16(&typ) || !s.ReadUint16LengthPrefixed(&data) {
			bad.note("an extension is cut short")
			return
		}
		switch {
		case isGREASE(typ):
			h.GREASE = true
			continue
		case slices.Contains(h.Extensions, typ):
			bad.notef("extension %d comes twice", typ)
			continue
		case len(h.Extensions) < maxExtensions:
			h.Extensions = append(h.Extensions, typ)
		}
		if !h.readExtension(typ, data, p) {
			bad.notef("extension %d is malformed", typ)
		}
	}
}

// readExtension takes what is of interest from one extension.
func (h *ClientHello) readExtension(typ uint16, data cryptobyte.String, p *helloParts) bool {
	switch typ {
	case extServerName:
		return h.readServerName(data)
	case extALPN:
		return h.readALPN(data, p)
	case extSupportedVersions:
		return h.readVersions(data)
	case extSupportedGroups:
		p.groups = data
	case extECPointFormats:
		p.formats = data
	case extSignatureAlgorithms:
		p.schemes = data
	case extMaxFragmentLength, extRecordSizeLimit:
		h.FragmentLimit = true
	case extSessionTicket:
		h.Ticket = len(data) > 0
	case extPreSharedKey:
		h.PSK = true
	case extEarlyData:
		h.EarlyData = true
	case extPostHandshakeAuth:
		h.PostHandshakeAuth = true
	case extALPS, extALPSOld:
		h.ALPS = true
	case extESNI:
		h.ECH = true
	}
	if typ >= extECHDraft8 && typ <= extECH {
		h.ECH = true
	}
	return true
}

// readServerName reads server_name (RFC 6066 §3). The first host name counts;
// names of other types are passed over.
func (h *ClientHello) readServerName(data cryptobyte.String) bool {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) {
		return false
	}
	ok, seen := data.Empty() && !list.Empty(), false
	for !list.Empty() {
		var typ uint8
		var name cryptobyte.String
		if !list.ReadUint8(&typ) || !list.ReadUint16LengthPrefixed(&name) {
			return false
		}
		if typ != 0 {
			continue
		}
		if seen || len(name) == 0 || len(name) > maxNameLen {
			ok = false
		}
		if !seen {
			seen, h.ServerName = true, visible(name)
		}
	}
	return ok
}

// readALPN reads application_layer_protocol_negotiation (RFC 7301 §3.1).
func (h *ClientHello) readALPN(data cryptobyte.String, p *helloParts) bool {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) {
		return false
	}
	ok := data.Empty() && !list.Empty()
	for !list.Empty() {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) {
			return false
		}
		ok = ok && len(name) > 0
		if len(name) == 2 && isGREASE(uint16(name[0])<<8|uint16(name[1])) {
			continue
		}
		if p.alpn == nil {
			p.alpn = name
		}
		if len(h.ALPN) < maxProtocols {
			if h.ALPN == nil {
				h.ALPN = make([]string, 0, 2)
			}
			h.ALPN = append(h.ALPN, protocolName(name))
		}
	}
	return ok
}

// readVersions reads supported_versions (RFC 8446 §4.2.1).
func (h *ClientHello) readVersions(data cryptobyte.String) bool {
	var list cryptobyte.String
	if !data.ReadUint8LengthPrefixed(&list) {
		return false
	}
	h.Versions = make([]Version, 0, len(list)/2)
	var v uint16
	for list.ReadUint16(&v) {
		if !isGREASE(v) {
			h.Versions = append(h.Versions, Version(v))
		}
	}
	return list.Empty() && data.Empty()
}

// parseSSL2ClientHello reads a ClientHello in the SSL 2.0 layout, be it of
// SSL 2.0 itself or one that offers more (RFC 5246 §E.2); rec is the record
// without its two-byte header. The fingerprints are not defined for it.
func parseSSL2ClientHello(rec []byte, _ bool) (h *ClientHello, malformed string) {
	s := cryptobyte.String(rec)
	var typ uint8
	var version, suitesLen, sessionLen, challengeLen uint16
	var suites, session, challenge []byte
	if !s.ReadUint8(&typ) || !s.ReadUint16(&version) ||
		!s.ReadUint16(&suitesLen) || !s.ReadUint16(&sessionLen) || !s.ReadUint16(&challengeLen) ||
		!s.ReadBytes(&suites, int(suitesLen)) || !s.ReadBytes(&session, int(sessionLen)) {
		return nil, "SSL 2.0 ClientHello cut short"
	}
	h = &ClientHello{LegacyVersion: Version(version), Versions: []Version{Version(version)}, SSL2: true}
	if len(session) > 0 {
		h.SessionID = slices.Clone(session)
	}
	var bad flaw
	bad.noteIf(typ != uint8(TypeClientHello), "not a ClientHello")
	bad.noteIf(suitesLen == 0 || suitesLen%3 != 0, "cipher suites")
	switch {
	case !s.ReadBytes(&challenge, int(challengeLen)):
		bad.note("SSL 2.0 ClientHello ends before its challenge")
	case challengeLen > 32:
		bad.note("challenge longer than 32 bytes")
	default: // right-justified in the random
		copy(h.Random[32-len(challenge):], challenge)
	}
	bad.noteIf(!s.Empty(), "bytes behind the SSL 2.0 ClientHello")
	return h, string(bad)
}

// hasGREASE reports whether a list of 16-bit values holds a reserved one.
func hasGREASE(list cryptobyte.String) bool {
	var v uint16
	for list.ReadUint16(&v) {
		if isGREASE(v) {
			return true
		}
	}
	return false
}

// protocolName returns an ALPN name for display.
func protocolName(b []byte) string {
	switch string(b) { // spares most connections an allocation
	case "h2":
		return "h2"
	case "http/1.1":
		return "http/1.1"
	}
	return visible(b)
}

// visible returns bytes from the wire as text that is safe in a terminal, a log
// and a table: anything but visible ASCII is escaped as \xNN, the backslash as
// \\, and what exceeds maxNameLen bytes is cut off.
func visible(b []byte) string {
	b = b[:min(len(b), maxNameLen)]
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '\\' }
	if !slices.ContainsFunc(b, func(c byte) bool { return !plain(c) }) {
		return string(b)
	}
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		switch {
		case plain(c):
			out = append(out, c)
		case c == '\\':
			out = append(out, `\\`...)
		default:
			out = fmt.Appendf(out, `\x%02x`, c)
		}
	}
	return string(out)
}

// flaw keeps the first thing found wrong with a message.
type flaw string

func (f *flaw) note(what string) {
	if *f == "" {
		*f = flaw(what)
	}
}

func (f *flaw) noteIf(wrong bool, what string) {
	if wrong {
		f.note(what)
	}
}

func (f *flaw) notef(format string, args ...any) {
	if *f == "" {
		*f = flaw(fmt.Sprintf(format, args...))
	}
}
