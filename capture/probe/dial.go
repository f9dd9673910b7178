package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/net/proxy"
	"software.sslmate.com/src/go-pkcs12"
)

// Dial connects to an address.
type Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)

// Proxy returns a Dial through a proxy: http://[USER:PASSWORD@]HOST:PORT for
// CONNECT (RFC 9110 §9.3.6) or socks5://… (RFC 1928).
func Proxy(raw string) (Dial, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, errors.New("is no URL of a proxy, such as http://proxy.contoso.test:3128")
	}
	switch u.Scheme {
	case "http":
		return connectDial(u), nil
	case "socks5", "socks5h":
		d, err := proxy.FromURL(u, proxy.Direct)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return d.(proxy.ContextDialer).DialContext(ctx, "tcp", addr.String())
		}, nil
	}
	return nil, fmt.Errorf("has the scheme %s; http and socks5 are known", u.Scheme)
}

// connectDial asks an HTTP proxy for a tunnel.
func connectDial(u *url.URL) Dial {
	return func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return nil, err
		}
		if deadline, ok := ctx.Deadline(); ok {
			c.SetDeadline(deadline)
		}
		req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr.String()}, Host: addr.String(), Header: make(http.Header)}
		if u.User != nil {
			password, _ := u.User.Password()
			req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
		}
		if err := req.Write(c); err != nil {
			c.Close()
			return nil, err
		}
		// The server behind the tunnel waits for the ClientHello: nothing of it can
		// be in the reader's buffer.
		resp, err := http.ReadResponse(bufio.NewReader(c), req)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("proxy %s: %w", u.Host, err)
		}
		if resp.StatusCode/100 != 2 {
			c.Close()
			return nil, fmt.Errorf("proxy %s: %s", u.Host, resp.Status)
		}
		return c, nil
	}
}

// LoadCertificate reads a certificate chain and its key: PEM, where the key may
// be in the same file, or PKCS #12 without a password.
func LoadCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	data, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(filepath.Ext(certFile)) {
	case ".p12", ".pfx":
		key, leaf, chain, err := pkcs12.DecodeChain(data, os.Getenv("WHOASKED_CLIENT_CERT_PASSWORD"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w (the password is taken from WHOASKED_CLIENT_CERT_PASSWORD)", certFile, err)
		}
		c := &tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
		for _, x := range chain {
			c.Certificate = append(c.Certificate, x.Raw)
		}
		return c, nil
	}
	key := data
	if keyFile != "" {
		if key, err = os.ReadFile(keyFile); err != nil {
			return nil, err
		}
	}
	c, err := tls.X509KeyPair(data, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	return &c, nil
}
