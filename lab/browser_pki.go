//go:build linux

package lab

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
)

// sitePKI replaces the PKI of the lab by one whose names make sense to a person,
// and returns the file of the authorities that sites name which ask, and a
// certificate for each list of names. A browser would use one connection for two
// names that share one otherwise (RFC 9113 §9.1.1).
func (l *Lab) sitePKI(names ...[]string) (cas string, ids []*Identity) {
	l.T.Helper()
	m := &mint{t: l.T, dir: l.dir("site-pki")}
	servers, devices, staff := m.ca("Contoso Server CA"), m.ca("Contoso Device CA"), m.ca("Contoso Staff CA")
	for _, group := range names {
		ids = append(ids, m.site(servers, group))
	}
	l.PKI = &PKI{
		Dir:       m.dir,
		ServerCA:  m.write("server-ca.pem", servers.pem),
		ServerRSA: *ids[0],
		ClientRSA: m.leaf(devices, "robin", "Robin's laptop", m.rsa(), false),
	}
	return m.write("client-cas.pem", append(devices.pem[:len(devices.pem):len(devices.pem)], staff.pem...)), ids
}

// site makes the certificate of a server for a year.
func (m *mint) site(ca *authority, names []string) *Identity {
	key := m.rsa()
	tmpl := m.template(names[0])
	tmpl.NotAfter = tmpl.NotBefore.AddDate(1, 0, 0)
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	tmpl.DNSNames = names
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	m.check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	m.check(err)
	return &Identity{
		Cert: m.write(names[0]+".pem", pemBlock("CERTIFICATE", der)),
		Key:  m.write(names[0]+".key", pemBlock("PRIVATE KEY", secret)),
	}
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
