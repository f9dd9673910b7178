package probe

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

// benchServer asks, does not insist, and answers one request a connection.
func benchServer(b *testing.B) net.Addr {
	b.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{selfSigned(b)},
		ClientAuth:   tls.RequestClientCert, NextProtos: []string{"http/1.1"},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for line, err := r.ReadString('\n'); err == nil && line != "\r\n"; line, err = r.ReadString('\n') {
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
			}()
		}
	}()
	return ln.Addr()
}

// BenchmarkDo makes a connection with TLS 1.3 and all that is read of it, beside
// what crypto/tls alone takes.
func BenchmarkDo(b *testing.B) {
	at := benchServer(b)
	b.Run("probe", func(b *testing.B) {
		p := &Prober{Timeout: 10 * time.Second, Request: true}
		pr := Probe{Target: Target{Host: "www.contoso.test", Port: 443, Path: "/"}, Addr: addrPort(at), ServerName: "www.contoso.test", Version: tls.VersionTLS13, ALPN: "http/1.1"}
		b.ReportAllocs()
		for b.Loop() {
			if a := p.Do(b.Context(), pr); a.Err != nil || a.Status != 200 {
				b.Fatal(a.Err)
			}
		}
	})
	b.Run("crypto/tls", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, err := tls.Dial("tcp", at.String(), &tls.Config{
				ServerName: "www.contoso.test", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13,
			})
			if err != nil {
				b.Fatal(err)
			}
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: www.contoso.test\r\nConnection: close\r\n\r\n")
			io.Copy(io.Discard, c)
			c.Close()
		}
	})
}
