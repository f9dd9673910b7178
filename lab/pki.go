//go:build linux

package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Password protects the PKCS #12 files: Java and NSS want one.
const Password = "contoso"

// Identity is a certificate with its key, as files.
type Identity struct {
	// Name is the friendly name in P12 and the nickname in NSS databases.
	Name string
	// Cert and Key are PEM (PKCS #8), Both is Cert and Key in one file, P12 is
	// PKCS #12 under Password.
	Cert, Key, Both, P12 string
}

// PKI is a server CA and two client CAs with the certificates that tests need.
// All CAs are ECDSA P-256.
type PKI struct {
	Dir string
	// ServerCA is the certificate of the servers' CA.
	ServerCA string
	// ServerRSA (2048 bit) and ServerEC (P-256) are for *.contoso.test,
	// *.fabrikam.test, localhost, 198.18.0.20 and 127.0.0.1.
	ServerRSA, ServerEC Identity
	// ClientCA is the issuer of ClientRSA and ClientEC, OtherCA of
	// StrangerRSA; ClientCAs holds both.
	ClientCA, OtherCA, ClientCAs     string
	ClientRSA, ClientEC, StrangerRSA Identity
}

// NewPKI makes a PKI in dir.
func NewPKI(t testing.TB, dir string) *PKI {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &mint{t: t, dir: dir}
	servers, first, second := m.ca("Contoso Server CA"), m.ca("Contoso Client CA"), m.ca("Fabrikam Client CA")
	return &PKI{
		Dir:         dir,
		ServerCA:    m.write("server-ca.pem", servers.pem),
		ServerRSA:   m.leaf(servers, "server-rsa", "www.contoso.test", m.rsa(), true),
		ServerEC:    m.leaf(servers, "server-ec", "www.contoso.test", m.ec(), true),
		ClientCA:    m.write("client-ca.pem", first.pem),
		OtherCA:     m.write("other-ca.pem", second.pem),
		ClientCAs:   m.write("client-cas.pem", append(first.pem[:len(first.pem):len(first.pem)], second.pem...)),
		ClientRSA:   m.leaf(first, "client-rsa", "Robin of Contoso", m.rsa(), false),
		ClientEC:    m.leaf(first, "client-ec", "Kim of Contoso", m.ec(), false),
		StrangerRSA: m.leaf(second, "stranger-rsa", "Sam of Fabrikam", m.rsa(), false),
	}
}

// mint makes certificates; every failure ends the test.
type mint struct {
	t      testing.TB
	dir    string
	serial int64
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func (m *mint) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal("make certificates: ", err)
	}
}

func (m *mint) rsa() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	m.check(err)
	return key
}

func (m *mint) ec() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	m.check(err)
	return key
}

func (m *mint) template(name string) *x509.Certificate {
	m.serial++
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(m.serial),
		Subject:      pkix.Name{Organization: []string{"Contoso"}, CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(30 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func (m *mint) ca(name string) *authority {
	tmpl := m.template(name)
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key := m.ec()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	m.check(err)
	cert, err := x509.ParseCertificate(der)
	m.check(err)
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (m *mint) leaf(ca *authority, name, subject string, key crypto.Signer, server bool) Identity {
	tmpl := m.template(subject)
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if server {
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		tmpl.KeyUsage |= x509.KeyUsageKeyEncipherment
		tmpl.DNSNames = []string{"contoso.test", "*.contoso.test", "fabrikam.test", "*.fabrikam.test", "localhost"}
		tmpl.IPAddresses = []net.IP{net.IPv4(198, 18, 0, 20), net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	m.check(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	m.check(err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	id := Identity{
		Name: name,
		Cert: m.write(name+".pem", cert),
		Key:  m.write(name+".key", secret),
		Both: m.write(name+"-both.pem", append(cert[:len(cert):len(cert)], secret...)),
		P12:  filepath.Join(m.dir, name+".p12"),
	}
	m.run("openssl", "pkcs12", "-export", "-in", id.Both, "-name", name, "-passout", "pass:"+Password, "-out", id.P12)
	return id
}

func (m *mint) write(name string, data []byte) string {
	path := filepath.Join(m.dir, name)
	m.check(os.WriteFile(path, data, 0o644))
	return path
}

func (m *mint) run(name string, args ...string) {
	m.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// NSS makes an NSS database in dir, without a password, that trusts the server
// CA for servers, clientCAs (a PEM file of one certificate each) for clients,
// and holds the identities under their names. Address it as "sql:" + dir.
func (p *PKI) NSS(t testing.TB, dir string, clientCAs []string, ids ...Identity) {
	t.Helper()
	Need(t, "certutil", "pk12util")
	m := &mint{t: t, dir: dir}
	m.check(os.MkdirAll(dir, 0o755))
	db := "sql:" + dir
	m.run("certutil", "-N", "-d", db, "--empty-password")
	m.run("certutil", "-A", "-d", db, "-n", "server-ca", "-t", "C,,", "-i", p.ServerCA)
	for i, ca := range clientCAs {
		m.run("certutil", "-A", "-d", db, "-n", fmt.Sprintf("client-ca-%d", i), "-t", "T,,", "-i", ca)
	}
	for _, id := range ids {
		m.run("pk12util", "-i", id.P12, "-d", db, "-W", Password, "-K", "")
	}
}
