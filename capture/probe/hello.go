package probe

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	utls "github.com/refraction-networking/utls"
)

// Hello is whose ClientHello a probe sends; middleboxes treat clients
// differently.
type Hello uint8

// Values of Hello.
const (
	// AsGo is the hello of Go's crypto/tls.
	AsGo Hello = iota
	AsChrome
	AsFirefox
	// AsOpenSSL is shaped like that of curl and openssl with TLS 1.3: it offers
	// post-handshake authentication (RFC 8446 §4.2.6), as no browser does.
	AsOpenSSL
)

var helloNames = [...]string{"go", "chrome", "firefox", "openssl-like"}

func (h Hello) String() string { return helloNames[h] }

// HelloNames lists the names ParseHello takes.
func HelloNames() []string { return helloNames[:] }

// ParseHello returns the Hello of a name.
func ParseHello(s string) (Hello, error) {
	if i := slices.Index(helloNames[:], s); i >= 0 {
		return Hello(i), nil
	}
	return 0, fmt.Errorf("%q is none of go, chrome, firefox and openssl-like", s)
}

// client is a TLS client on a tapped connection, of whichever library.
type client interface {
	net.Conn
	Handshake() error
	negotiated() string
	resumed() bool
}

// client makes the client that a probe asks for, over a connection tapped by t.
func (p *Prober) client(conn net.Conn, t *tap, pr *Probe, s tls.ClientSessionCache) (client, error) {
	switch as := p.Hello(pr); {
	case as == AsGo:
		return p.goClient(conn, t, pr, s), nil
	default:
		return p.mimic(as, conn, t, pr)
	}
}

// Hello is whose hello a probe gets: the Prober's, but for what only one can do.
func (p *Prober) Hello(pr *Probe) Hello {
	switch {
	case pr.Later:
		return AsOpenSSL
	case pr.Resume: // hellos that are imitated do not resume
		return AsGo
	}
	return p.As
}

type goClient struct{ *tls.Conn }

func (c goClient) negotiated() string { return c.ConnectionState().NegotiatedProtocol }
func (c goClient) resumed() bool      { return c.ConnectionState().DidResume }

func (p *Prober) goClient(conn net.Conn, t *tap, pr *Probe, s tls.ClientSessionCache) client {
	c := &tls.Config{
		ServerName: pr.ServerName,
		MinVersion: pr.Version, MaxVersion: pr.Version,
		CipherSuites:           everySuite(),
		InsecureSkipVerify:     true, // who answers is told, not judged
		KeyLogWriter:           t.keyLog(),
		Renegotiation:          tls.RenegotiateFreelyAsClient,
		SessionTicketsDisabled: s == nil,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return p.certificate(), nil
		},
	}
	if s != nil {
		c.ClientSessionCache = s
	}
	if pr.ALPN != "" {
		c.NextProtos = pr.protocols()
	}
	return goClient{tls.Client(conn, c)}
}

// everySuite lists what crypto/tls can do, also what it does not offer by
// itself: a probe is to be answered.
func everySuite() []uint16 {
	var out []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		out = append(out, s.ID)
	}
	return out
}

// certificate is never nil: an empty one makes an empty Certificate message.
func (p *Prober) certificate() *tls.Certificate {
	if p.Certificate != nil {
		return p.Certificate
	}
	return new(tls.Certificate)
}

type mimic struct{ *utls.UConn }

func (c mimic) negotiated() string { return c.ConnectionState().NegotiatedProtocol }
func (c mimic) resumed() bool      { return c.ConnectionState().DidResume }

// mimic makes a client whose ClientHello is that of another program.
func (p *Prober) mimic(as Hello, conn net.Conn, t *tap, pr *Probe) (client, error) {
	spec, err := as.spec(pr)
	if err != nil {
		return nil, err
	}
	c := &utls.Config{
		ServerName:             pr.ServerName,
		InsecureSkipVerify:     true,
		KeyLogWriter:           t.keyLog(),
		Renegotiation:          utls.RenegotiateFreelyAsClient,
		SessionTicketsDisabled: true,
		GetClientCertificate: func(*utls.CertificateRequestInfo) (*utls.Certificate, error) {
			own := p.certificate()
			return &utls.Certificate{Certificate: own.Certificate, PrivateKey: own.PrivateKey, Leaf: own.Leaf}, nil
		},
	}
	u := utls.UClient(conn, c, utls.HelloCustom)
	if err := u.ApplyPreset(spec); err != nil {
		return nil, err
	}
	return mimic{u}, nil
}

// spec is the hello, cut down to the version and protocols of the probe.
func (h Hello) spec(pr *Probe) (*utls.ClientHelloSpec, error) {
	var spec utls.ClientHelloSpec
	var err error
	switch h {
	case AsChrome:
		spec, err = utls.UTLSIdToSpec(utls.HelloChrome_Auto)
	case AsFirefox:
		spec, err = utls.UTLSIdToSpec(utls.HelloFirefox_Auto)
	case AsOpenSSL:
		spec = opensslSpec()
	default:
		return nil, errors.New("no such hello")
	}
	if err != nil {
		return nil, err
	}
	spec.TLSVersMin, spec.TLSVersMax = pr.Version, pr.Version
	spec.Extensions = slices.DeleteFunc(spec.Extensions, func(e utls.TLSExtension) bool {
		return !pr.adjust(e)
	})
	return &spec, nil
}

// protocols is what ALPN offers: HTTP/2 only with HTTP/1.1 behind it, as all
// clients do it. Servers without HTTP/2 choose http/1.1 even if it was not
// offered (httpd), or refuse (nginx), neither of which a browser meets.
func (pr *Probe) protocols() []string {
	if pr.ALPN == "h2" {
		return []string{"h2", "http/1.1"}
	}
	return []string{pr.ALPN}
}

// adjust fits an extension to the probe; false leaves it out.
func (pr *Probe) adjust(e utls.TLSExtension) bool {
	tls13 := pr.Version >= tls.VersionTLS13
	switch e := e.(type) {
	case *utls.SNIExtension:
		return pr.ServerName != ""
	case *utls.SupportedVersionsExtension:
		e.Versions = slices.DeleteFunc(e.Versions, func(v uint16) bool {
			return v != pr.Version && v&0x0f0f != 0x0a0a
		})
		return tls13
	case *utls.KeyShareExtension, *utls.PSKKeyExchangeModesExtension, *utls.GREASEEncryptedClientHelloExtension:
		return tls13
	case *utls.ALPNExtension:
		e.AlpnProtocols = pr.protocols()
		return pr.ALPN != ""
	case *utls.ApplicationSettingsExtension, *utls.ApplicationSettingsExtensionNew:
		return pr.ALPN == "h2"
	case *utls.GenericExtension:
		return e.Id != extPostHandshakeAuth || tls13
	}
	return true
}

const extPostHandshakeAuth = 49

// opensslSpec offers what OpenSSL 3 offers, post_handshake_auth with it.
func opensslSpec() utls.ClientHelloSpec {
	return utls.ClientHelloSpec{
		CipherSuites: []uint16{
			utls.TLS_AES_256_GCM_SHA384, utls.TLS_CHACHA20_POLY1305_SHA256, utls.TLS_AES_128_GCM_SHA256,
			utls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, utls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			utls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, utls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			utls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, utls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			utls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, utls.TLS_RSA_WITH_AES_256_GCM_SHA384,
			utls.TLS_RSA_WITH_AES_128_GCM_SHA256, utls.TLS_RSA_WITH_AES_128_CBC_SHA,
		},
		CompressionMethods: []byte{0},
		Extensions: []utls.TLSExtension{
			&utls.RenegotiationInfoExtension{Renegotiation: utls.RenegotiateFreelyAsClient},
			&utls.SNIExtension{},
			&utls.SupportedPointsExtension{SupportedPoints: []byte{0}},
			&utls.SupportedCurvesExtension{Curves: []utls.CurveID{utls.X25519, utls.CurveP256, utls.CurveP384, utls.CurveP521}},
			&utls.SessionTicketExtension{},
			&utls.ALPNExtension{},
			&utls.ExtendedMasterSecretExtension{},
			&utls.GenericExtension{Id: extPostHandshakeAuth},
			&utls.SignatureAlgorithmsExtension{SupportedSignatureAlgorithms: []utls.SignatureScheme{
				utls.ECDSAWithP256AndSHA256, utls.ECDSAWithP384AndSHA384, utls.ECDSAWithP521AndSHA512, utls.Ed25519,
				utls.PSSWithSHA256, utls.PSSWithSHA384, utls.PSSWithSHA512,
				utls.PKCS1WithSHA256, utls.PKCS1WithSHA384, utls.PKCS1WithSHA512,
			}},
			&utls.SupportedVersionsExtension{Versions: []uint16{utls.VersionTLS13, utls.VersionTLS12}},
			&utls.PSKKeyExchangeModesExtension{Modes: []uint8{utls.PskModeDHE}},
			&utls.KeyShareExtension{KeyShares: []utls.KeyShare{{Group: utls.X25519}}},
		},
	}
}
