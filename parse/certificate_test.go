package parse

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// makeCertificate signs a template with a key of its own.
func makeCertificate(t testing.TB, template *x509.Certificate) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(1)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCertificate(t *testing.T) {
	v6 := net.ParseIP("2001:2::1")
	for _, tt := range []struct {
		name     string
		template *x509.Certificate
		names    []string
	}{
		{"names", &x509.Certificate{
			Subject:  pkix.Name{CommonName: "portal.contoso.test", Organization: []string{"Contoso, Ltd"}, Country: []string{"DE"}},
			DNSNames: []string{"portal.contoso.test", "*.fabrikam.test"}, IPAddresses: []net.IP{{198, 18, 0, 20}, v6},
			EmailAddresses: []string{"admin@contoso.test"},
			NotBefore:      testStart, NotAfter: testStart.AddDate(1, 0, 0),
		}, []string{"portal.contoso.test", "*.fabrikam.test", "198.18.0.20", "2001:2::1"}},
		{"no extensions, either form of time", &x509.Certificate{
			Subject:   pkix.Name{CommonName: "old"},
			NotBefore: time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		}, nil},
		{"name that acts on a terminal", &x509.Certificate{
			DNSNames: []string{"a\x1b[2J.contoso.test"}, NotBefore: testStart, NotAfter: testStart,
		}, []string{`a\x1b[2J.contoso.test`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			der := makeCertificate(t, tt.template)
			sum := sha256.Sum256(der)
			got := parseCertificate(der, sum)
			want := tt.template.Subject.ToRDNSequence().String()
			if got.Malformed != "" || got.SHA256 != sum || got.Subject != want || got.Issuer != want {
				t.Errorf("%+v, want %s", got, want)
			}
			if !got.NotBefore.Equal(tt.template.NotBefore) || !got.NotAfter.Equal(tt.template.NotAfter) {
				t.Errorf("valid from %v to %v", got.NotBefore, got.NotAfter)
			}
			if !slices.Equal(got.Names, tt.names) {
				t.Errorf("names %q", got.Names)
			}
			for n := range der {
				if parseCertificate(der[:n:n], sum).Malformed == "" {
					t.Fatalf("%d of %d bytes pass", n, len(der))
				}
			}
			if c := parseCertificate(append(slices.Clone(der), 0), sum); c.Malformed == "" || c.Subject != want {
				t.Errorf("with a byte behind: %+v", c)
			}
		})
	}
}

// TestCertificateBroken builds certificates field by field.
func TestCertificateBroken(t *testing.T) {
	name := func(s string) string { return tlv(0x30, tlv(0x31, attribute(oidCN, utf8String, s))) }
	validity := func(from, to string) string { return tlv(0x30, tlv(23, from), tlv(23, to)) }
	serial, algorithm, key := tlv(2, "\x01"), tlv(0x30), tlv(0x30)
	good := validity("960102030405Z", "490102030405Z")
	for _, tt := range []struct {
		name, fields, malformed string
		issuer, subject         string
		from, to                time.Time
	}{
		{"version 1", serial + algorithm + name("i") + good + name("s") + key, "", "CN=i", "CN=s",
			time.Date(1996, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2049, 1, 2, 3, 4, 5, 0, time.UTC)},
		{"turn of the century", serial + algorithm + name("i") + validity("500101000000Z", "681231000000Z") + name("s") + key, "", "CN=i", "CN=s",
			time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1968, 12, 31, 0, 0, 0, 0, time.UTC)},
		{"no seconds, an offset", serial + algorithm + name("i") + validity("9601020304Z", "970102030405+0100") + name("s") + key, "", "CN=i", "CN=s",
			time.Date(1996, 1, 2, 3, 4, 0, 0, time.UTC), time.Date(1997, 1, 2, 2, 4, 5, 0, time.UTC)},
		{"no time", serial + algorithm + name("i") + validity("now", "then") + name("s") + key, "validity", "CN=i", "CN=s", time.Time{}, time.Time{}},
		{"issuer is no name", serial + algorithm + tlv(0x30, tlv(2)) + good + name("s") + key, "issuer: an RDN that is not a filled SET", "", "CN=s",
			time.Date(1996, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2049, 1, 2, 3, 4, 5, 0, time.UTC)},
		{"ends behind the issuer", serial + algorithm + name("i"), "the validity is missing", "CN=i", "", time.Time{}, time.Time{}},
		{"no issuer", serial + algorithm, "the issuer is missing", "", "", time.Time{}, time.Time{}},
		{"raw public key", algorithm, "not a certificate", "", "", time.Time{}, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := parseCertificate([]byte(tlv(0x30, tlv(0x30, tt.fields), tlv(0x30), tlv(3, "\x00"))), [32]byte{})
			if c.Malformed != tt.malformed || c.Issuer != tt.issuer || c.Subject != tt.subject || !c.NotBefore.Equal(tt.from) || !c.NotAfter.Equal(tt.to) {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestCertificateDamaged changes every byte: whatever comes of it, no panic.
func TestCertificateDamaged(t *testing.T) {
	der := makeCertificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "a"}, DNSNames: []string{"a.contoso.test"},
		IPAddresses: []net.IP{{198, 18, 0, 20}}})
	for i := range der {
		for _, v := range []byte{0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff} {
			damaged := slices.Clone(der)
			damaged[i] = v
			parseCertificate(damaged, [32]byte{})
			dnString(damaged)
		}
	}
}

func TestCertificateManyNames(t *testing.T) {
	der := makeCertificate(t, &x509.Certificate{DNSNames: slices.Repeat([]string{"a.contoso.test"}, maxNames+7)})
	c := parseCertificate(der, [32]byte{})
	if len(c.Names) != maxNames || c.Malformed != "7 more names left out" {
		t.Errorf("%d names, %q", len(c.Names), c.Malformed)
	}
}

func TestCertificateList(t *testing.T) {
	entry := func(der string) string { return "\x00\x00" + string([]byte{byte(len(der))}) + der }
	rawKey := tlv(0x30, tlv(0x30, tlv(6, "\x2b\x65\x70")), tlv(3, "\x00"+strings.Repeat("k", 32)))
	for _, tt := range []struct {
		name, body string
		want       []string
		malformed  bool
	}{
		{"empty", "\x00\x00\x00", nil, false},
		{"two", entry(entry("aa") + entry("b")), []string{"aa", "b"}, false},
		{"TLS 1.3, empty", "\x00\x00\x00\x00", nil, false},
		{"TLS 1.3", "\x02cc" + entry(entry("aa")+"\x00\x03xyz"+entry("b")+"\x00\x00"), []string{"aa", "b"}, false},
		{"TLS 1.3, extensions cut short", "\x00" + entry(entry("aa")+"\x00\x03xy"), nil, true},
		{"raw public key", entry(rawKey), []string{rawKey}, false},
		{"bytes behind", entry(entry("aa")) + "x", []string{"aa"}, true},
		{"second cut short", entry(entry("aa") + "\x00\x00\x02b"), []string{"aa"}, true},
		{"nothing", "", nil, true},
		{"two bytes", "\x00\x00", nil, true},
		{"chain without end", "\x00\x01\x2c" + strings.Repeat("\x00\x00\x00", 100), slices.Repeat([]string{""}, maxChain), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ders, malformed := parseCertificateList([]byte(tt.body))
			got := []string(nil)
			for _, der := range ders {
				got = append(got, string(der))
			}
			if !slices.Equal(got, tt.want) || (malformed != "") != tt.malformed {
				t.Errorf("got %q, %q", got, malformed)
			}
		})
	}
}

func TestCertificateListOfGo(t *testing.T) {
	server := testIdentity(t, "portal.contoso.test")
	server.Certificate = append(server.Certificate, testIdentity(t, "ca").Certificate...)
	body := bodyOf(t, hellos(t, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
		&tls.Config{Certificates: []tls.Certificate{server}}), Accepter, TypeCertificate)
	ders, malformed := parseCertificateList(body)
	if malformed != "" || !slices.EqualFunc(ders, server.Certificate, bytes.Equal) {
		t.Errorf("%d certificates, %q", len(ders), malformed)
	}
	checkPrefixes(t, body, 0, func(b []byte) (bool, string) {
		_, malformed := parseCertificateList(b)
		return false, malformed
	})
}

func TestCertCache(t *testing.T) {
	var c certCache
	der := makeCertificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "a"}})
	first := c.parse(der)
	if c.parse(slices.Clone(der)) != first {
		t.Error("the same bytes are parsed twice")
	}
	other := slices.Clone(der)
	other[len(other)-1]++
	if c.parse(other) == first {
		t.Error("other bytes give the same certificate")
	}
	for i := range uint32(5 * maxCerts) {
		c.parse(binary.BigEndian.AppendUint32(nil, i))
		if len(c.certs) > maxCerts {
			t.Fatalf("%d entries", len(c.certs))
		}
	}
	for i := range 100 {
		c.parse(bytes.Repeat([]byte{byte(i)}, maxCertsBytes/10))
		if c.bytes > maxCertsBytes {
			t.Fatalf("%d bytes", c.bytes)
		}
	}
	if n := testing.AllocsPerRun(10, func() { c.parse(der) }); n > 0 {
		t.Errorf("a hit costs %v allocations", n)
	}
}

func FuzzCertificate(f *testing.F) {
	der := makeCertificate(f, &x509.Certificate{Subject: pkix.Name{CommonName: "a"}, DNSNames: []string{"a.contoso.test"},
		IPAddresses: []net.IP{{198, 18, 0, 20}}, NotAfter: testStart})
	f.Add(der)
	var b cryptobyte.Builder
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
	})
	f.Add(b.BytesOrPanic())
	f.Fuzz(func(t *testing.T, data []byte) {
		c := parseCertificate(data, [32]byte{})
		checkText(t, c.Names...)
		// Go reads extensions of version 3 only; we take what is there.
		if want, err := x509.ParseCertificate(data); err == nil && c.Malformed == "" && want.Version == 3 {
			if !c.NotBefore.Equal(want.NotBefore) || !c.NotAfter.Equal(want.NotAfter) ||
				len(c.Names) != len(want.DNSNames)+len(want.IPAddresses) {
				t.Fatalf("got %+v; Go says %v to %v, %q, %v", c, want.NotBefore, want.NotAfter, want.DNSNames, want.IPAddresses)
			}
		}
		ders, _ := parseCertificateList(data)
		if len(ders) > maxChain {
			t.Fatalf("%d certificates", len(ders))
		}
	})
}

func BenchmarkCertificate(b *testing.B) {
	der := makeCertificate(b, &x509.Certificate{Subject: pkix.Name{CommonName: "a", Organization: []string{"Contoso"}},
		DNSNames: []string{"portal.contoso.test", "www.contoso.test"}})
	var c certCache
	b.Run("miss", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			parseCertificate(der, [32]byte{})
		}
	})
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.parse(der)
		}
	})
}
