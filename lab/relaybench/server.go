package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"time"
)

const serverName = "www.contoso.test"

// reply is what the server answers to every other request than bulk.
const reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// server is what all forwarders lead to, each to a port of its own. Over TLS 1.3
// it answers requests. One for /bulk/N is the last: once the client has sent a
// record more, N MiB of records come that nobody sealed and nobody opens, as what
// is measured is what carries them.
type server struct {
	config    *tls.Config
	der       []byte
	listeners []net.Listener
}

func newServer() (*server, error) {
	der, key, err := certify(serverName, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign, serverName)
	if err != nil {
		return nil, err
	}
	return &server{der: der, config: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS13, SessionTicketsDisabled: true,
	}}, nil
}

// certify makes a certificate that signs itself, for a day.
func certify(subject string, usage x509.KeyUsage, names ...string) (der []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: usage,
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return der, key, err
}

func (s *server) certificatePEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.der}))
}

// authority makes a certificate authority and returns its files.
func authority(dir string) (cert, key string, err error) {
	der, k, err := certify("relaybench", x509.KeyUsageCertSign)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return "", "", err
	}
	if cert, err = write(dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))); err != nil {
		return "", "", err
	}
	key, err = write(dir, "ca.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return cert, key, err
}

// listen opens another port.
func (s *server) listen() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	s.listeners = append(s.listeners, l)
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go s.serve(c)
			}
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *server) close() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// serve answers one client, whose failures are its own.
func (s *server) serve(raw net.Conn) {
	defer raw.Close()
	c := tls.Server(raw, s.config)
	in := bufio.NewReaderSize(c, 512)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		for { // its fields
			field, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if field == "\r\n" {
				break
			}
		}
		if size, ok := strings.CutPrefix(line, "GET /bulk/"); ok {
			size, _, _ = strings.Cut(size, " ")
			n, err := strconv.Atoi(size)
			if err != nil || writeReply(c) != nil {
				return
			}
			if _, err := io.ReadFull(raw, make([]byte, len(goOn))); err == nil {
				_ = writeBulk(raw, n)
			}
			return
		}
		if writeReply(c) != nil {
			return
		}
	}
}

// goOn is the client's record in front of bulk data.
var goOn = [...]byte{23, 3, 3, 0, 1, 0}

func writeReply(c net.Conn) error {
	_, err := io.WriteString(c, reply)
	return err
}

// writeBulk writes mib MiB in the form of application data records.
func writeBulk(c net.Conn, mib int) error {
	const body = 1 << 14
	record := append([]byte{23, 3, 3, body >> 8, body & 0xff}, make([]byte, body)...)
	var chunk []byte
	for range 16 {
		chunk = append(chunk, record...)
	}
	for left := mib << 20; left > 0; left -= len(chunk) {
		if _, err := c.Write(chunk[:min(len(chunk), left)]); err != nil {
			return err
		}
	}
	return nil
}

// client is a connection through a forwarder.
type client struct {
	raw net.Conn
	tls *tls.Conn
}

// patience is how long a connection may take, with what is measured on it.
const patience = 30 * time.Second

// connect makes a connection and one request.
func connect(addr string) (*client, error) {
	raw, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(patience))
	c := &client{raw, tls.Client(raw, &tls.Config{ServerName: serverName, InsecureSkipVerify: true})}
	if err := c.ping(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) close() { _ = c.raw.Close() }

// ping makes a request that is answered at once.
func (c *client) ping() error { return c.request("/") }

func (c *client) request(path string) error {
	if _, err := fmt.Fprintf(c.tls, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, serverName); err != nil {
		return err
	}
	// Programs that speak HTTP may change the header; the body stays the last.
	var b [512]byte
	n := 0
	for n < len(b) {
		k, err := c.tls.Read(b[n:])
		if n += k; strings.HasSuffix(string(b[:n]), "ok") {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("the answer is none of the server's")
}
