package parse

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// maxAuthorities bounds the names kept of a CertificateRequest. The message has
// room for more only if they are absurdly short.
const maxAuthorities = 4096

// parseCertificateRequest reads the body of a CertificateRequest. v is the
// negotiated version, 0 if that is not known: then the layout that fits the
// length exactly is taken. It never returns nil. body is not kept.
func parseCertificateRequest(body []byte, v Version) *CertificateRequest {
	switch {
	case v.IsTLS13():
		return parseRequest13(body)
	case v.TLS() >= TLS12:
		r, _ := parseRequestTypes(body, true)
		return r
	case v != 0:
		r, _ := parseRequestTypes(body, false)
		return r
	}
	r, fits := parseRequestTypes(body, true)
	if !fits {
		if older, fits := parseRequestTypes(body, false); fits {
			return older
		}
	}
	return r
}

// parseRequestTypes reads the layouts that begin with certificate types: of
// SSL 3.0 (RFC 6101 §5.6.4), TLS 1.0 and 1.1 (RFC 4346 §7.4.4), and, with
// signature algorithms, of TLS 1.2 (RFC 5246 §7.4.4). fits tells that all
// lengths add up.
func parseRequestTypes(body []byte, algorithms bool) (r *CertificateRequest, fits bool) {
	r = new(CertificateRequest)
	var bad flaw
	defer func() { r.Malformed = string(bad) }()
	s := cryptobyte.String(body)
	var types, schemes, authorities cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&types) {
		bad.note("CertificateRequest ends in its certificate types")
		return r, false
	}
	r.Types = slices.Clone([]byte(types))
	if algorithms {
		if !s.ReadUint16LengthPrefixed(&schemes) {
			bad.note("CertificateRequest ends in its signature algorithms")
			return r, false
		}
		if !r.readSchemes(schemes) {
			bad.note("signature algorithms of odd length")
		}
	}
	fits = bad == ""
	if !s.ReadUint16LengthPrefixed(&authorities) {
		bad.note("CertificateRequest ends in its authorities")
		return r, false
	}
	if !s.Empty() {
		fits = false
		bad.note("bytes behind the CertificateRequest")
	}
	return r, r.readAuthorities(authorities, &bad) && fits
}

// parseRequest13 reads the layout of TLS 1.3 (RFC 8446 §4.3.2).
func parseRequest13(body []byte) *CertificateRequest {
	r := new(CertificateRequest)
	var bad flaw
	s := cryptobyte.String(body)
	var context, extensions cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&context) {
		r.Malformed = "CertificateRequest ends in its context"
		return r
	}
	if len(context) > 0 {
		r.Context = slices.Clone([]byte(context))
	}
	if !s.ReadUint16LengthPrefixed(&extensions) {
		r.Malformed = "CertificateRequest ends in its extensions"
		return r
	}
	bad.noteIf(!s.Empty(), "bytes behind the CertificateRequest")
	for !extensions.Empty() {
		var typ uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&typ) || !extensions.ReadUint16LengthPrefixed(&data) {
			bad.note("an extension is cut short")
			break
		}
		if slices.Contains(r.Extensions, typ) {
			bad.notef("extension %d comes twice", typ)
			continue
		}
		if len(r.Extensions) < maxExtensions {
			r.Extensions = append(r.Extensions, typ)
		}
		var list cryptobyte.String
		switch typ {
		case extSignatureAlgorithms:
			if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || !r.readSchemes(list) {
				bad.notef("extension %d is malformed", typ)
			}
		case extCertificateAuthorities:
			if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() || !r.readAuthorities(list, &bad) {
				bad.notef("extension %d is malformed", typ)
			}
		}
	}
	bad.noteIf(!slices.Contains(r.Extensions, extSignatureAlgorithms), "signature_algorithms is missing")
	r.Malformed = string(bad)
	return r
}

// readSchemes reads a list of signature algorithms and reports whether it has an
// even length.
func (r *CertificateRequest) readSchemes(list cryptobyte.String) bool {
	r.SignatureAlgorithms = make([]uint16, 0, len(list)/2)
	var v uint16
	for list.ReadUint16(&v) {
		r.SignatureAlgorithms = append(r.SignatureAlgorithms, v)
	}
	return list.Empty()
}

// readAuthorities reads a list of DER-encoded Names and reports whether its
// lengths add up. What is not a Name is kept in hexadecimal, so that its place
// in the list stays.
func (r *CertificateRequest) readAuthorities(list cryptobyte.String, bad *flaw) bool {
	left := 0
	for !list.Empty() {
		var der cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&der) {
			bad.note("an authority is cut short")
			return false
		}
		if len(r.Authorities) == maxAuthorities {
			left++
			continue
		}
		name, err := dnString(der)
		if err != nil {
			bad.notef("authority %d: %v", len(r.Authorities)+1, err)
			name = DN(der)
		}
		r.Authorities = append(r.Authorities, name)
	}
	if left > 0 {
		bad.notef("%d more authorities left out", left)
	}
	return true
}
