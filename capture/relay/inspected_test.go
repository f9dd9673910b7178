package relay

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"whoasked/attribute"
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

// TestInspected runs servers that ask, may be refused, or do not, behind each way
// in, with every answer.
func TestInspected(t *testing.T) {
	n := newInspection(t)
	count := 0
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAndVerifyClientCert} {
			for _, choice := range []inspect.Choice{inspect.AnswerNone, inspect.AnswerCertificate, inspect.Mirror, inspect.Pass} {
				for _, way := range []string{"fixed", "connect", "socks5", "sni"} {
					protocol := [...]string{"h2", "http/1.1", "", "h2"}[choice]
					t.Run(fmt.Sprintf("%s/%v/choice=%d/%s", tls.VersionName(version), auth, choice, way), func(t *testing.T) {
						testInspected(t, n, way, version, auth, choice, protocol)
					})
					count++
				}
			}
		}
	}
	t.Logf("%d scenarios", count)
}

func testInspected(t *testing.T, n *inspection, way string, version uint16, auth tls.ClientAuthType, choice inspect.Choice, protocol string) {
	to, seen := echoTLS(t, &tls.Config{
		Certificates: []tls.Certificate{n.server}, ClientAuth: auth, ClientCAs: n.users.pool(), NextProtos: []string{"h2", "http/1.1"},
	})
	in := n.options(t, func(o *inspect.Options) { o.OnRequest, o.Certificate = choice, &n.user })
	w := wayIn{func(string) Way { return SNI(to.Port()) }, plainly, nil}
	if way != "sni" {
		w = ways(t)[way]
	}
	r := judge(t, w.way(to.String()), Options{Dial: Dial{Resolver: toServer(to)}, Inspect: in})
	raw, err := w.connect(r.addr, to.String())
	if err != nil {
		t.Fatal(err)
	}
	client := n.client(version)
	if protocol != "" {
		client.NextProtos = []string{protocol}
	}
	var wanted *tls.CertificateRequestInfo
	client.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		wanted = request
		return &n.user, nil
	}
	asks := auth != tls.NoClientCert
	// A server that requires a certificate is passed through if it is answered
	// without; with TLS 1.2 it refuses in the handshake, before the client is told
	// anything.
	refuses := auth == tls.RequireAndVerifyClientCert && (choice == inspect.AnswerNone || choice == inspect.Mirror)
	passes := asks && choice == inspect.Pass || refuses && choice == inspect.AnswerNone && version == tls.VersionTLS12
	if passes {
		client.RootCAs = n.servers.pool()
	}
	state, err := talk(raw, client)

	v := r.verdict(t)
	want, basis := attribute.No, attribute.Unsealed
	if asks {
		want = attribute.Yes
	}
	if version == tls.VersionTLS12 {
		basis = attribute.Seen
	}
	if v.Asked != want || v.Basis != basis || asks && v.By != to {
		t.Errorf("asked %v by %v, basis %v; want %v by %v, %v: %s", v.Asked, v.By, v.Basis, want, to, basis, v.Reason)
	}
	refused := refuses && !passes
	if (err != nil) != refused {
		t.Fatalf("talking: %v", err)
	}
	if (wanted != nil) != (asks && choice == inspect.Mirror || passes) {
		t.Errorf("the client was asked: %+v", wanted)
	}
	if wanted != nil && (len(wanted.AcceptableCAs) != 1 || !bytes.Equal(wanted.AcceptableCAs[0], n.users.cert.RawSubject)) {
		t.Errorf("it was asked for %q", wanted.AcceptableCAs)
	}
	if asks && choice == inspect.Mirror {
		if tr := r.trouble(t, KindOffered); !strings.Contains(tr.Error(), `"CN=alice", issued by "CN=Users"`) {
			t.Errorf("offered: %v", tr)
		}
	}
	server := seen.after(t, map[bool]int{false: 1, true: 2}[passes])
	if got := len(server.PeerCertificates) > 0; got != (asks && choice == inspect.AnswerCertificate || passes) {
		t.Errorf("the server got a certificate: %v", got)
	}
	if refused {
		r.trouble(t, KindServerTLS)
		return
	}
	if server.Version != version || server.NegotiatedProtocol != protocol || server.ServerName != "www.contoso.test" {
		t.Errorf("the server has %s, %q, %q", tls.VersionName(server.Version), server.NegotiatedProtocol, server.ServerName)
	}
	if state.Version != version || state.NegotiatedProtocol != protocol {
		t.Errorf("the client has %s, %q", tls.VersionName(state.Version), state.NegotiatedProtocol)
	}
	if got := issuer(state) == "Servers"; got != passes {
		t.Errorf("the client has a certificate of %s", issuer(state))
	}
	if passes { // from now on, without another try
		r.trouble(t, map[bool]Kind{false: KindPassed, true: KindServerTLS}[refuses])
		raw, err := w.connect(r.addr, to.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := talk(raw, client); err != nil {
			t.Error(err)
		}
		seen.after(t, 3)
	}
}

// TestNotInspected: what is not TLS to one of the domains passes untouched.
func TestNotInspected(t *testing.T) {
	n := newInspection(t)
	other := n.servers.issue(t, "www.fabrikam.test", time.Unix(1<<32, 0))
	to, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{other}})
	r := judge(t, fixedTo(t, to), Options{Inspect: n.options(t, nil)})
	for name, config := range map[string]*tls.Config{
		"another name":             {ServerName: "www.fabrikam.test", RootCAs: n.servers.pool()},
		"no name":                  {InsecureSkipVerify: true},
		"a name that ends like it": {ServerName: "notcontoso.test", InsecureSkipVerify: true},
	} {
		state, err := talk(dialTCP(t, r.addr), config)
		if err != nil || issuer(state) != "Servers" {
			t.Errorf("%s: %v, %+v", name, err, state)
		}
		r.verdict(t)
	}
	plain := serve(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("220 hello\r\n")); _, _ = io.Copy(c, c); c.Close() })
	r = judge(t, fixedTo(t, plain), Options{Inspect: n.options(t, nil)})
	c := dialTCP(t, r.addr)
	if b := make([]byte, 5); !readAll(c, b) || string(b) != "220 h" { // behind the time that a client has to begin
		t.Errorf("from a server that speaks first: %q", b)
	}
	c = dialTCP(t, r.addr)
	_, _ = c.Write([]byte("EHLO"))
	if b := make([]byte, 15); !readAll(c, b) || string(b) != "220 hello\r\nEHLO" {
		t.Errorf("what is not TLS: %q", b)
	}
	c = dialTCP(t, r.addr)
	_, _ = c.Write([]byte("\x16\x03\x01\x00\x05hello"))
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "220 hello\r\n\x16\x03\x01\x00\x05hello" {
		t.Errorf("what only begins like TLS: %q, %v", b, err)
	}
}

func readAll(c net.Conn, b []byte) bool {
	_, err := io.ReadFull(c, b)
	return err == nil
}

// TestInspectFailing: a server that cannot be verified is passed through, and
// remembered, or fails, as it was chosen.
func TestInspectFailing(t *testing.T) {
	n := newInspection(t)
	for name, tt := range map[string]struct {
		server tls.Certificate
		why    string
	}{
		"expired":      {n.servers.issue(t, "www.contoso.test", time.Now().Add(-time.Hour)), "expired"},
		"another name": {n.servers.issue(t, "else.contoso.test", time.Unix(1<<32, 0)), "not www.contoso.test"},
		"not known":    {identity(t, "www.contoso.test"), "unknown authority"},
	} {
		for _, fail := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/fail=%v", name, fail), func(t *testing.T) {
				to, seen := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{tt.server}, ClientAuth: tls.RequestClientCert})
				in := n.options(t, nil)
				in.Fail = fail
				r := judge(t, fixedTo(t, to), Options{Inspect: in})
				for range 2 {
					_, err := talk(dialTCP(t, r.addr), &tls.Config{ServerName: "www.contoso.test", InsecureSkipVerify: true})
					if (err != nil) != fail {
						t.Errorf("talking: %v", err)
					}
				}
				if tr := r.trouble(t, KindServerTLS); !strings.Contains(tr.Error(), tt.why) {
					t.Errorf("told %v", tr)
				}
				// A verdict is there though the server could not be verified.
				if v := r.verdict(t); v.Asked != attribute.Yes || v.Basis != attribute.Unsealed {
					t.Errorf("asked %v, basis %v: %s", v.Asked, v.Basis, v.Reason)
				}
				seen.after(t, map[bool]int{false: 3, true: 2}[fail])
			})
		}
	}
}

// TestInspectPinned: a client that does not trust the authority is told of, and
// passed through the next time; others are not.
func TestInspectPinned(t *testing.T) {
	n := newInspection(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		to, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{n.server}})
		r := judge(t, fixedTo(t, to), Options{Inspect: n.options(t, nil)})
		pinned := n.client(version)
		pinned.RootCAs = n.servers.pool()
		if _, err := talk(dialTCP(t, r.addr), pinned); err == nil {
			t.Error("it takes a certificate that it does not trust")
		}
		r.trouble(t, KindPinned)
		if v := r.verdict(t); v.Asked != attribute.No {
			t.Errorf("asked %v: %s", v.Asked, v.Reason)
		}
		if state, err := talk(dialTCP(t, r.addr), pinned); err != nil || issuer(state) != "Servers" {
			t.Errorf("the next time: %v", err)
		}
	}
}

// TestInspectedTransfer carries much in both directions at once, with half-close,
// and has the bytes stop being told once the answer is settled.
func TestInspectedTransfer(t *testing.T) {
	n := newInspection(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		to := serve(t, func(c *net.TCPConn) { // answers only when all is there
			defer c.Close()
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{n.server}, NextProtos: []string{"h2"}})
			all, err := io.ReadAll(s)
			if err != nil {
				return
			}
			sum := sha256.Sum256(all)
			_, _ = s.Write(sum[:])
			_, _ = s.Write(all)
			_ = s.CloseWrite()
		})
		r := judge(t, fixedTo(t, to), Options{Inspect: n.options(t, nil)})
		sent := make([]byte, 8<<20)
		_, _ = rand.Read(sent)
		c := tls.Client(dialTCP(t, r.addr), n.client(version, "h2"))
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if sum := sha256.Sum256(sent); err != nil || !bytes.Equal(got, append(sum[:], sent...)) {
			t.Errorf("%s: %d bytes came back, %v", tls.VersionName(version), len(got), err)
		}
		select {
		case <-r.settled:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: never settled", tls.VersionName(version))
		}
		t.Logf("%s: %d bytes were lost to the parser", tls.VersionName(version), r.tap.lost)
		if v := r.verdict(t); v.Asked != attribute.No {
			t.Errorf("asked %v: %s", v.Asked, v.Reason)
		}
	}
}

// TestInspectedCrowd runs many at one time, half of them reset in the middle.
func TestInspectedCrowd(t *testing.T) {
	n := newInspection(t)
	to, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{n.server}, ClientAuth: tls.RequestClientCert})
	r := start(t, fixedTo(t, to), Options{Inspect: n.options(t, nil)})
	const clients = 40
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			raw, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 0 {
				if _, err := talk(raw, n.client(0)); err != nil {
					t.Error(err)
				}
				return
			}
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(time.Minute))
			c := tls.Client(raw, n.client(0))
			if err := c.Handshake(); err != nil {
				t.Error(err)
			}
			_, _ = c.Write(make([]byte, 100<<10))
			_ = raw.(*net.TCPConn).SetLinger(0)
		})
	}
	wg.Wait()
	r.endedConn(t, clients)
	if n := r.counts.inspected.Load(); n != clients {
		t.Errorf("%d were inspected", n)
	}
}

// TestInspectSilentPeers: neither end can hold a handshake open.
func TestInspectSilentPeers(t *testing.T) {
	n := newInspection(t)
	silent := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); c.Close() })
	in := n.options(t, nil)
	in.Fail = true
	r := start(t, fixedTo(t, silent), Options{Inspect: in, Limits: Limits{Handshake: 2 * time.Second}})
	if err := tls.Client(dialTCP(t, r.addr), n.client(0)).Handshake(); err == nil {
		t.Error("the handshake is through")
	}
	r.has(t, KindServerTLS)

	to, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{n.server}})
	in = n.options(t, nil)
	r = start(t, fixedTo(t, to), Options{Inspect: in, Limits: Limits{Handshake: 3 * time.Second}})
	raw := dialTCP(t, r.addr)
	stuck := tls.Client(&mute{Conn: raw, writes: 1}, n.client(tls.VersionTLS13))
	if err := stuck.Handshake(); !errors.Is(err, errMute) {
		t.Fatalf("the handshake: %v", err)
	}
	if tr := r.has(t, KindClientTLS); !strings.Contains(tr.Error(), "timeout") {
		t.Errorf("told %v", tr)
	}
	if _, err := io.ReadAll(raw); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("not closed: %v", err)
	}
}

// mute stops sending after some writes.
type mute struct {
	net.Conn
	writes int
}

var errMute = errors.New("mute")

func (m *mute) Write(b []byte) (int, error) {
	if m.writes--; m.writes < 0 {
		return 0, errMute
	}
	return m.Conn.Write(b)
}
