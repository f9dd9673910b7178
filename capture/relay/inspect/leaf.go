package inspect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"sync"
	"time"
)

// Bounds of the certificates that a run issues.
const (
	// leafValid is how long one is valid; it is made anew when half of that is
	// over.
	leafValid = 24 * time.Hour
	// maxLeaves is how many are kept, the latest used.
	maxLeaves = 1024
)

// leaves issues certificates and keeps them in memory. All have one key, which is
// made for the run and never leaves it.
type leaves struct {
	ca    *CA
	key   *ecdsa.PrivateKey
	names *recent[*leaf]
}

// leaf is the certificate of one name.
type leaf struct {
	mu   sync.Mutex // held while it is made, so that it is made once
	cert *tls.Certificate
}

func newLeaves(ca *CA) (*leaves, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &leaves{ca: ca, key: key, names: newRecent[*leaf](maxLeaves)}, nil
}

// get returns a certificate for a name that the authority covers.
func (l *leaves) get(name string, now time.Time) (*tls.Certificate, error) {
	if !hostName(name) || !l.ca.Covers(name) {
		return nil, fmt.Errorf("the authority is not for %q", name)
	}
	one := l.names.enter(name, &leaf{}, true)
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.cert != nil && one.cert.Leaf.NotAfter.Sub(now) > leafValid/2 {
		return one.cert, nil
	}
	cert, err := l.issue(name, now)
	if err != nil {
		return nil, err
	}
	one.cert = cert
	return cert, nil
}

func (l *leaves) issue(name string, now time.Time) (*tls.Certificate, error) {
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	until := now.Add(leafValid)
	if until.After(l.ca.Cert.NotAfter) {
		until = l.ca.Cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: []string{name},
		NotBefore: now.Add(-backdate), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if len(name) <= 64 { // ub-common-name (RFC 5280 appendix A.1)
		template.Subject = pkix.Name{CommonName: name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, l.ca.Cert, l.key.Public(), l.ca.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, l.ca.Cert.Raw}, PrivateKey: l.key, Leaf: cert}, nil
}
