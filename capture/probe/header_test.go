package probe

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestHeader: a PROXY header goes first, says what it is told to say, and the
// parser reads it as it stands.
func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header Header
		want   string // of 198.18.0.9:40000 to 198.18.0.20:443
	}{
		{"v1", Header{Version: 1, Source: netip.MustParseAddrPort("198.18.0.9:40000"), Target: netip.MustParseAddrPort("198.18.0.20:443")},
			"PROXY TCP4 198.18.0.9 198.18.0.20 40000 443\r\n"},
		{"v2", Header{Version: 2, Source: netip.MustParseAddrPort("198.18.0.9:40000"), Target: netip.MustParseAddrPort("198.18.0.20:443")},
			"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x12\x00\x09\xc6\x12\x00\x14\x9c\x40\x01\xbb"},
		{"v1 of two families", Header{Version: 1, Source: netip.MustParseAddrPort("[2001:db8::9]:40000"), Target: netip.MustParseAddrPort("198.18.0.20:443")},
			"PROXY TCP6 2001:db8::9 ::ffff:198.18.0.20 40000 443\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			cert, got := selfSigned(t), make(chan string, 1)
			go func() {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				b := make([]byte, len(tt.want))
				io.ReadFull(c, b)
				got <- string(b)
				srv := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert})
				if srv.Handshake() == nil {
					srv.Read(make([]byte, 1))
				}
			}()
			target, err := ParseTarget("tls://" + ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			p := &Prober{Timeout: 2 * time.Second, Header: tt.header, Request: true}
			a := p.Do(t.Context(), Probe{Target: target, Addr: netip.MustParseAddrPort(ln.Addr().String()), Version: tls.VersionTLS13})
			if b := <-got; b != tt.want {
				t.Errorf("sent %q, want %q", b, tt.want)
			}
			if a.Err != nil || a.Handshake == nil || len(a.Handshake.Requests) != 1 || a.Status != 0 {
				t.Errorf("%v: %+v", a.Err, a.Handshake)
			}
		})
	}
}

// TestMute: no HTTP is meant for what a scheme without it leads to.
func TestMute(t *testing.T) {
	for s, want := range map[string]struct {
		port uint16
		http bool
	}{
		"imaps://mail.contoso.test": {993, false}, "ldaps://ldap.contoso.test:3269": {3269, false}, "tls://contoso.test": {443, false},
		"smtps://mail.contoso.test": {465, false}, "https://contoso.test": {443, true}, "smtp://mail.contoso.test": {25, false}, "contoso.test": {443, true},
	} {
		target, err := ParseTarget(s)
		if err != nil || target.Port != want.port || target.HTTP() != want.http {
			t.Errorf("%s: %+v, %v", s, target, err)
		}
	}
}
