package inspect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"whoasked/parse"
)

// Choice is what becomes of the request of a server for a certificate.
type Choice uint8

// Values of Choice.
const (
	AnswerNone        Choice = iota // an empty Certificate message
	AnswerCertificate               // Options.Certificate
	Mirror                          // AnswerNone, and the client is asked for the same
	Pass                            // the server is left alone from now on
)

// ErrAsked is why a handshake was given up: the server asked, and the Choice is
// Pass.
var ErrAsked = errors.New("the server asked for a client certificate")

// Options says what an Inspector does.
type Options struct {
	CA *CA
	// Domains are what to look into, with the names below; the authority has to
	// cover them.
	Domains     []string
	OnRequest   Choice
	Certificate *tls.Certificate // with AnswerCertificate
	// Roots vouch for servers.
	Roots *x509.CertPool
	// KeyLog takes the secrets of both sides; nil for nobody.
	KeyLog io.Writer
}

// Inspector ends TLS. It may be used by several goroutines.
type Inspector struct {
	opts   Options
	leaves *leaves
	passes *recent[time.Time] // until when; zero for as long as it runs
}

// maxPasses bounds the places that are remembered to be left alone.
const maxPasses = 4096

// New returns an Inspector.
func New(o Options) (*Inspector, error) {
	for _, d := range o.Domains {
		if !o.CA.Covers(d) {
			return nil, fmt.Errorf("the authority is not for %s but for %s", d, strings.Join(o.CA.Cert.PermittedDNSDomains, ", "))
		}
	}
	if o.OnRequest == AnswerCertificate && o.Certificate == nil {
		return nil, errors.New("there is no certificate to answer with")
	}
	l, err := newLeaves(o.CA)
	if err != nil {
		return nil, err
	}
	return &Inspector{opts: o, leaves: l, passes: newRecent[time.Time](maxPasses)}, nil
}

// Takes reports whether TLS that begins with a hello is to be ended: it names a
// server of the domains. Early data (RFC 8446 §4.2.10) is meant for the server
// alone; what offers it is left alone.
func (i *Inspector) Takes(h *parse.ClientHello) bool {
	name := nameOf(h)
	if h.SSL2 || h.EarlyData || !hostName(name) || len(versions(h)) == 0 {
		return false
	}
	return slices.ContainsFunc(i.opts.Domains, func(d string) bool { return within(name, d) })
}

// nameOf is the server name of a hello as certificates have it.
func nameOf(h *parse.ClientHello) string {
	return strings.ToLower(strings.TrimSuffix(h.ServerName, "."))
}

// Passes reports whether a place was remembered to be left alone.
func (i *Inspector) Passes(place string, now time.Time) bool {
	until, ok := i.passes.find(place)
	return ok && (until.IsZero() || now.Before(until))
}

// PassOn remembers a place, zero for as long as the Inspector is in use.
func (i *Inspector) PassOn(place string, until time.Time) { i.passes.enter(place, until, false) }

// versions are the versions of a hello that can be spoken here.
func versions(h *parse.ClientHello) []uint16 {
	var out []uint16
	for _, v := range h.Versions {
		if v := uint16(v); v >= tls.VersionTLS10 && v <= tls.VersionTLS13 {
			out = append(out, v)
		}
	}
	return out
}

// suites are the cipher suites of TLS 1.2 and before that servers are offered:
// beside those of today the key exchange by RSA and the CBC suites that servers
// of old are left with, but neither RC4 nor 3DES. crypto/tls puts the best first.
func suites() []uint16 {
	var out []uint16
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if !strings.Contains(s.Name, "RC4") && !strings.Contains(s.Name, "3DES") {
			out = append(out, s.ID)
		}
	}
	return out
}

// maxHandshake bounds the bytes of a handshake that are read from one side:
// crypto/tls bounds each message, by 64 KiB and certificates by 256 KiB.
const maxHandshake = 1 << 20

// bounded ends a connection that sends more than left bytes before it is opened.
type bounded struct {
	net.Conn
	left int
	open bool
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if !b.open {
		if b.left -= n; b.left < 0 {
			return 0, fmt.Errorf("the handshake takes more than %d bytes", maxHandshake)
		}
	}
	return n, err
}
