package offer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"whoasked/attribute"
	"whoasked/parse"
)

// issuer signs certificates.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs a certificate; a nil issuer signs its own.
func (by *issuer) issue(t *testing.T, name string, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func authority(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
}

func newIssuer(t *testing.T, by *issuer, name string) *issuer {
	key := newKey(t)
	return &issuer{by.issue(t, name, key, authority), key}
}

// TestJudge: each rule, with a certificate that it alone turns down.
func TestJudge(t *testing.T) {
	root := newIssuer(t, nil, "Contoso Root")
	middle := newIssuer(t, root, "Contoso Clients")
	other := newIssuer(t, nil, "Fabrikam")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all := []uint16{0x0403, 0x0804, 0x0401, 0x0807}
	named := func(names ...string) *parse.CertificateRequest {
		return &parse.CertificateRequest{SignatureAlgorithms: all, Authorities: names}
	}
	good := middle.issue(t, "alice", newKey(t), nil)
	for _, tt := range []struct {
		name string
		leaf *x509.Certificate
		r    *parse.CertificateRequest
		old  bool // TLS 1.2
		want attribute.Answer
		why  string
	}{
		{"issued by a named authority", good, named("CN=Contoso Clients"), false, attribute.Yes, "issued by CN=Contoso Clients, which the request names"},
		{"whose authority it names", good, named("CN=X", "CN=Contoso Root"), false, attribute.Yes, "CN=Contoso Clients, which leads to CN=Contoso Root"},
		{"any authority", good, named(), false, attribute.Yes, "names no authority"},
		{"other authorities", good, named("CN=Fabrikam"), false, attribute.No, "issued by CN=Contoso Clients, and the request names only CN=Fabrikam"},
		{"an issuer that is not at hand", other.issue(t, "bob", newKey(t), nil), named("CN=Above"), false, attribute.No, "is not in the folder"},
		{"half a request", good, &parse.CertificateRequest{SignatureAlgorithms: all, Malformed: "cut"}, false, attribute.Unknown, "could not be read: cut"},
		{"a list that was cut", good, &parse.CertificateRequest{SignatureAlgorithms: all, Authorities: []string{"CN=X"}, Malformed: "cut"}, false, attribute.Unknown, "not read to their end"},
		{"a list that was cut behind the right one", good, &parse.CertificateRequest{SignatureAlgorithms: all, Authorities: []string{"CN=Contoso Root"}, Malformed: "cut"}, false, attribute.Yes, "which leads to"},
		{"for servers", middle.issue(t, "www", newKey(t), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), named(), false, attribute.No, "extended key usage"},
		{"for any purpose", middle.issue(t, "any", newKey(t), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), named(), false, attribute.Yes, ""},
		{"for no purpose in particular", middle.issue(t, "none", newKey(t), func(c *x509.Certificate) { c.ExtKeyUsage, c.KeyUsage = nil, 0 }), named(), false, attribute.Yes, ""},
		{"for encryption", middle.issue(t, "enc", newKey(t), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), named(), false, attribute.No, "digital signatures"},
		{"expired", middle.issue(t, "old", newKey(t), func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, -1, 0) }), named(), false, attribute.No, "expired on 2026-08-01"},
		{"not yet valid", middle.issue(t, "new", newKey(t), func(c *x509.Certificate) { c.NotBefore = now.AddDate(0, 1, 0) }), named(), false, attribute.No, "valid only from 2026-10-01"},
		{"a type that is not taken", good, &parse.CertificateRequest{Types: []uint8{1}, SignatureAlgorithms: all}, true, attribute.No, "the request takes rsa_sign"},
		{"a type that is taken", good, &parse.CertificateRequest{Types: []uint8{1, 64}, SignatureAlgorithms: all}, true, attribute.Yes, ""},
		{"a request without algorithms", good, &parse.CertificateRequest{Types: []uint8{64}}, true, attribute.Yes, ""},
		{"no algorithm for the curve", good, &parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0503}}, false, attribute.No, "ECDSA on P-256"},
		{"which TLS 1.2 does not tie to it", good, &parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0503}}, true, attribute.Yes, ""},
		{"RSA with PKCS #1 in TLS 1.3", middle.issue(t, "rsa", rsaKey, nil), &parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0401}}, false, attribute.No, "RSA of 2048 bits"},
		{"RSA with PKCS #1 in TLS 1.2", middle.issue(t, "rsa", rsaKey, nil), &parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0401}}, true, attribute.Yes, ""},
		{"RSA with PSS", middle.issue(t, "rsa", rsaKey, nil), &parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0804}}, false, attribute.Yes, ""},
		{"Ed25519", middle.issue(t, "ed", edKey, nil), &parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0807}}, false, attribute.Yes, ""},
		{"Ed25519 not taken", middle.issue(t, "ed", edKey, nil), &parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0403}}, false, attribute.No, "Ed25519"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Store{Issuers: []*x509.Certificate{middle.cert, root.cert, tt.leaf}, Certificates: []Certificate{{"f", tt.leaf, true}}}
			got := s.Judge(tt.r, !tt.old, now)
			if len(got) != 1 || got[0].Offered != tt.want || !strings.Contains(strings.Join(got[0].Because, "; "), tt.why) {
				t.Fatalf("%+v, want %v because %q", got, tt.want, tt.why)
			}
			if tt.want == attribute.No && len(got[0].Because) != 1 {
				t.Errorf("%q, want one reason", got[0].Because)
			}
		})
	}
}

// TestJudgeAsReal: what is compared is what the parser makes of a request that
// crypto/tls writes, and the choice is that of crypto/tls.
func TestJudgeAsReal(t *testing.T) {
	root := newIssuer(t, nil, "Contoso, \"Root\" + 1")
	ours := root.issue(t, "alice", newKey(t), nil)
	theirs := newIssuer(t, nil, "Fabrikam").issue(t, "bob", newKey(t), nil)
	r := &parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0403}, Authorities: []string{parse.DN(root.cert.RawSubject)}}
	info := &tls.CertificateRequestInfo{
		AcceptableCAs: [][]byte{root.cert.RawSubject}, SignatureSchemes: []tls.SignatureScheme{0x0403}, Version: tls.VersionTLS13,
	}
	for _, leaf := range []*x509.Certificate{ours, theirs} {
		s := &Store{Certificates: []Certificate{{"f", leaf, true}}}
		oracle := info.SupportsCertificate(&tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: newKey(t)}) == nil
		if got := s.Judge(r, true, now)[0]; (got.Offered == attribute.Yes) != oracle {
			t.Errorf("%+v, crypto/tls says %v", got, oracle)
		}
	}
}

// TestLoops: authorities that issued each other come to an end.
func TestLoops(t *testing.T) {
	a, b := newIssuer(t, nil, "A"), newIssuer(t, nil, "B")
	ab, ba := a.issue(t, "B", b.key, authority), b.issue(t, "A", a.key, authority)
	leaf := a.issue(t, "alice", newKey(t), nil)
	s := &Store{Issuers: []*x509.Certificate{ab, ba}, Certificates: []Certificate{{"f", leaf, true}}}
	if got := s.Judge(&parse.CertificateRequest{SignatureAlgorithms: []uint16{0x0403}, Authorities: []string{"CN=C"}}, true, now)[0]; got.Offered != attribute.No {
		t.Errorf("%+v", got)
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestAdd(t *testing.T) {
	root := newIssuer(t, nil, "Root")
	key := newKey(t)
	leaf := root.issue(t, "alice", key, nil)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p12, err := pkcs12.Modern.Encode(key, leaf, []*x509.Certificate{root.cert}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	cert := pemOf("CERTIFICATE", leaf.Raw)
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		certs int
		key   bool
		err   string
	}{
		{"PEM without key", map[string][]byte{"a.pem": cert}, 1, false, ""},
		{"PEM with its key", map[string][]byte{"a.pem": slices.Concat(pemOf("PRIVATE KEY", pkcs8), cert)}, 1, true, ""},
		{"key in another file", map[string][]byte{"a.crt": cert, "a.key": pemOf("PRIVATE KEY", pkcs8)}, 1, true, ""},
		{"sealed key", map[string][]byte{"a.pem": slices.Concat(cert, pemOf("ENCRYPTED PRIVATE KEY", []byte("x")))}, 1, true, ""},
		{"key of another", map[string][]byte{"a.pem": slices.Concat(cert, pemOf("PRIVATE KEY", []byte("x")))}, 1, false, ""},
		{"DER", map[string][]byte{"a.cer": leaf.Raw}, 1, false, ""},
		{"PKCS #12", map[string][]byte{"a.p12": p12}, 1, true, ""},
		{"twice", map[string][]byte{"a.cer": leaf.Raw, "a.p12": p12}, 1, true, ""},
		{"authority only", map[string][]byte{"a.cer": root.cert.Raw}, 0, false, ""},
		{"text", map[string][]byte{"readme.txt": []byte("hello")}, 0, false, "neither PEM nor a certificate"},
		{"cut PEM", map[string][]byte{"a.pem": cert[:len(cert)-30]}, 0, false, "cut short"},
		{"broken certificate", map[string][]byte{"a.pem": pemOf("CERTIFICATE", leaf.Raw[:20])}, 0, false, "certificate 1:"},
		{"broken PKCS #12", map[string][]byte{"a.pfx": p12[:40]}, 0, false, "pkcs12"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := new(Store)
			failed := ""
			for file, data := range tt.files {
				if err := s.Add(file, data, "secret"); err != nil {
					failed = err.Error()
				}
			}
			s.settle()
			if !strings.Contains(failed, tt.err) || (tt.err == "") != (failed == "") || len(s.Certificates) != tt.certs {
				t.Fatalf("%d certificates, %q", len(s.Certificates), failed)
			}
			if tt.certs > 0 && s.Certificates[0].Key != tt.key {
				t.Errorf("key: %v", s.Certificates[0].Key)
			}
		})
	}
	if err := new(Store).Add("a.p12", p12, "wrong"); err == nil || !strings.Contains(err.Error(), "WHOASKED_CLIENT_CERT_PASSWORD") {
		t.Error(err)
	}
}
