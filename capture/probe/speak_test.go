package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
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
)

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
	if last := s[len(s)-1].say; strings.HasPrefix(last, "454") || last == "N" || strings.HasPrefix(last, "a1 NO") {
		io.Copy(io.Discard, c) // the client hangs up
		return
	}
	srv := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
	if srv.Handshake() == nil {
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
	for scheme, s := range map[string]script{"smtp": smtpTalk, "submission": smtpTalk, "imap": imapTalk, "pop3": popTalk, "postgres": pgTalk} {
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
		{"sqlserver", nil, "cannot be made"},
	} {
		t.Run(tt.scheme, func(t *testing.T) {
			if tt.script == nil {
				c, s := net.Pipe()
				defer s.Close()
				err := speak(newTap(c, netip.AddrPort{}, time.Now()), "tds", "")
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				return
			}
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
			err := speak(newTap(c, netip.AddrPort{}, time.Now()), "pop3", "")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// TestSchemes: what a scheme says before TLS is a row of the parser's.
func TestSchemes(t *testing.T) {
	for name, s := range schemes {
		if s.preamble != "" && !slices.ContainsFunc(parse.Preambles(), func(r parse.Preamble) bool { return r.Name == s.preamble && len(r.Steps) > 0 }) {
			t.Errorf("%s: no row is called %s", name, s.preamble)
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
