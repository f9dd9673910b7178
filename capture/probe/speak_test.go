package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"whoasked/parse"
)

// script is what a server says, each time after it has heard what is told;
// behind the last follows TLS, unless that refuses it.
type script []struct{ hear, say string }

var (
	smtpTalk = script{{"", "220-mx\r\n220 hi\r\n"}, {"EHLO [127.0.0.1]\r\n", "250-mx\r\n250 STARTTLS\r\n"}, {"STARTTLS\r\n", "220 go\r\n"}}
	imapTalk = script{{"", "* OK hi\r\n"}, {"a1 STARTTLS\r\n", "* x\r\na1 OK go\r\n"}}
	popTalk  = script{{"", "+OK hi\r\n"}, {"STLS\r\n", "+OK go\r\n"}}
	pgTalk   = script{{"\x00\x00\x00\x08\x04\xd2\x16\x2f", "S"}}
	tdsTalk  = script{{ // PRELOGIN and its answer, both with ENCRYPT_ON
		"\x12\x01\x00\x1a\x00\x00\x00\x00\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x00\x00\x00\x00\x00\x00\x01",
		"\x04\x01\x00\x0f\x00\x00\x01\x00\x01\x00\x06\x00\x01\xff\x01",
	}}
)

// tdsServer is a server's end of a handshake in packets of at most 300 bytes, the
// least that makes several of each flight.
type tdsServer struct {
	net.Conn
	left int
	done bool
}

func (s *tdsServer) Read(b []byte) (int, error) {
	if s.done && s.left == 0 {
		return s.Conn.Read(b)
	}
	for s.left == 0 {
		var h [8]byte
		if _, err := io.ReadFull(s.Conn, h[:]); err != nil {
			return 0, err
		}
		if n := int(h[2])<<8 | int(h[3]); h[0] != 0x12 || h[7] != 0 || n < 9 || n > 4096 {
			return 0, fmt.Errorf("no packet: % x", h)
		} else {
			s.left = n - 8
		}
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

func (s *tdsServer) Write(b []byte) (int, error) {
	if s.done {
		return s.Conn.Write(b)
	}
	for part := range slices.Chunk(b, 300) {
		if _, err := s.Conn.Write(append([]byte{0x12, 1, byte((len(part) + 8) >> 8), byte(len(part) + 8), 0, 0, 1, 0}, part...)); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// serve follows the script on one connection, one byte at a time, and then asks
// for a certificate.
func (s script) serve(t *testing.T, c net.Conn, cert tls.Certificate) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	for _, turn := range s {
		b := make([]byte, len(turn.hear))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != turn.hear {
			t.Errorf("heard %q (%v), want %q", b, err, turn.hear)
			return
		}
		for i := range turn.say {
			c.Write([]byte(turn.say[i : i+1]))
		}
	}
	if last := s[len(s)-1].say; strings.HasPrefix(last, "454") || last == "N" || strings.HasSuffix(last, "\xff\x02") || strings.HasPrefix(last, "a1 NO") {
		io.Copy(io.Discard, c) // the client hangs up
		return
	}
	var wire net.Conn = c
	inside := &tdsServer{Conn: c}
	if &s[0] == &tdsTalk[0] {
		wire = inside
	}
	srv := tls.Server(wire, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
	if srv.Handshake() == nil {
		inside.done = true
		srv.Read(make([]byte, 1))
	}
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mail.contoso.test"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// attempt probes a server that follows s.
func attempt(t *testing.T, s script, scheme string, version uint16) *Attempt {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cert, done := selfSigned(t), make(chan struct{})
	go func() {
		defer close(done)
		if c, err := ln.Accept(); err == nil {
			s.serve(t, c, cert)
		}
	}()
	target, err := ParseTarget(scheme + "://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := &Prober{Timeout: 2 * time.Second}
	a := p.Do(t.Context(), Probe{Target: target, Addr: netip.MustParseAddrPort(ln.Addr().String()), Version: version})
	<-done
	return a
}

// TestSpeak: TLS is reached behind every preamble, and the parser hears both.
func TestSpeak(t *testing.T) {
	for scheme, s := range map[string]script{"smtp": smtpTalk, "submission": smtpTalk, "imap": imapTalk, "pop3": popTalk, "postgres": pgTalk, "sqlserver": tdsTalk} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(scheme+" "+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				a := attempt(t, s, scheme, version)
				if a.Err != nil || a.Handshake == nil {
					t.Fatalf("%v: %v", a.Stage, a.Err)
				}
				if h := a.Handshake; h.Preamble != a.Target.Preamble || len(h.Requests) != 1 {
					t.Errorf("heard %q, %d requests", h.Preamble, len(h.Requests))
				}
			})
		}
	}
}

// TestSpeakRefused: what the server answered instead is told.
func TestSpeakRefused(t *testing.T) {
	for _, tt := range []struct {
		scheme string
		script script
		want   string
	}{
		{"smtp", script{smtpTalk[0], smtpTalk[1], {"STARTTLS\r\n", "454 no TLS today\r\n"}}, `refuses: "454 no TLS today\r\n"`},
		{"imap", script{imapTalk[0], {"a1 STARTTLS\r\n", "a1 NO not here\r\n"}}, `refuses: "a1 NO not here\r\n"`},
		{"postgres", script{{pgTalk[0].hear, "N"}}, `refuses: "N"`},
		{"sqlserver", script{{tdsTalk[0].hear, "\x04\x01\x00\x0f\x00\x00\x00\x00\x01\x00\x06\x00\x01\xff\x02"}}, "refuses"},
	} {
		t.Run(tt.scheme, func(t *testing.T) {
			a := attempt(t, tt.script, tt.scheme, tls.VersionTLS13)
			if a.Stage != StagePreamble || a.Err == nil || !strings.Contains(a.Err.Error(), tt.want) {
				t.Errorf("%v: %v, want %s", a.Stage, a.Err, tt.want)
			}
		})
	}
}

// TestSpeakHostile: bytes slipped in before TLS, other protocols and endless
// replies end in an error.
func TestSpeakHostile(t *testing.T) {
	for name, tt := range map[string]struct{ say, want string }{
		"slipped in": {"+OK hi\r\n+OK go\r\n+OK more\r\n", "more in the clear"},
		"endless":    {strings.Repeat("x", 80<<10), "something else"},
		"closed":     {"+OK", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := net.Pipe()
			c.SetDeadline(time.Now().Add(5 * time.Second))
			go io.Copy(io.Discard, s)
			t.Cleanup(func() { s.Close() })
			go func() {
				io.WriteString(s, tt.say)
				if tt.want == "EOF" {
					s.Close()
				}
			}()
			err := speak(newTap(c, netip.AddrPort{}, time.Now()), &Target{Preamble: "pop3"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// TestSchemes: what a scheme says before TLS is a row of the parser's, and there is
// one for each row that a server is spoken to by.
func TestSchemes(t *testing.T) {
	for name, s := range schemes {
		if s.preamble != "" && !slices.ContainsFunc(parse.Preambles(), func(r parse.Preamble) bool { return r.Name == s.preamble && len(r.Steps) > 0 }) {
			t.Errorf("%s: no row is called %s", name, s.preamble)
		}
	}
	spoken := make(map[string]bool)
	for _, s := range schemes {
		spoken[s.preamble] = true
	}
	for _, r := range parse.Preambles() {
		// Proxies and their headers are not where TLS ends: --proxy, --send-proxy.
		proxied := strings.HasPrefix(r.Name, "proxy-") || strings.HasPrefix(r.Name, "socks") || r.Name == "http-connect"
		if len(r.Steps) > 0 && !proxied && !spoken[r.Name] {
			t.Errorf("no scheme says %s", r.Name)
		}
	}
}

// TestPlanBehindPreamble: no protocol of the web is offered to a mail server.
func TestPlanBehindPreamble(t *testing.T) {
	m := Matrix{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Names: []string{""}, Versions: []uint16{tls.VersionTLS13},
		ALPN: []string{"http/1.1", "h2"}, Resume: true, Later: true, Repeat: 2}
	plan := m.Plan(Target{Host: "127.0.0.1", Port: 25, Preamble: "smtp"})
	if len(plan) != 3 || slices.ContainsFunc(plan, func(p Probe) bool { return p.ALPN != "" || p.Later }) {
		t.Errorf("%+v", plan)
	}
}
