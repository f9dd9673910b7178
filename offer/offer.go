// Package offer tells which certificates of a person's a browser would offer in
// answer to a CertificateRequest, and why not the others.
package offer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// Certificate is one that may be offered.
type Certificate struct {
	File string // where it was found
	Leaf *x509.Certificate
	Key  bool // its private key was found, too
}

// Store is the certificates of a person, and those that issued them.
type Store struct {
	Certificates []Certificate
	Issuers      []*x509.Certificate
	keys         []crypto.PublicKey
}

// reason is a row: what has to hold for a certificate to be offered. It tells
// the answer, and in words why, empty where there is nothing to say.
type reason func(*Store, *Certificate, *request) (attribute.Answer, string)

// reasons are all that have to hold.
var reasons = []reason{issued, purpose, usage, valid, signs, keyed}

// request is a CertificateRequest, in the version and at the time it came.
type request struct {
	*parse.CertificateRequest
	tls13 bool
	now   time.Time
}

// Judge tells of each certificate whether a browser would offer it, for a
// request that came at now. The endpoint is left to the caller.
func (s *Store) Judge(r *parse.CertificateRequest, tls13 bool, now time.Time) []attribute.Offer {
	s.settle()
	req := &request{r, tls13, now}
	var out []attribute.Offer
	for i := range s.Certificates {
		c := &s.Certificates[i]
		o := attribute.Offer{File: c.File, Subject: name(c.Leaf.RawSubject), Issuer: name(c.Leaf.RawIssuer), Offered: attribute.Yes}
		var against, doubts, others []string
		for _, look := range reasons {
			switch answer, text := look(s, c, req); {
			case text == "":
			case answer == attribute.No:
				against = append(against, text)
			case answer == attribute.Unknown:
				doubts = append(doubts, text)
			default:
				others = append(others, text)
			}
		}
		switch {
		case len(against) > 0:
			o.Offered, o.Because = attribute.No, against
		case len(doubts) > 0:
			o.Offered, o.Because = attribute.Unknown, append(doubts, others...)
		default:
			o.Because = others
		}
		out = append(out, o)
	}
	return out
}

func name(der []byte) string { return parse.DN(der) }

// maxDepth bounds a chain.
const maxDepth = 8

// issued: the certificate or one of its issuers is issued by an authority that
// the request names (RFC 8446 §4.2.4, RFC 5246 §7.4.4); it may also be one.
// Names are compared as they are written, whatever string type they have.
func issued(s *Store, c *Certificate, r *request) (attribute.Answer, string) {
	if len(r.Authorities) == 0 {
		if r.Malformed != "" {
			return attribute.Unknown, "the authorities of the request could not be read: " + r.Malformed
		}
		return attribute.Yes, "the request names no authority, so that any issuer will do"
	}
	own := name(c.Leaf.RawIssuer)
	issuers, seen := []string{own}, map[string]bool{own: true}
	for depth := 0; len(issuers) > 0 && depth < maxDepth; depth++ {
		for _, issuer := range issuers {
			if !slices.Contains(r.Authorities, issuer) {
				continue
			}
			if depth > 0 {
				return attribute.Yes, fmt.Sprintf("issued by %s, which leads to %s, which the request names", own, issuer)
			}
			return attribute.Yes, "issued by " + issuer + ", which the request names"
		}
		issuers = s.above(issuers, seen)
	}
	if r.Malformed != "" {
		return attribute.Unknown, "the authorities of the request were not read to their end: " + r.Malformed
	}
	text := fmt.Sprintf("issued by %s, and the request names %s", own, theAuthorities(r.Authorities))
	if !s.has(own) {
		text += "; the certificate of the issuer is not in the folder, so that who issued that is not known"
	}
	return attribute.No, text
}

// above returns the names of who issued the authorities of some names.
func (s *Store) above(names []string, seen map[string]bool) []string {
	var out []string
	for _, p := range s.Issuers {
		if !slices.Contains(names, name(p.RawSubject)) {
			continue
		}
		if issuer := name(p.RawIssuer); !seen[issuer] {
			seen[issuer] = true
			out = append(out, issuer)
		}
	}
	return out
}

func (s *Store) has(subject string) bool {
	return slices.ContainsFunc(s.Issuers, func(p *x509.Certificate) bool { return name(p.RawSubject) == subject })
}

// theAuthorities lists a few of them.
func theAuthorities(names []string) string {
	const few = 3
	if len(names) > few {
		return fmt.Sprintf("only others (%s and %d more)", strings.Join(names[:few], "; "), len(names)-few)
	}
	return "only " + strings.Join(names, "; ")
}

// purpose: an extended key usage has to allow clients (RFC 5280 §4.2.1.12).
func purpose(_ *Store, c *Certificate, _ *request) (attribute.Answer, string) {
	uses := c.Leaf.ExtKeyUsage
	if len(uses)+len(c.Leaf.UnknownExtKeyUsage) == 0 || slices.Contains(uses, x509.ExtKeyUsageClientAuth) || slices.Contains(uses, x509.ExtKeyUsageAny) {
		return attribute.Yes, ""
	}
	return attribute.No, "its extended key usage does not allow to authenticate clients"
}

// usage: a key usage has to allow signatures (RFC 5280 §4.2.1.3).
func usage(_ *Store, c *Certificate, _ *request) (attribute.Answer, string) {
	if u := c.Leaf.KeyUsage; u != 0 && u&x509.KeyUsageDigitalSignature == 0 {
		return attribute.No, "its key usage does not allow digital signatures"
	}
	return attribute.Yes, ""
}

func valid(_ *Store, c *Certificate, r *request) (attribute.Answer, string) {
	const day = "2006-01-02"
	switch {
	case r.now.After(c.Leaf.NotAfter):
		return attribute.No, "it expired on " + c.Leaf.NotAfter.UTC().Format(day)
	case r.now.Before(c.Leaf.NotBefore):
		return attribute.No, "it is valid only from " + c.Leaf.NotBefore.UTC().Format(day)
	}
	return attribute.Yes, ""
}

func keyed(_ *Store, c *Certificate, _ *request) (attribute.Answer, string) {
	if c.Key {
		return attribute.Yes, ""
	}
	return attribute.Yes, "if its private key is at hand, which is not in the folder"
}

// signs: the key has to be of a kind that the request takes.
func signs(_ *Store, c *Certificate, r *request) (attribute.Answer, string) {
	kind, typ, schemes := signing(c.Leaf.PublicKey, r.tls13)
	switch {
	case schemes == nil:
		return attribute.Unknown, "its key is of a kind that is not known here (" + c.Leaf.PublicKeyAlgorithm.String() + ")"
	case len(r.Types) > 0 && !slices.Contains(r.Types, typ):
		return attribute.No, fmt.Sprintf("its key is %s, and the request takes %s", kind, typeNames(r.Types))
	case len(r.SignatureAlgorithms) == 0: // TLS 1.1 and before have none
		return attribute.Yes, ""
	case !slices.ContainsFunc(r.SignatureAlgorithms, func(s uint16) bool { return slices.Contains(schemes, s) }):
		return attribute.No, fmt.Sprintf("its key is %s, with which none of the signature algorithms of the request can be made", kind)
	}
	return attribute.Yes, ""
}

// signing returns what a key is, its ClientCertificateType (RFC 5246 §7.4.4, RFC
// 8422 §5.5) and the SignatureSchemes it can make (RFC 8446 §4.2.3); nil for a key
// of another kind.
func signing(key any, tls13 bool) (kind string, typ uint8, schemes []uint16) {
	const rsaSign, ecdsaSign = 1, 64
	switch k := key.(type) {
	case *rsa.PublicKey:
		schemes = []uint16{0x0804, 0x0805, 0x0806}
		if !tls13 { // where PKCS #1 signs certificates only
			schemes = append(schemes, 0x0101, 0x0201, 0x0301, 0x0401, 0x0501, 0x0601)
		}
		return fmt.Sprintf("RSA of %d bits", k.N.BitLen()), rsaSign, schemes
	case *ecdsa.PublicKey:
		kind = "ECDSA on " + k.Curve.Params().Name
		if !tls13 { // where the curve is chosen apart
			return kind, ecdsaSign, []uint16{0x0203, 0x0303, 0x0403, 0x0503, 0x0603}
		}
		switch k.Curve.Params().BitSize {
		case 256:
			return kind, ecdsaSign, []uint16{0x0403}
		case 384:
			return kind, ecdsaSign, []uint16{0x0503}
		case 521:
			return kind, ecdsaSign, []uint16{0x0603}
		}
		return kind, ecdsaSign, []uint16{}
	case ed25519.PublicKey:
		return "Ed25519", ecdsaSign, []uint16{0x0807}
	}
	return "", 0, nil
}

func typeNames(types []uint8) string {
	var out []string
	for _, t := range types {
		out = append(out, parse.ClientCertificateTypeName(t))
	}
	return strings.Join(out, ", ")
}
