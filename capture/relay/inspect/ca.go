// Package inspect ends TLS between a client and a server on purpose, so that
// what the server asks for can be read where TLS 1.3 seals it and no key log is
// to be had. It holds a certificate authority that is good for a few names only,
// and speaks TLS to both ends; connections, and what is told of them, are the
// relay's.
package inspect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Names of the files of an authority.
const (
	CertFile = "ca.pem"
	KeyFile  = "ca-key.pem"
)

// backdate is how far in the past certificates begin to be valid, for clients
// whose clock is slow.
const backdate = 5 * time.Minute

// CA is a certificate authority.
type CA struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes an authority for domains and the names below them. Its
// certificate says so (RFC 5280 §4.2.1.10, critical), and that it is for servers
// only: what is issued for another name, an address or a client is not accepted.
func NewCA(domains []string, now time.Time, valid time.Duration) (*CA, error) {
	permitted := make([]string, 0, len(domains))
	for _, d := range domains {
		name, err := Domain(d)
		if err != nil {
			return nil, err
		}
		permitted = append(permitted, name)
	}
	if len(permitted) == 0 {
		return nil, errors.New("an authority needs the domains that it is for")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			CommonName:   "whoasked relay " + now.UTC().Format(time.DateOnly) + " " + hex.EncodeToString(serial.Bytes()[:4]),
			Organization: []string{"whoasked relay --inspect"},
		},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(valid),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:                    x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         permitted,
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{cert, key}, nil
}

// serialNumber is random and positive, of 127 bits with the first one set.
func serialNumber() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), 126)
	n, err := rand.Int(rand.Reader, limit)
	if err != nil {
		return nil, err
	}
	return n.Add(n, limit), nil
}

// Domain checks the name of a domain and returns it in lower case. A name with
// no dot would be a whole top-level domain, and is refused.
func Domain(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if net.ParseIP(name) != nil || !strings.Contains(name, ".") || !hostName(name) {
		return "", fmt.Errorf("%q is no domain; want a name such as contoso.test, which includes those below it", s)
	}
	return name, nil
}

// hostName reports whether s can be the name of a host in lower case: letters,
// digits, hyphens and underscores in labels (RFC 1123 §2.1).
func hostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// within reports whether a name is a domain or below it.
func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// Covers reports whether the authority may issue for a name.
func (ca *CA) Covers(name string) bool {
	for _, d := range ca.Cert.PermittedDNSDomains {
		if within(name, d) {
			return true
		}
	}
	return false
}

// Fingerprint is the SHA-256 of the certificate, in hexadecimal.
func (ca *CA) Fingerprint() string {
	sum := sha256.Sum256(ca.Cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Save writes the authority to a folder, which is made if it is not there. What
// is there already is not written over. Only its owner can read the key.
func (ca *CA) Save(dir string) error {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cert, key := filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile)
	if _, err := os.Lstat(cert); err == nil {
		return &os.PathError{Op: "open", Path: cert, Err: os.ErrExist}
	}
	if err := create(key, 0o600, "PRIVATE KEY", der); err != nil {
		return err
	}
	if err := create(cert, 0o644, "CERTIFICATE", ca.Cert.Raw); err != nil {
		return errors.Join(err, os.Remove(key))
	}
	return nil
}

// create writes a PEM file that must not be there.
func create(name string, mode os.FileMode, kind string, der []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// LoadCA reads what Save wrote. An authority without name constraints, one that
// is not valid now, or a key that others can read is refused.
func LoadCA(dir string, now time.Time) (*CA, error) {
	keyName := filepath.Join(dir, KeyFile)
	certDER, err := readPEM(filepath.Join(dir, CertFile), "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, err
	}
	switch {
	case !cert.IsCA || len(cert.PermittedDNSDomains) == 0 || !cert.PermittedDNSDomainsCritical:
		return nil, fmt.Errorf("%s: the authority is not limited to domains", dir)
	case now.Before(cert.NotBefore) || now.After(cert.NotAfter):
		return nil, fmt.Errorf("%s: the authority is valid from %s to %s only", dir, cert.NotBefore.Format(time.DateTime), cert.NotAfter.Format(time.DateTime))
	}
	keyDER, err := readKey(keyName)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyName, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s: it is not the key of %s", keyName, CertFile)
	}
	return &CA{cert, key}, nil
}

// readKey reads a key that only its owner may be able to read.
func readKey(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s: others than its owner can use it (mode %04o)", name, mode)
	}
	return readPEM(name, "PRIVATE KEY")
}

func readPEM(name, kind string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: there is no %s in it", name, kind)
	}
	return block.Bytes, nil
}
