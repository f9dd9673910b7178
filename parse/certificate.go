package parse

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of certificates. What a name list holds beyond maxNames is left out and
// said in Malformed.
const (
	maxChain      = 64      // certificates of one message
	maxNames      = 1024    // subjectAltName entries of one certificate
	maxCerts      = 1024    // entries of the cache
	maxCertsBytes = 2 << 20 // DER bytes behind the entries of the cache
)

// parseCertificateList reads the body of a Certificate message and returns the
// certificates, leaf first, borrowed from body. The layouts of TLS ≤ 1.2
// (RFC 5246 §7.4.2) and 1.3 (RFC 8446 §4.4.2) are told apart by which one fits
// the length; a raw public key of TLS 1.2 (RFC 7250 §3) counts as one
// certificate. malformed tells where the layout broke.
func parseCertificateList(body []byte) (ders [][]byte, malformed string) {
	s := cryptobyte.String(body)
	var list, context cryptobyte.String
	if s.ReadUint24LengthPrefixed(&list) && s.Empty() {
		if rawKey := list; len(list) > 3 && rawKey.SkipASN1(asn1.SEQUENCE) && rawKey.Empty() {
			return [][]byte{list}, ""
		}
		return readCertificates(list, false)
	}
	s = body
	if s.ReadUint8LengthPrefixed(&context) && s.ReadUint24LengthPrefixed(&list) && s.Empty() {
		return readCertificates(list, true)
	}
	s = body
	if !s.Skip(3) {
		return nil, "Certificate message cut short"
	}
	ders, _ = readCertificates(s, false)
	return ders, "the length of the Certificate message does not fit its list"
}

// readCertificates reads the entries of a certificate list; those of TLS 1.3
// have extensions.
func readCertificates(list cryptobyte.String, extensions bool) (ders [][]byte, malformed string) {
	for !list.Empty() {
		var der, ext cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) || extensions && !list.ReadUint16LengthPrefixed(&ext) {
			return ders, "a certificate is cut short"
		}
		if len(ders) == maxChain {
			return ders, "more certificates than are read"
		}
		ders = append(ders, der)
	}
	return ders, ""
}

// certCache remembers parsed certificates, as a capture shows the same ones over
// and over: a hit costs one SHA-256. The zero value is ready to use. Its memory
// is bounded; when full it starts anew.
type certCache struct {
	certs map[[32]byte]*Certificate
	bytes int
}

// parse returns the parsed form of a certificate, shared by all that ask: it
// must not be changed. der is not kept.
func (c *certCache) parse(der []byte) *Certificate {
	sum := sha256.Sum256(der)
	if cert, ok := c.certs[sum]; ok {
		return cert
	}
	if c.certs == nil || len(c.certs) >= maxCerts || c.bytes+len(der) > maxCertsBytes {
		c.certs, c.bytes = make(map[[32]byte]*Certificate), 0
	}
	cert := parseCertificate(der, sum)
	c.certs[sum] = cert
	c.bytes += len(der)
	return cert
}

// parseCertificate reads what a report shows of a DER-encoded certificate
// (RFC 5280 §4.1), whose SHA-256 is sum. It stops at the first thing that cannot
// be read. der is not kept.
func parseCertificate(der []byte, sum [32]byte) *Certificate {
	c := &Certificate{SHA256: sum}
	var bad flaw
	c.read(der, &bad)
	c.Malformed = string(bad)
	return c
}

func (c *Certificate) read(der cryptobyte.String, bad *flaw) {
	var cert, tbs, issuer, validity, subject cryptobyte.String
	if !der.ReadASN1(&cert, asn1.SEQUENCE) || !cert.ReadASN1(&tbs, asn1.SEQUENCE) {
		bad.note("not a certificate")
		return
	}
	bad.noteIf(!der.Empty(), "bytes behind the certificate")
	if !tbs.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) || // version
		!tbs.SkipASN1(asn1.INTEGER) || !tbs.SkipASN1(asn1.SEQUENCE) { // serial number, signature
		bad.note("not a certificate") // a raw public key, for example
		return
	}
	if !tbs.ReadASN1Element(&issuer, asn1.SEQUENCE) {
		bad.note("the issuer is missing")
		return
	}
	var err error
	if c.Issuer, err = dnString(issuer); err != nil {
		bad.note("issuer: " + err.Error())
	}
	if !tbs.ReadASN1(&validity, asn1.SEQUENCE) {
		bad.note("the validity is missing")
		return
	}
	bad.noteIf(!readTime(&validity, &c.NotBefore) || !readTime(&validity, &c.NotAfter), "validity")
	if !tbs.ReadASN1Element(&subject, asn1.SEQUENCE) {
		bad.note("the subject is missing")
		return
	}
	if c.Subject, err = dnString(subject); err != nil {
		bad.note("subject: " + err.Error())
	}
	if !tbs.SkipASN1(asn1.SEQUENCE) {
		bad.note("the public key is missing")
		return
	}
	bad.noteIf(!tbs.SkipOptionalASN1(asn1.Tag(1).ContextSpecific()) || // issuerUniqueID
		!tbs.SkipOptionalASN1(asn1.Tag(2).ContextSpecific()), "unique identifier") // subjectUniqueID
	c.readExtensions(tbs, bad)
}

// readExtensions looks for subjectAltName among the extensions, which only
// certificates of version 3 have (RFC 5280 §4.1.2.9).
func (c *Certificate) readExtensions(tbs cryptobyte.String, bad *flaw) {
	if tbs.Empty() {
		return
	}
	var outer, list cryptobyte.String
	if !tbs.ReadASN1(&outer, asn1.Tag(3).ContextSpecific().Constructed()) || !outer.ReadASN1(&list, asn1.SEQUENCE) {
		bad.note("extensions")
		return
	}
	subjectAltName := []byte{0x55, 0x1d, 0x11}
	for !list.Empty() {
		var ext, oid, value, names cryptobyte.String
		if !list.ReadASN1(&ext, asn1.SEQUENCE) || !ext.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
			bad.note("extensions")
			return
		}
		if !bytes.Equal(oid, subjectAltName) {
			continue
		}
		if !ext.SkipOptionalASN1(asn1.BOOLEAN) || !ext.ReadASN1(&value, asn1.OCTET_STRING) ||
			!value.ReadASN1(&names, asn1.SEQUENCE) || !c.readNames(names, bad) {
			bad.note("subjectAltName")
		}
	}
}

// readNames reads GeneralNames (RFC 5280 §4.2.1.6).
func (c *Certificate) readNames(names cryptobyte.String, bad *flaw) bool {
	dnsName, ipAddress := asn1.Tag(2).ContextSpecific(), asn1.Tag(7).ContextSpecific()
	left := 0
	for !names.Empty() {
		var value cryptobyte.String
		var tag asn1.Tag
		if !names.ReadAnyASN1(&value, &tag) {
			return false
		}
		var name string
		switch tag {
		case dnsName:
			name = visible(value)
		case ipAddress:
			ip, ok := netip.AddrFromSlice(value)
			if !ok {
				return false
			}
			name = ip.String()
		default:
			continue
		}
		if len(c.Names) == maxNames {
			left++
			continue
		}
		c.Names = append(c.Names, name)
	}
	if left > 0 {
		bad.notef("%d more names left out", left)
	}
	return true
}

// readTime reads a Time (RFC 5280 §4.1.2.5), and besides what that allows, one
// without seconds or with an offset, as old certificates have it.
func readTime(s *cryptobyte.String, t *time.Time) bool {
	var value cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1(&value, &tag) {
		return false
	}
	layouts := [...]string{"20060102150405Z0700", "200601021504Z0700", "20060102150405"}
	short := tag == asn1.UTCTime
	if !short && tag != asn1.GeneralizedTime {
		return false
	}
	for _, layout := range layouts {
		if short {
			layout = layout[2:]
		}
		parsed, err := time.Parse(layout, string(value))
		if err != nil {
			continue
		}
		if short && parsed.Year() >= 2050 { // time.Parse turns over in 2069
			parsed = parsed.AddDate(-100, 0, 0)
		}
		*t = parsed.UTC()
		return true
	}
	return false
}
