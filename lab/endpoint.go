//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
)

// Mode says whether a server requests a client certificate.
type Mode string

// Modes.
const (
	NotAsked Mode = "not-asked"
	Optional Mode = "optional"
	Required Mode = "required"
)

// Key is the kind of key in a certificate.
type Key string

// Kinds of keys.
const (
	RSA Key = "rsa"
	EC  Key = "ec"
)

// Cipher is an AEAD; with a version and a key it makes a cipher suite.
type Cipher string

// Ciphers. AnyCipher leaves the choice to server and client.
const (
	AnyCipher Cipher = ""
	AES128    Cipher = "AES-128-GCM"
	AES256    Cipher = "AES-256-GCM"
	ChaCha20  Cipher = "CHACHA20-POLY1305"
)

// Endpoint is one listening port of one server, set up for one cell of the
// matrix.
type Endpoint struct {
	Server  string `json:"server"`
	Port    int    `json:"port"`
	Version uint16 `json:"version"` // as on the wire, 0x0303 for TLS 1.2
	Mode    Mode   `json:"mode"`
	Cipher  Cipher `json:"cipher,omitempty"`
	Key     Key    `json:"key"`
	// TwoCAs: two authorities are named in the request instead of one.
	TwoCAs bool `json:"two_cas,omitempty"`
}

// everyMode returns endpoints like one for each of the versions and every mode, on
// ports from its own on.
func everyMode(like Endpoint, versions ...uint16) (eps []Endpoint) {
	for _, v := range versions {
		for _, m := range []Mode{NotAsked, Optional, Required} {
			e := like
			e.Port, e.Version, e.Mode = like.Port+len(eps), v, m
			eps = append(eps, e)
		}
	}
	return eps
}

// Suite returns the code point of the endpoint's cipher suite, 0 for AnyCipher.
func (e Endpoint) Suite() uint16 {
	type row struct{ tls13, rsa, ec uint16 }
	r := map[Cipher]row{
		AES128:   {tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		AES256:   {tls.TLS_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
		ChaCha20: {tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
	}[e.Cipher]
	switch {
	case e.Version == tls.VersionTLS13:
		return r.tls13
	case e.Key == RSA:
		return r.rsa
	}
	return r.ec
}

// tls13 reports whether the endpoint speaks TLS 1.3; the others speak 1.2.
func (e Endpoint) tls13() bool { return e.Version == tls.VersionTLS13 }

// suiteName is the IANA name, "" for AnyCipher.
func (e Endpoint) suiteName() string {
	if e.Cipher == AnyCipher {
		return ""
	}
	return tls.CipherSuiteName(e.Suite())
}

// openssl returns the settings of OpenSSL for the suites up to TLS 1.2 and of
// TLS 1.3; the one that does not matter keeps a valid value.
func (e Endpoint) openssl() (ciphers, suites string) {
	ciphers, suites = "HIGH:!aNULL", "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
	switch {
	case e.Cipher == AnyCipher:
	case e.tls13():
		suites = e.suiteName()
	default:
		short := map[Cipher]string{AES128: "AES128-GCM-SHA256", AES256: "AES256-GCM-SHA384", ChaCha20: "CHACHA20-POLY1305"}
		auth := map[Key]string{RSA: "RSA", EC: "ECDSA"}
		ciphers = "ECDHE-" + auth[e.Key] + "-" + short[e.Cipher]
	}
	return ciphers, suites
}

// gnutls returns a GnuTLS priority string.
func (e Endpoint) gnutls() string {
	p := "NORMAL:-VERS-ALL:+VERS-TLS1.2"
	if e.tls13() {
		p = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
	}
	if e.Cipher != AnyCipher {
		p += ":-CIPHER-ALL:+" + string(e.Cipher)
	}
	return p
}

// nss returns the arguments of the NSS tools for version and suite.
func (e Endpoint) nss() []string {
	v := "tls1.2:tls1.2"
	if e.tls13() {
		v = "tls1.3:tls1.3"
	}
	args := []string{"-V", v}
	if e.Cipher != AnyCipher {
		args = append(args, "-c", fmt.Sprintf(":%04X", e.Suite()))
	}
	return args
}
