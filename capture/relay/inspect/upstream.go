package inspect

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"whoasked/parse"
)

// Upstream is the TLS connection to a server.
type Upstream struct {
	*tls.Conn
	version  uint16
	protocol string // chosen by ALPN, empty for none

	mu          sync.Mutex
	asked       bool
	authorities [][]byte // DER of their names; of the latest request
}

// Asked reports whether the server has asked for a certificate so far.
func (u *Upstream) Asked() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked
}

// Connect speaks TLS to a server, as the client whose hello is given would: with
// its server name, protocols and versions. Secrets are written to keys before
// what they open is answered. It never resumes a session, so that the server
// decides anew each time.
//
// place is remembered to be left alone if the server asks and the Choice is
// Pass; the error is ErrAsked then. With an error the Upstream tells still what
// was asked.
func (i *Inspector) Connect(conn net.Conn, h *parse.ClientHello, place string, keys io.Writer) (*Upstream, error) {
	if i.opts.KeyLog != nil {
		keys = io.MultiWriter(keys, i.opts.KeyLog)
	}
	u := &Upstream{}
	offered := versions(h)
	limited := &bounded{Conn: conn, left: maxHandshake}
	u.Conn = tls.Client(limited, &tls.Config{
		ServerName: h.ServerName, RootCAs: i.opts.Roots,
		NextProtos: h.ALPN, MinVersion: slices.Min(offered), MaxVersion: slices.Max(offered), CipherSuites: suites(),
		// Servers ask by renegotiation too; crypto/tls never begins one.
		Renegotiation: tls.RenegotiateFreelyAsClient,
		KeyLogWriter:  keys,
		GetClientCertificate: func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			u.mu.Lock()
			u.asked, u.authorities = true, request.AcceptableCAs
			u.mu.Unlock()
			return i.answer(place, limited.open)
		},
	})
	if err := u.Handshake(); err != nil {
		return u, err
	}
	limited.open = true
	state := u.ConnectionState()
	u.version, u.protocol = state.Version, state.NegotiatedProtocol
	return u, nil
}

// answer is what a server gets that asks: in the first handshake, or later.
func (i *Inspector) answer(place string, later bool) (*tls.Certificate, error) {
	switch i.opts.OnRequest {
	case AnswerCertificate:
		return i.opts.Certificate, nil
	case Pass:
		i.PassOn(place, time.Time{})
		if !later { // else this connection goes on, answered with none
			return nil, ErrAsked
		}
	}
	return &tls.Certificate{}, nil
}

// Mirrors reports whether the client is to be asked what the server asked,
// though that may have broken off the handshake, as it did with err.
func (i *Inspector) Mirrors(u *Upstream, err error) bool {
	return i.opts.OnRequest == Mirror && u.Asked() && RemoteAlert(err) != 0
}

// RemoteAlert is the number of the alert that the peer ended TLS with (RFC 8446
// §6), 0 if it was something else.
func RemoteAlert(err error) uint8 {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0
	}
	return alertNumber(op.Err)
}
