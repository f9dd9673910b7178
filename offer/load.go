package offer

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// Bounds of a Store.
const (
	MaxFileBytes    = 4 << 20
	maxCertificates = 4096
)

var errTooMany = fmt.Errorf("more than %d certificates", maxCertificates)

// Add reads a file: certificates and keys in PEM, a certificate in DER, or PKCS
// #12 with a password. An error says what is wrong with it; what was read before
// stays.
func (s *Store) Add(file string, data []byte, password string) error {
	switch ext := strings.ToLower(filepath.Ext(file)); {
	case ext == ".p12" || ext == ".pfx":
		return s.addPKCS12(file, data, password)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return s.addPEM(file, data)
	}
	leaf, err := x509.ParseCertificate(data)
	if err != nil {
		return errors.New("holds neither PEM nor a certificate in DER")
	}
	return s.add(file, leaf, false)
}

func (s *Store) addPKCS12(file string, data []byte, password string) error {
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return errors.New("the password is another (it is taken from WHOASKED_CLIENT_CERT_PASSWORD)")
	}
	if err != nil {
		return err
	}
	for _, c := range chain {
		if err := s.add(file, c, false); err != nil {
			return err
		}
	}
	return s.add(file, leaf, key != nil)
}

func (s *Store) addPEM(file string, data []byte) error {
	var certs []*x509.Certificate
	sealed, blocks := false, 0
	for len(certs) <= maxCertificates {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			break
		}
		blocks++
		switch {
		case b.Type == "CERTIFICATE" || b.Type == "TRUSTED CERTIFICATE":
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return fmt.Errorf("certificate %d: %w", len(certs)+1, err)
			}
			certs = append(certs, c)
		case b.Type == "ENCRYPTED PRIVATE KEY", b.Headers["DEK-Info"] != "":
			sealed = true
		case strings.HasSuffix(b.Type, "PRIVATE KEY"):
			if key := publicKey(b.Bytes); key != nil && len(s.keys) < maxCertificates {
				s.keys = append(s.keys, key)
			}
		}
	}
	if blocks == 0 {
		return errors.New("holds PEM that is cut short")
	}
	for i, c := range certs {
		// A sealed key is taken to belong to the first certificate, as in the files
		// that servers and curl take.
		if err := s.add(file, c, sealed && i == 0); err != nil {
			return err
		}
	}
	return nil
}

// publicKey returns the public part of a private key in DER, nil for one that
// cannot be read.
func publicKey(der []byte) crypto.PublicKey {
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if private, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			if private, err = x509.ParseECPrivateKey(der); err != nil {
				return nil
			}
		}
	}
	if signer, ok := private.(crypto.Signer); ok {
		return signer.Public()
	}
	return nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && b != nil && k.Equal(b)
}

// add takes a certificate into the store. The same one in several files counts
// once.
func (s *Store) add(file string, c *x509.Certificate, key bool) error {
	if len(s.Certificates)+len(s.Issuers) >= maxCertificates {
		return errTooMany
	}
	s.Issuers = append(s.Issuers, c)
	for i := range s.Certificates {
		if have := &s.Certificates[i]; have.Leaf.Equal(c) {
			have.Key = have.Key || key
			return nil
		}
	}
	s.Certificates = append(s.Certificates, Certificate{File: file, Leaf: c, Key: key})
	return nil
}

// settle finds the certificates that keys of any file belong to, and leaves those
// of authorities without one to issue others.
func (s *Store) settle() {
	for i := range s.Certificates {
		c := &s.Certificates[i]
		c.Key = c.Key || slices.ContainsFunc(s.keys, func(k crypto.PublicKey) bool { return samePublicKey(c.Leaf.PublicKey, k) })
	}
	s.Certificates = slices.DeleteFunc(s.Certificates, func(c Certificate) bool { return c.Leaf.IsCA && !c.Key })
}
