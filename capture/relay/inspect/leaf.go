package inspect

import (
	"container/list"
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
	ca  *CA
	key *ecdsa.PrivateKey

	mu    sync.Mutex
	byAge list.List // of *leaf, the latest used in front
	names map[string]*list.Element
}

// leaf is the certificate of one name.
type leaf struct {
	name string
	mu   sync.Mutex // held while it is made, so that it is made once
	cert *tls.Certificate
}

func newLeaves(ca *CA) (*leaves, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &leaves{ca: ca, key: key, names: make(map[string]*list.Element)}, nil
}

// get returns a certificate for a name that the authority covers.
func (l *leaves) get(name string, now time.Time) (*tls.Certificate, error) {
	if !hostName(name) || !l.ca.Covers(name) {
		return nil, fmt.Errorf("the authority is not for %q", name)
	}
	one := l.entry(name)
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

// entry finds or makes the place of a name.
func (l *leaves) entry(name string) *leaf {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.names[name]; e != nil {
		l.byAge.MoveToFront(e)
		return e.Value.(*leaf)
	}
	if l.byAge.Len() >= maxLeaves {
		oldest := l.byAge.Back()
		l.byAge.Remove(oldest)
		delete(l.names, oldest.Value.(*leaf).name)
	}
	one := &leaf{name: name}
	l.names[name] = l.byAge.PushFront(one)
	return one
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
