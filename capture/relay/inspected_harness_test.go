package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"whoasked/capture/relay/inspect"
)

// authority signs for servers and users of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	own := identity(t, name)
	key := own.PrivateKey.(*ecdsa.PrivateKey)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *authority) issue(t testing.TB, name string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Unix(0, 0), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// inspection is who takes part in a test.
type inspection struct {
	servers *authority // vouches for servers
	users   *authority // and for users
	ca      *inspect.CA
	trust   *x509.CertPool // of clients: the CA of the relay
	server  tls.Certificate
	user    tls.Certificate
}

func newInspection(t testing.TB) *inspection {
	t.Helper()
	n := &inspection{servers: newAuthority(t, "Servers"), users: newAuthority(t, "Users"), trust: x509.NewCertPool()}
	var err error
	if n.ca, err = inspect.NewCA([]string{"contoso.test"}, time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	n.trust.AddCert(n.ca.Cert)
	n.server, n.user = n.servers.issue(t, "www.contoso.test", time.Unix(1<<32, 0)), n.users.issue(t, "alice", time.Unix(1<<32, 0))
	return n
}

func (n *inspection) options(t testing.TB, change func(*inspect.Options)) *Inspect {
	t.Helper()
	o := inspect.Options{CA: n.ca, Domains: []string{"contoso.test"}, Roots: n.servers.pool()}
	if change != nil {
		change(&o)
	}
	i, err := inspect.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &Inspect{Inspector: i, Keys: func([]byte) {}}
}

// client trusts the relay and nobody else.
func (n *inspection) client(version uint16, protocols ...string) *tls.Config {
	return &tls.Config{ServerName: "www.contoso.test", RootCAs: n.trust, MinVersion: version, MaxVersion: version, NextProtos: protocols}
}

// seenByServer is what a server knows of its latest client whose handshake went
// through.
type seenByServer struct {
	mu    sync.Mutex
	state tls.ConnectionState
	count int
}

// after waits until the server has had so many connections, and returns what it
// knows of the latest; more are an error.
func (s *seenByServer) after(t *testing.T, count int) tls.ConnectionState {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n, state := s.count, s.state
		s.mu.Unlock()
		if n >= count || time.Now().After(deadline) {
			if n != count {
				t.Errorf("the server had %d connections, want %d", n, count)
			}
			return state
		}
	}
}

// echoTLS is a TLS server that sends back what it gets, and then closes.
func echoTLS(t testing.TB, config *tls.Config) (netip.AddrPort, *seenByServer) {
	seen := &seenByServer{}
	return serve(t, func(c *net.TCPConn) {
		defer c.Close()
		s := tls.Server(c, config)
		err := s.Handshake()
		seen.mu.Lock()
		if err == nil {
			seen.state = s.ConnectionState()
		}
		seen.count++
		seen.mu.Unlock()
		if err != nil {
			return
		}
		_, _ = io.Copy(s, s)
		_ = s.CloseWrite()
	}), seen
}

// talk sends a line and wants it back.
func talk(raw net.Conn, config *tls.Config) (*tls.ConnectionState, error) {
	_ = raw.SetDeadline(time.Now().Add(time.Minute))
	c := tls.Client(raw, config)
	defer raw.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		return nil, err
	}
	state := c.ConnectionState()
	return &state, c.Close()
}

func issuer(s *tls.ConnectionState) string { return s.PeerCertificates[0].Issuer.CommonName }

func (j *judged) trouble(t *testing.T, kind Kind) *Trouble {
	t.Helper()
	for timeout := time.After(10 * time.Second); ; {
		select {
		case tr := <-j.troubles:
			if tr.Kind == kind {
				return tr
			}
			t.Logf("also: %v", tr)
		case <-timeout:
			t.Fatalf("nothing is told of %v", kind)
		}
	}
}
