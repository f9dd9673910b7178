package inspect

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"reflect"
	"slices"
	"time"

	"whoasked/parse"
)

// Downstream is the TLS connection to a client.
type Downstream struct {
	*tls.Conn
	// Offered says what certificate the client has for a server that asks, with
	// Mirror; empty where it was not asked.
	Offered string
}

// Accept speaks TLS to a client whose hello is the first that comes from conn,
// in the place of a server: with a certificate of the authority, and with the
// version and protocol that the server chose.
func (i *Inspector) Accept(conn net.Conn, h *parse.ClientHello, u *Upstream) (*Downstream, error) {
	cert, err := i.leaves.get(nameOf(h), time.Now())
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{*cert}, SessionTicketsDisabled: true,
		MinVersion: slices.Min(versions(h)), MaxVersion: slices.Max(versions(h)),
		KeyLogWriter: i.opts.KeyLog,
	}
	if u.version != 0 {
		config.MinVersion, config.MaxVersion = u.version, u.version
	}
	if u.protocol != "" {
		config.NextProtos = []string{u.protocol}
	}
	asks := i.opts.OnRequest == Mirror && u.Asked()
	if asks {
		config.ClientAuth, config.ClientCAs = tls.RequestClientCert, namesOnly(u.authorities)
	}
	limited := &bounded{Conn: conn, left: maxHandshake}
	d := &Downstream{Conn: tls.Server(limited, config)}
	if err := d.Handshake(); err != nil {
		return nil, err
	}
	limited.open = true
	if asks {
		d.Offered = offered(d.ConnectionState().PeerCertificates)
	}
	return d, nil
}

// namesOnly makes a pool that is good for naming authorities to a client, not
// for verifying.
func namesOnly(names [][]byte) *x509.CertPool {
	p := x509.NewCertPool()
	for n, name := range names {
		p.AddCert(&x509.Certificate{Raw: binary.BigEndian.AppendUint32(nil, uint32(n)), RawSubject: name})
	}
	return p
}

func offered(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return "no certificate"
	}
	return fmt.Sprintf("%q, issued by %q", chain[0].Subject, chain[0].Issuer)
}

// Distrusts reports whether a client broke the handshake off because of the
// certificate: it does not trust the authority, or has the server's pinned. The
// alerts are those about certificates (RFC 8446 §6.2).
//
// OpenSSL as a client seals nothing in TLS 1.3 before its own flight, not even an
// alert, which crypto/tls then cannot open; clear is such an alert, 0 for none.
func Distrusts(err error, clear uint8) bool {
	alert := RemoteAlert(err)
	if alert == 0 {
		alert = clear
	}
	switch alert {
	case 42, 43, 44, 45, 46, 48: // bad, unsupported, revoked, expired, unknown; unknown_ca
		return true
	}
	return false
}

// ClearAlert returns the fatal alert that bytes of a client end with, outside of
// any seal and behind nothing but a ChangeCipherSpec; 0 for none.
func ClearAlert(b []byte) uint8 {
	changeCipherSpec := []byte{20, 3, 3, 0, 1, 1}
	b = bytes.TrimPrefix(b, changeCipherSpec)
	if len(b) == 7 && b[0] == 21 && b[1] == 3 && b[3] == 0 && b[4] == 2 && b[5] == 2 {
		return b[6]
	}
	return 0
}

// alertNumber is the value of an alert of crypto/tls, whose type it keeps to
// itself.
func alertNumber(err error) uint8 {
	if v := reflect.ValueOf(err); v.Kind() == reflect.Uint8 {
		return uint8(v.Uint())
	}
	return 0
}
