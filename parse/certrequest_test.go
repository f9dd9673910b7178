package parse

import (
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

func TestCertificateRequest(t *testing.T) {
	authority := tlv(0x30, tlv(0x31, attribute(oidCN, utf8String, "Contoso CA")))
	list := func(names ...string) []byte {
		var b cryptobyte.Builder
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, name := range names {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
			}
		})
		return b.BytesOrPanic()
	}
	tls10 := slices.Concat([]byte{2, 1, 64}, list(authority))
	tls12 := slices.Concat([]byte{2, 1, 64, 0, 4, 4, 3, 8, 4}, list(authority, authority))
	var b cryptobyte.Builder
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("context")) })
	addExtensions(&b, []testExtension{{13, []byte{0, 2, 8, 4}}, {47, list(authority)}, {50, []byte{0, 2, 4, 1}}, {48, []byte{0, 0}}})
	tls13 := b.BytesOrPanic()
	want10 := CertificateRequest{Types: []byte{1, 64}, Authorities: []string{"CN=Contoso CA"}}
	want12 := CertificateRequest{Types: []byte{1, 64}, SignatureAlgorithms: []uint16{0x0403, 0x0804}, Authorities: []string{"CN=Contoso CA", "CN=Contoso CA"}}
	want13 := CertificateRequest{Context: []byte("context"), SignatureAlgorithms: []uint16{0x0804},
		Authorities: []string{"CN=Contoso CA"}, Extensions: []uint16{13, 47, 50, 48}}
	for _, tt := range []struct {
		name     string
		body     []byte
		versions []Version
		want     CertificateRequest
	}{
		{"TLS 1.0", tls10, []Version{SSL30, TLS10, TLS11, 0}, want10},
		{"TLS 1.2", tls12, []Version{TLS12, 0}, want12},
		{"TLS 1.3", tls13, []Version{TLS13, 0x7f1c}, want13},
		{"TLS 1.0, no authorities", []byte{1, 1, 0, 0}, []Version{TLS10, 0}, CertificateRequest{Types: []byte{1}}},
		{"TLS 1.2, no authorities", []byte{1, 1, 0, 2, 4, 1, 0, 0}, []Version{TLS12, 0},
			CertificateRequest{Types: []byte{1}, SignatureAlgorithms: []uint16{0x0401}}},
		// The trace of RFC 8448 §6.
		{"RFC 8448", unhex(t, `00 00 24 00 0d 00 20 00 1e 04 03 05 03 06 03 02 03 08 04 08 05 08 06
			04 01 05 01 06 01 02 01 04 02 05 02 06 02 02 02`), []Version{TLS13}, CertificateRequest{Extensions: []uint16{13},
			SignatureAlgorithms: []uint16{0x0403, 0x0503, 0x0603, 0x0203, 0x0804, 0x0805, 0x0806,
				0x0401, 0x0501, 0x0601, 0x0201, 0x0402, 0x0502, 0x0602, 0x0202}}},
		{"not a name", slices.Concat([]byte{1, 1}, list("\x30\x05", authority)), []Version{TLS11, 0}, CertificateRequest{Types: []byte{1},
			Authorities: []string{"#3005", "CN=Contoso CA"}, Malformed: "authority 1: a Name that is not a SEQUENCE"}},
		{"empty name", slices.Concat([]byte{1, 1}, list("")), []Version{TLS11}, CertificateRequest{Types: []byte{1},
			Authorities: []string{"#"}, Malformed: "authority 1: a Name that is not a SEQUENCE"}},
		{"bytes behind", append(slices.Clone(tls10), 7), []Version{TLS10}, func() CertificateRequest {
			r := want10
			r.Malformed = "bytes behind the CertificateRequest"
			return r
		}()},
		{"odd signature algorithms", []byte{1, 1, 0, 3, 4, 1, 4, 0, 0}, []Version{TLS12}, CertificateRequest{Types: []byte{1},
			SignatureAlgorithms: []uint16{0x0401}, Malformed: "signature algorithms of odd length"}},
		{"TLS 1.3 without signature algorithms", []byte{0, 0, 0}, []Version{TLS13}, CertificateRequest{Malformed: "signature_algorithms is missing"}},
		{"TLS 1.3, twice", unhex(t, "00 0010 000d 0004 0002 0804 000d 0004 0002 0401"), []Version{TLS13}, CertificateRequest{
			Extensions: []uint16{13}, SignatureAlgorithms: []uint16{0x0804}, Malformed: "extension 13 comes twice"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range tt.versions {
				if got := parseCertificateRequest(tt.body, v); !reflect.DeepEqual(*got, tt.want) {
					t.Errorf("as %v: got %+v, want %+v", v, *got, tt.want)
				}
			}
			if tt.want.Malformed == "" {
				for n := range tt.body {
					if got := parseCertificateRequest(tt.body[:n:n], tt.versions[0]); got.Malformed == "" {
						t.Errorf("%d of %d bytes pass for %+v", n, len(tt.body), got)
					}
				}
			}
		})
	}
	short := list(slices.Repeat([]string{tlv(0x30)}, maxAuthorities+3)...)
	if r := parseCertificateRequest(append([]byte{1, 1}, short...), TLS10); len(r.Authorities) != maxAuthorities || r.Malformed != "3 more authorities left out" {
		t.Errorf("%d authorities, %q", len(r.Authorities), r.Malformed)
	}
}

func TestCertificateRequestOfGo(t *testing.T) {
	server := testIdentity(t, "portal.contoso.test")
	pool := x509.NewCertPool()
	var want []string
	for _, name := range []string{"Contoso CA", "Fabrikam, CA"} {
		ca, err := x509.ParseCertificate(testIdentity(t, name).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		pool.AddCert(ca)
		want = append(want, "CN="+strings.ReplaceAll(name, ",", `\,`))
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		body := bodyOf(t, hellos(t, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version},
			&tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS10, ClientAuth: tls.RequestClientCert, ClientCAs: pool}),
			Accepter, TypeCertificateRequest)
		for _, v := range []Version{Version(version), 0} {
			r := parseCertificateRequest(body, v)
			if r.Malformed != "" || !slices.Equal(r.Authorities, want) || len(r.Types) == 0 || (len(r.SignatureAlgorithms) > 0) != (version == tls.VersionTLS12) {
				t.Errorf("%v as %v: %+v", tls.VersionName(version), v, r)
			}
		}
	}
}

func FuzzCertificateRequest(f *testing.F) {
	name := tlv(0x30, tlv(0x31, attribute(oidCN, utf8String, "a")))
	names := "\x00" + string([]byte{byte(len(name) + 2)}) + "\x00" + string([]byte{byte(len(name))}) + name
	f.Add([]byte("\x01\x01"+names), uint16(TLS10))
	f.Add([]byte("\x01\x01\x00\x02\x04\x01"+names), uint16(0))
	f.Add([]byte("\x01x\x00\x0a\x00\x0d\x00\x04\x00\x02\x08\x04\x00\x2f\x00\x00"), uint16(TLS13))
	f.Fuzz(func(t *testing.T, body []byte, version uint16) {
		r := parseCertificateRequest(body, Version(version))
		if len(r.Authorities) > maxAuthorities || len(r.Extensions) > maxExtensions {
			t.Fatalf("%d authorities, %d extensions", len(r.Authorities), len(r.Extensions))
		}
		if len(body) == 0 && r.Malformed == "" {
			t.Fatal("nothing passes for a request")
		}
	})
}
