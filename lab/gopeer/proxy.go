package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

// proxy is an explicit proxy: it answers CONNECT and passes on what follows or,
// with the identity of a server, ends TLS itself and opens a session of its own,
// as a proxy does that inspects what passes; what goes to the hosts in bypassed
// it leaves alone.
func proxy(address, pki, identity string, bypassed []string) error {
	var cert *tls.Certificate
	if identity != "-" {
		c, err := load(pki, identity)
		if err != nil {
			return err
		}
		cert = &c
	}
	return each(address, func(c net.Conn) { tunnel(c, cert, bypassed) })
}

// each listens and serves every client, for 15 seconds at most.
func each(address string, serve func(net.Conn)) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(15 * time.Second))
			serve(c)
		}()
	}
}

// tunnel serves one client. A failure is the client's business.
func tunnel(c net.Conn, cert *tls.Certificate, bypassed []string) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil || r.Method != http.MethodConnect {
		return
	}
	to, err := net.DialTimeout("tcp", fixedTarget(r.Host), 5*time.Second)
	if err != nil {
		return
	}
	defer to.Close()
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	client, server := c, to
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		return
	}
	if cert != nil && !slices.Contains(bypassed, host) {
		client = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}})
		server = tls.Client(to, &tls.Config{ServerName: host, InsecureSkipVerify: true}) // the lab's CA is not installed
	}
	relay(client, server)
}

// relay passes bytes on in both directions until both are over.
func relay(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(b, a)
		closeWrite(b)
		close(done)
	}()
	_, _ = io.Copy(a, b)
	closeWrite(a)
	<-done
}

// fixedTarget is where every name of the lab leads: there is no DNS.
func fixedTarget(string) string { return "198.18.1.30:443" }

func closeWrite(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
}
