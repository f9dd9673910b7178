package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serve listens on every endpoint until the process is killed.
func serve(address, pki string, endpoints []string) error {
	failed := make(chan error)
	for _, e := range endpoints {
		l, err := listen(address, pki, e)
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", e, err)
		}
		go func() { failed <- accept(l) }()
	}
	return <-failed
}

func listen(address, pki, endpoint string) (net.Listener, error) {
	f := strings.Split(endpoint, ",")
	if len(f) != 6 {
		return nil, fmt.Errorf("%d fields instead of 6", len(f))
	}
	port, version, mode, suite, identity, clientCA := f[0], f[1], f[2], f[3], f[4], f[5]
	cert, err := load(pki, identity)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: x509.NewCertPool()}
	cfg.ClientCAs.AppendCertsFromPEM(pem)
	cfg.MinVersion = map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[version]
	cfg.MaxVersion = cfg.MinVersion
	cfg.ClientAuth = map[string]tls.ClientAuthType{
		"optional": tls.VerifyClientCertIfGiven, "required": tls.RequireAndVerifyClientCert,
	}[mode]
	for _, s := range tls.CipherSuites() {
		if s.Name == suite {
			cfg.CipherSuites = []uint16{s.ID}
		}
	}
	return tls.Listen("tcp", net.JoinHostPort(address, port), cfg)
}

func load(pki, identity string) (tls.Certificate, error) {
	base := filepath.Join(pki, identity)
	return tls.LoadX509KeyPair(base+".pem", base+".key")
}

func accept(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go answer(c)
	}
}

// bulkPath is that of a page of bulkBytes; all others are small.
const (
	bulkPath  = "/bulk"
	bulkBytes = 8 << 20
)

// answer reads a request to its empty line and answers it. A failure is the
// client's business; the capture shows it.
func answer(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	page := "ok\n"
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimSpace(line) == "" {
			break
		}
		if strings.HasPrefix(line, "GET "+bulkPath+" ") {
			page = strings.Repeat("bulk\r\n\r\n", bulkBytes/8)
		}
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
}
