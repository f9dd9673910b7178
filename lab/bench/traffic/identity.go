package traffic

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"time"
)

// epoch is when every capture begins and what the handshakes take for now.
func epoch() time.Time { return time.Date(2026, time.March, 2, 8, 0, 0, 0, time.UTC) }

// identities holds the certificates of all parties.
type identities struct {
	ecdsa, rsa, rsaChain, client tls.Certificate
}

func newIdentities() (*identities, error) {
	caKey, err := newECDSA()
	if err != nil {
		return nil, err
	}
	root := template(1, "Contoso Test Root")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}

	ecKey, err := newECDSA()
	if err != nil {
		return nil, err
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	issue := func(serial int64, name string, key crypto.Signer) tls.Certificate {
		der, e := x509.CreateCertificate(rand.Reader, template(serial, name), root, key.Public(), caKey)
		err = errors.Join(err, e)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	ids := &identities{
		ecdsa:  issue(2, "www.fabrikam.test", ecKey),
		rsa:    issue(3, "www.contoso.test", rsaKey),
		client: issue(4, "Test Person", rsaKey),
	}
	ids.rsaChain = ids.rsa
	ids.rsaChain.Certificate = [][]byte{ids.rsa.Certificate[0], rootDER}
	return ids, err
}

func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Contoso Test"}},
		DNSNames:     []string{name},
		NotBefore:    epoch().AddDate(-1, 0, 0),
		NotAfter:     epoch().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// evenSigner is an ECDSA key whose signatures all have the same length, so that
// two recordings differ in content but not in a single packet length.
type evenSigner struct{ *ecdsa.PrivateKey }

func newECDSA() (evenSigner, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return evenSigner{key}, err
}

// Sign repeats until the signature's DER encoding has its most frequent length,
// which takes two attempts on average.
func (s evenSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	for {
		sig, err := s.PrivateKey.Sign(r, digest, opts)
		if err != nil || len(sig) == 71 {
			return sig, err
		}
	}
}
