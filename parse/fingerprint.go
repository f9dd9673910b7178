package parse

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
)

// ja3 returns the MD5 in hexadecimal of the hello's legacy version, suites,
// extensions, groups and point formats, all in decimal and in the order sent,
// GREASE left out.
func ja3(h *ClientHello, p *helloParts) string {
	var groups, formats cryptobyte.String
	p.groups.ReadUint16LengthPrefixed(&groups)
	p.formats.ReadUint8LengthPrefixed(&formats)
	var buf [512]byte
	b := strconv.AppendUint(buf[:0], uint64(h.LegacyVersion), 10)
	b = appendDecimals(append(b, ','), uint16s(p.suites))
	b = appendDecimals(append(b, ','), extensionTypes(p.extensions))
	b = appendDecimals(append(b, ','), uint16s(groups))
	b = append(b, ',')
	for i, f := range formats {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(f), 10)
	}
	return md5Hex(b)
}

// ja3s returns the MD5 in hexadecimal of the version field, the suite and the
// extensions of a ServerHello.
func ja3s(legacy Version, suite CipherSuite, extensions cryptobyte.String) string {
	var buf [128]byte
	b := strconv.AppendUint(buf[:0], uint64(legacy), 10)
	b = strconv.AppendUint(append(b, ','), uint64(suite), 10)
	b = appendDecimals(append(b, ','), extensionTypes(extensions))
	return md5Hex(b)
}

// ja4 returns the JA4 of a hello over TCP or DTLS, in three parts: a readable one, a hash
// of the sorted suites, and a hash of the sorted extensions with the signature
// schemes in the order sent.
func ja4(h *ClientHello, p *helloParts) string {
	suites, extensions := uint16s(p.suites), extensionTypes(p.extensions)
	sni := byte('i')
	if slices.Contains(extensions, extServerName) {
		sni = 'd'
	}
	var buf [64]byte
	newest := slices.MaxFunc(h.Versions, newer)
	transport := byte('t')
	if newest.TLS() != newest {
		transport = 'd'
	}
	b := append(buf[:0], transport)
	b = append(b, ja4Version(newest)...)
	b = append(b, sni)
	b = appendCount(b, len(suites))
	b = appendCount(b, len(extensions))
	b = append(b, ja4ALPN(p.alpn)...)

	slices.Sort(suites)
	b = appendShortHash(append(b, '_'), appendHexes(nil, suites))

	extensions = slices.DeleteFunc(extensions, func(t uint16) bool { return t == extServerName || t == extALPN })
	slices.Sort(extensions)
	list := appendHexes(nil, extensions)
	var schemes cryptobyte.String
	if p.schemes.ReadUint16LengthPrefixed(&schemes) {
		if s := uint16s(schemes); len(s) > 0 {
			list = appendHexes(append(list, '_'), s)
		}
	}
	return string(appendShortHash(append(b, '_'), list))
}

func ja4Version(v Version) string {
	switch v {
	case TLS13:
		return "13"
	case TLS12:
		return "12"
	case TLS11:
		return "11"
	case TLS10:
		return "10"
	case SSL30:
		return "s3"
	case SSL20:
		return "s2"
	case DTLS13:
		return "d3"
	case DTLS12:
		return "d2"
	case DTLS10:
		return "d1"
	}
	return "00"
}

// ja4ALPN returns the first and the last character of the first ALPN name, or
// of its hexadecimal form if either is not alphanumeric.
func ja4ALPN(name []byte) string {
	if len(name) == 0 {
		return "00"
	}
	first, last := name[0], name[len(name)-1]
	if !isAlphanumeric(first) || !isAlphanumeric(last) {
		const digits = "0123456789abcdef"
		first, last = digits[first>>4], digits[last&0xf]
	}
	return string([]byte{first, last})
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// uint16s reads a list of 16-bit values, GREASE left out.
func uint16s(s cryptobyte.String) []uint16 {
	list := make([]uint16, 0, len(s)/2)
	var v uint16
	for s.ReadUint16(&v) {
		if !isGREASE(v) {
			list = append(list, v)
		}
	}
	return list
}

// extensionTypes reads the types of a block of extensions, GREASE left out.
func extensionTypes(s cryptobyte.String) []uint16 {
	list := make([]uint16, 0, 24)
	var typ uint16
	var data cryptobyte.String
	for s.ReadUint16(&typ) && s.ReadUint16LengthPrefixed(&data) {
		if !isGREASE(typ) {
			list = append(list, typ)
		}
	}
	return list
}

// appendDecimals appends values in decimal, joined by hyphens.
func appendDecimals(b []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	return b
}

// appendHexes appends values as four hexadecimal digits each, joined by commas.
func appendHexes(b []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = hex.AppendEncode(b, []byte{byte(v >> 8), byte(v)})
	}
	return b
}

// appendCount appends a count of two digits, 99 for any larger.
func appendCount(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

// appendShortHash appends the first twelve hexadecimal digits of the SHA-256 of
// data, zeros for no data.
func appendShortHash(b, data []byte) []byte {
	if len(data) == 0 {
		return append(b, "000000000000"...)
	}
	sum := sha256.Sum256(data)
	return hex.AppendEncode(b, sum[:6])
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}
