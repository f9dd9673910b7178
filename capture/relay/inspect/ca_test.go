package inspect

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func newTestCA(t testing.TB, domains ...string) *CA {
	t.Helper()
	ca, err := NewCA(domains, time.Now(), 30*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func (ca *CA) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.Cert)
	return p
}

// TestConstraints has crypto/x509 verify what the authority could be made to
// sign: only servers in its domains pass.
func TestConstraints(t *testing.T) {
	ca := newTestCA(t, "contoso.test", "Portal.Fabrikam.test.")
	l, err := newLeaves(ca)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, tt := range map[string]struct {
		change func(*x509.Certificate)
		ok     bool
	}{
		"the domain":           {func(c *x509.Certificate) { c.DNSNames = []string{"contoso.test"} }, true},
		"below":                {func(c *x509.Certificate) { c.DNSNames = []string{"a.b.contoso.test"} }, true},
		"the other one":        {func(c *x509.Certificate) { c.DNSNames = []string{"portal.fabrikam.test"} }, true},
		"its parent":           {func(c *x509.Certificate) { c.DNSNames = []string{"fabrikam.test"} }, false},
		"a name that ends so":  {func(c *x509.Certificate) { c.DNSNames = []string{"notcontoso.test"} }, false},
		"another name besides": {func(c *x509.Certificate) { c.DNSNames = []string{"contoso.test", "www.example.org"} }, false},
		"an IPv4 address": {func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = []string{"contoso.test"}, []net.IP{net.IPv4(198, 18, 0, 1)}
		}, false},
		"an IPv6 address": {func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = []string{"contoso.test"}, []net.IP{net.ParseIP("2001:db8::1")}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			template := &x509.Certificate{
				SerialNumber: big.NewInt(7), NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
				ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			}
			tt.change(template)
			der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, l.key.Public(), ca.key)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = cert.Verify(x509.VerifyOptions{Roots: ca.pool()}); (err == nil) != tt.ok {
				t.Errorf("verified: %v", err)
			}
			var invalid x509.CertificateInvalidError
			if err != nil && (!errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName) {
				t.Errorf("refused for another reason: %v", err)
			}
		})
	}
	cert, err := l.get("www.contoso.test", now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: ca.pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("what it signs is good for clients")
	}
	if ca.Cert.MaxPathLen != 0 || !ca.Cert.MaxPathLenZero {
		t.Error("it may have authorities below it")
	}
}

func TestDomain(t *testing.T) {
	for s, want := range map[string]string{
		"contoso.test": "contoso.test", "WWW.Contoso.test.": "www.contoso.test", "xn--bcher-kva.test": "xn--bcher-kva.test",
		"": "", "test": "", ".": "", "*.contoso.test": "", "a..b": "", "198.18.0.1": "", "a b.test": "", "contoso.test:443": "",
		strings.Repeat("a", 64) + ".test": "", strings.Repeat("a.", 126) + "test": "",
	} {
		if got, err := Domain(s); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", s, got, err)
		}
	}
}

func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	ca := newTestCA(t, "contoso.test")
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := newTestCA(t, "contoso.test").Save(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("written over: %v", err)
	}
	key := filepath.Join(dir, KeyFile)
	if runtime.GOOS != "windows" {
		info, err := os.Stat(key)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the key: %v, %v", info.Mode(), err)
		}
	}
	now := time.Now()
	got, err := LoadCA(dir, now)
	if err != nil || got.Fingerprint() != ca.Fingerprint() {
		t.Fatalf("another one is read: %v", err)
	}
	for name, at := range map[string]time.Time{"too early": now.Add(-time.Hour), "too late": now.AddDate(0, 2, 0)} {
		if _, err := LoadCA(dir, at); err == nil {
			t.Errorf("taken %s", name)
		}
	}

	// A certificate that is there is not written over, and no key is left beside it.
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("written over: %v", err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("a key is left")
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := newTestCA(t, "contoso.test").Save(other); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other, KeyFile), key); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCA(dir, now); err == nil {
		t.Error("taken with the key of another")
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(key, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadCA(dir, now); err == nil || !strings.Contains(err.Error(), "0640") {
			t.Errorf("a key that others can read: %v", err)
		}
	}
}

func TestLoadUnlimited(t *testing.T) {
	dir := t.TempDir()
	ca := newTestCA(t, "contoso.test")
	template := *ca.Cert
	template.PermittedDNSDomains, template.ExcludedIPRanges, template.ExtraExtensions, template.Extensions = nil, nil, nil, nil
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCA(dir, time.Now()); err == nil || !strings.Contains(err.Error(), "not limited") {
		t.Errorf("taken: %v", err)
	}
}

func TestLeaves(t *testing.T) {
	ca := newTestCA(t, "contoso.test")
	l, err := newLeaves(ca)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var wg sync.WaitGroup
	serials := make([]string, 32)
	for i := range serials {
		wg.Go(func() {
			cert, err := l.get("www.contoso.test", now)
			if err != nil {
				t.Error(err)
				return
			}
			serials[i] = cert.Leaf.SerialNumber.String()
		})
	}
	wg.Wait()
	for _, s := range serials {
		if s != serials[0] {
			t.Fatal("made more than once")
		}
	}
	cert, err := l.get("www.contoso.test", now.Add(leafValid/2+time.Second))
	if err != nil || cert.Leaf.SerialNumber.String() == serials[0] {
		t.Errorf("not made anew: %v", err)
	}
	if _, err := l.get("www.fabrikam.test", now); err == nil {
		t.Error("made for a name that the authority does not cover")
	}
	long := strings.Repeat("a", 60) + ".contoso.test"
	if cert, err = l.get(long, now); err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: ca.pool(), DNSName: long}); err != nil {
		t.Error(err)
	}
	if cert, err = l.get("www.contoso.test", ca.Cert.NotAfter.Add(-time.Minute)); err != nil || cert.Leaf.NotAfter.After(ca.Cert.NotAfter) {
		t.Errorf("valid for longer than the authority: %v", err)
	}
	for i := range maxLeaves + 100 {
		l.names.enter(fmt.Sprintf("n%d.contoso.test", i), &leaf{}, true)
	}
	if len(l.names.names) != maxLeaves || l.names.byAge.Len() != maxLeaves {
		t.Errorf("%d are kept, %d in order", len(l.names.names), l.names.byAge.Len())
	}
	if _, ok := l.names.find("www.contoso.test"); ok {
		t.Error("the oldest is kept")
	}
}
