package parse

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// tlv builds one DER element of at most 127 bytes of content.
func tlv(tag byte, content ...string) string {
	joined := strings.Join(content, "")
	return string([]byte{tag, byte(len(joined))}) + joined
}

// attribute builds an AttributeTypeAndValue; oid is the content of the type.
func attribute(oid string, tag byte, value string) string {
	return tlv(0x30, tlv(0x06, oid), tlv(tag, value))
}

const (
	oidCN = "\x55\x04\x03"
	oidSN = "\x55\x04\x04"
	oidC  = "\x55\x04\x06"
	oidL  = "\x55\x04\x07"
	oidO  = "\x55\x04\x0a"
	oidOU = "\x55\x04\x0b"
	oidDC = "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"

	utf8String, printableString, t61String, ia5String, universalString, bmpString = 12, 19, 20, 22, 28, 30
)

func TestDNString(t *testing.T) {
	rdn := func(attributes ...string) string { return tlv(0x31, attributes...) }
	name := func(rdns ...string) string { return tlv(0x30, rdns...) }
	cn := func(value string) string { return name(rdn(attribute(oidCN, utf8String, value))) }
	for _, tt := range []struct{ name, der, want string }{
		{"empty", name(), ""},
		// The examples of RFC 4514 §4.
		{"RFC: reversed", name(rdn(attribute(oidDC, ia5String, "net")), rdn(attribute(oidDC, ia5String, "example")),
			rdn(attribute("\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", utf8String, "jsmith"))), "UID=jsmith,DC=example,DC=net"},
		{"RFC: two values", name(rdn(attribute(oidDC, ia5String, "net")), rdn(attribute(oidDC, ia5String, "example")),
			rdn(attribute(oidOU, utf8String, "Sales"), attribute(oidCN, utf8String, "J.  Smith"))), "OU=Sales+CN=J.  Smith,DC=example,DC=net"},
		{"RFC: quotes and comma", name(rdn(attribute(oidDC, ia5String, "net")), rdn(attribute(oidDC, ia5String, "example")),
			rdn(attribute(oidCN, utf8String, `James "Jim" Smith, III`))), `CN=James \"Jim\" Smith\, III,DC=example,DC=net`},
		{"RFC: carriage return", name(rdn(attribute(oidDC, ia5String, "net")), rdn(attribute(oidDC, ia5String, "example")),
			rdn(attribute(oidCN, utf8String, "Before\rAfter"))), `CN=Before\0dAfter,DC=example,DC=net`},
		{"RFC: no known type", name(rdn(attribute("\x2b\x06\x01\x04\x01\x8b\x3a\x00", 4, "Hi"))), "1.3.6.1.4.1.1466.0=#04024869"},
		{"RFC: Lučić", cn("Lu\u010di\u0107"), "CN=Lučić"},

		{"every special character", cn(`"+,;<>\=`), `CN=\"\+\,\;\<\>\\=`},
		{"hash in front only", cn("#a#"), `CN=\#a#`},
		{"blanks at both ends", cn("  a  "), `CN=\  a \ `},
		{"one blank", cn(" "), `CN=\ `},
		{"NUL", cn("a\x00b"), `CN=a\00b`},
		{"empty value", cn(""), "CN="},
		{"terminal escape", cn("a\x1b[2Jb\u009b1m"), `CN=a\1b[2Jb\c2\9b1m`},
		{"direction override", cn("abc\u202etxt.exe"), `CN=abc\e2\80\aetxt.exe`},
		{"line separator", cn("a\u2028b"), `CN=a\e2\80\a8b`},
		{"not UTF-8", cn("a\xff\xc3"), `CN=a\ff\c3`},
		{"Latin-1 in a PrintableString", name(rdn(attribute(oidO, printableString, "M\xfcller"))), `O=M\fcller`},
		{"T61String", name(rdn(attribute(oidO, t61String, "M\xfcller"))), "O=Müller"},
		{"BMPString", name(rdn(attribute(oidL, bmpString, "\x00K\x00\xf6\x00l\x00n"))), "L=Köln"},
		{"BMPString of odd length", name(rdn(attribute(oidL, bmpString, "\x00K\x00"))), "L=#1e03004b00"},
		{"UniversalString", name(rdn(attribute(oidL, universalString, "\x00\x00\x00K\x00\x01\xf6\x00"))), "L=K😀"},
		{"UniversalString beyond Unicode", name(rdn(attribute(oidL, universalString, "\xff\xff\xff\xff"))), "L=\ufffd"},
		{"known type, no string", name(rdn(attribute(oidC, 2, "\x05"))), "C=#020105"},
		{"emailAddress", name(rdn(attribute("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", ia5String, "a@contoso.test"))), "emailAddress=a@contoso.test"},
		{"serialNumber and surname", name(rdn(attribute("\x55\x04\x05", printableString, "7")), rdn(attribute(oidSN, utf8String, "B"))), "sn=B,serialNumber=7"},
		{"unnamed type of X.520", name(rdn(attribute("\x55\x04\x06\x01", utf8String, "x"))), "2.5.4.6.1=#0c0178"},
		{"arc of two bytes below 2", name(rdn(attribute("\x88\x37\x03", utf8String, "x"))), "2.999.3=#0c0178"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := dnString([]byte(tt.der))
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
			for n := range tt.der {
				if s, err := dnString([]byte(tt.der[:n])); err == nil {
					t.Errorf("%d of %d bytes pass for %q", n, len(tt.der), s)
				}
			}
		})
	}
	for name, der := range map[string]string{
		"bytes behind":           name() + "\x00",
		"empty RDN":              name(rdn()),
		"empty attribute":        name(rdn(tlv(0x30))),
		"type without value":     name(rdn(tlv(0x30, tlv(6, oidCN)))),
		"three fields":           name(rdn(tlv(0x30, tlv(6, oidCN), tlv(12, "a"), tlv(12, "b")))),
		"empty type":             name(rdn(attribute("", utf8String, "a"))),
		"type that does not end": name(rdn(attribute("\x55\x84", utf8String, "a"))),
		"arc beyond 63 bits":     name(rdn(attribute("\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", utf8String, "a"))),
		"SET":                    tlv(0x31),
	} {
		if s, err := dnString([]byte(der)); err == nil {
			t.Errorf("%s: passes for %q", name, s)
		}
	}
}

// TestDNStringLikeGo compares with crypto/x509/pkix, which names fewer types.
func TestDNStringLikeGo(t *testing.T) {
	for _, n := range []pkix.Name{
		{CommonName: "portal.contoso.test", Organization: []string{"Contoso, Ltd"}, Country: []string{"DE"}},
		{CommonName: `a+b<c>"d\e;f`, OrganizationalUnit: []string{"#1", " x "}, Province: []string{"NRW"}, Locality: []string{"Köln"}},
		{CommonName: "*.fabrikam.test", StreetAddress: []string{"1 Way"}, ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{1, 2, 3, 40000, 5}, Value: "x"}}},
	} {
		der, err := asn1.Marshal(n.ToRDNSequence())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := dnString(der); err != nil || got != n.String() {
			t.Errorf("got %s, %v; Go says %s", got, err, n)
		}
	}
}

func FuzzDN(f *testing.F) {
	f.Add([]byte(tlv(0x30, tlv(0x31, attribute(oidCN, utf8String, " a, "), attribute(oidL, bmpString, "\x00K")), tlv(0x31, attribute("\x2a\x03", 4, "Hi")))))
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := dnString(der)
		if err != nil {
			return
		}
		if !utf8.ValidString(s) {
			t.Fatalf("%q is not UTF-8", s)
		}
		for _, r := range s {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q is not safe to print", s)
			}
		}
		if len(s) > 4*len(der) {
			t.Fatalf("%d bytes out of %d", len(s), len(der))
		}
	})
}
