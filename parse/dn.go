package parse

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// DN returns a DER-encoded Name as CertificateRequest.Authorities has it.
func DN(der []byte) string {
	name, err := dnString(der)
	if err != nil {
		name = "#" + hex.EncodeToString(der[:min(len(der), maxNameLen)])
	}
	return name
}

// dnString returns a DER-encoded Name as a distinguished name of RFC 4514: the
// last RDN first, attribute types by their usual short names, or else in dotted
// form with the value in hexadecimal. Characters that could act on a terminal
// are escaped like any other special one. An error means that der is not a Name.
func dnString(der []byte) (string, error) {
	s := cryptobyte.String(der)
	var name cryptobyte.String
	if !s.ReadASN1(&name, asn1.SEQUENCE) {
		return "", errors.New("a Name that is not a SEQUENCE")
	}
	if !s.Empty() {
		return "", errors.New("bytes behind a Name")
	}
	var buf [8]cryptobyte.String
	rdns := buf[:0]
	for !name.Empty() {
		var rdn cryptobyte.String
		if !name.ReadASN1(&rdn, asn1.SET) || rdn.Empty() {
			return "", errors.New("an RDN that is not a filled SET")
		}
		rdns = append(rdns, rdn)
	}
	out := make([]byte, 0, len(der)+16)
	for i, rdn := range slices.Backward(rdns) {
		if i < len(rdns)-1 {
			out = append(out, ',')
		}
		var ok bool
		if out, ok = appendRDN(out, rdn); !ok {
			return "", errors.New("an attribute of a Name that is not a type and a value")
		}
	}
	return string(out), nil
}

// appendRDN appends the attributes of one RDN, joined by plus signs.
func appendRDN(out []byte, rdn cryptobyte.String) ([]byte, bool) {
	for first := true; !rdn.Empty(); first = false {
		var attribute, oid, value cryptobyte.String
		if !rdn.ReadASN1(&attribute, asn1.SEQUENCE) ||
			!attribute.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
			!attribute.ReadAnyASN1Element(&value, nil) || !attribute.Empty() {
			return out, false
		}
		if !first {
			out = append(out, '+')
		}
		name := attributeName(oid)
		text, isText := textOf(value)
		if name != "" && isText {
			out = append(append(out, name...), '=')
			out = appendEscaped(out, text)
			continue
		}
		// Without a known name, or without a string, the value is BER in
		// hexadecimal (RFC 4514 §2.4).
		if name != "" {
			out = append(out, name...)
		} else {
			var ok bool
			if out, ok = appendOID(out, oid); !ok {
				return out, false
			}
		}
		out = hex.AppendEncode(append(out, "=#"...), value)
	}
	return out, true
}

// attributeName returns the short name of an attribute type given as the
// content of an OBJECT IDENTIFIER, empty for none: the table of RFC 4514 §3, the
// descriptors of RFC 4519 and RFC 4524, and what X.509 certificates use besides.
func attributeName(oid []byte) string {
	switch string(oid) {
	case "\x55\x04\x03":
		return "CN"
	case "\x55\x04\x06":
		return "C"
	case "\x55\x04\x07":
		return "L"
	case "\x55\x04\x08":
		return "ST"
	case "\x55\x04\x09":
		return "STREET"
	case "\x55\x04\x0a":
		return "O"
	case "\x55\x04\x0b":
		return "OU"
	case "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19":
		return "DC"
	case "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01":
		return "UID"
	case "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x03":
		return "mail"
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01":
		return "emailAddress"
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02":
		return "unstructuredName"
	case "\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x01":
		return "jurisdictionL"
	case "\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x02":
		return "jurisdictionST"
	case "\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x03":
		return "jurisdictionC"
	}
	if len(oid) == 3 && oid[0] == 0x55 && oid[1] == 0x04 {
		return at(x520Names[:], oid[2])
	}
	return ""
}

// x520Names names attribute types below 2.5.4 that have no capital short name.
var x520Names = [...]string{
	4:  "sn",
	5:  "serialNumber",
	12: "title",
	13: "description",
	15: "businessCategory",
	16: "postalAddress",
	17: "postalCode",
	18: "postOfficeBox",
	20: "telephoneNumber",
	41: "name",
	42: "givenName",
	43: "initials",
	44: "generationQualifier",
	45: "x500UniqueIdentifier",
	46: "dnQualifier",
	49: "distinguishedName",
	51: "houseIdentifier",
	65: "pseudonym",
	97: "organizationIdentifier",
}

// textOf returns the value of an ASN.1 string as UTF-8, as far as it is valid;
// ok is false for a value of another type.
func textOf(element cryptobyte.String) (text []byte, ok bool) {
	const (
		videotexString  = asn1.Tag(21)
		graphicString   = asn1.Tag(25)
		visibleString   = asn1.Tag(26)
		universalString = asn1.Tag(28)
		bmpString       = asn1.Tag(30)
	)
	var value cryptobyte.String
	var tag asn1.Tag
	if !element.ReadAnyASN1(&value, &tag) {
		return nil, false
	}
	switch tag {
	case asn1.UTF8String, asn1.PrintableString, asn1.IA5String, asn1.Tag(18), // NumericString
		visibleString, graphicString, videotexString:
		return value, true
	case asn1.T61String, asn1.GeneralString: // in practice Latin-1
		for _, c := range value {
			text = utf8.AppendRune(text, rune(c))
		}
		return text, true
	case bmpString:
		for ; len(value) >= 2; value = value[2:] {
			text = utf8.AppendRune(text, rune(binary.BigEndian.Uint16(value)))
		}
		return text, value.Empty()
	case universalString:
		for ; len(value) >= 4; value = value[4:] {
			text = utf8.AppendRune(text, rune(min(binary.BigEndian.Uint32(value), math.MaxInt32)))
		}
		return text, value.Empty()
	}
	return nil, false
}

// appendEscaped appends an attribute value, escaped by RFC 4514 §2.4. Beyond
// what that demands, bytes that are not UTF-8 and characters that are not
// printable are escaped as hexadecimal pairs.
func appendEscaped(out, value []byte) []byte {
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRune(value[i:])
		switch {
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r):
			for _, c := range value[i : i+size] {
				out = append(out, '\\')
				out = hex.AppendEncode(out, []byte{c})
			}
			i += size
			continue
		case i == 0 && (r == ' ' || r == '#'), i+1 == len(value) && r == ' ',
			r == '"', r == '+', r == ',', r == ';', r == '<', r == '>', r == '\\':
			out = append(out, '\\')
		}
		out = append(out, value[i:i+size]...)
		i += size
	}
	return out
}

// appendOID appends the dotted form of the content of an OBJECT IDENTIFIER
// (X.690 §8.19); ok is false if it is none, or an arc exceeds 63 bits.
func appendOID(out, content []byte) (_ []byte, ok bool) {
	if len(content) == 0 || content[len(content)-1]&0x80 != 0 {
		return out, false
	}
	var arc uint64
	first := true
	for _, c := range content {
		if arc > math.MaxInt64>>7 {
			return out, false
		}
		arc = arc<<7 | uint64(c&0x7f)
		if c&0x80 != 0 {
			continue
		}
		if first { // two arcs in one
			top := min(arc/40, 2)
			out = strconv.AppendUint(out, top, 10)
			arc -= 40 * top
			first = false
		}
		out = strconv.AppendUint(append(out, '.'), arc, 10)
		arc = 0
	}
	return out, true
}
