package parse

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

func buildServerHello(version uint16, random []byte, draft bool, suite uint16, extensions []testExtension) []byte {
	var b cryptobyte.Builder
	b.AddUint16(version)
	b.AddBytes(random)
	if !draft {
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("session")) })
	}
	b.AddUint16(suite)
	if !draft {
		b.AddUint8(0)
	}
	addExtensions(&b, extensions)
	return b.BytesOrPanic()
}

func TestServerHello(t *testing.T) {
	random := bytes.Repeat([]byte{7}, 32)
	retry := sha256.Sum256([]byte("HelloRetryRequest"))
	tls13 := testExtension{43, []byte{3, 4}}
	h2 := testExtension{16, unhex(t, "0003 02 6832")}
	for _, tt := range []struct {
		name      string
		body      []byte
		version   Version
		retry     bool
		psk       bool
		alpn      string
		malformed string
	}{
		{name: "SSL 3.0", body: buildServerHello(0x0300, random, false, 0x2f, nil), version: SSL30},
		{name: "TLS 1.2", body: buildServerHello(0x0303, random, false, 0x2f, []testExtension{h2}), version: TLS12, alpn: "h2"},
		{name: "TLS 1.3", body: buildServerHello(0x0303, random, false, 0x2f, []testExtension{{51, nil}, tls13}), version: TLS13},
		{name: "PSK", body: buildServerHello(0x0303, random, false, 0x2f, []testExtension{tls13, {41, []byte{0, 0}}}), version: TLS13, psk: true},
		{name: "retry", body: buildServerHello(0x0303, retry[:], false, 0x2f, []testExtension{tls13}), version: TLS13, retry: true},
		{name: "draft 18", body: buildServerHello(0x7f12, random, true, 0x2f, []testExtension{{41, []byte{0, 0}}}), version: 0x7f12, psk: true},
		{name: "draft 28", body: buildServerHello(0x0303, random, false, 0x2f, []testExtension{{43, []byte{0x7f, 28}}}), version: 0x7f1c},
		{name: "twice", body: buildServerHello(0x0303, random, false, 0x2f, []testExtension{tls13, {43, []byte{3, 2}}}),
			version: TLS13, malformed: "extension 43 comes twice"},
		{name: "list of versions", body: buildServerHello(0x0303, random, false, 0x2f, []testExtension{{43, []byte{2, 3, 4}}}),
			version: TLS12, malformed: "extension 43 is malformed"},
		{name: "two protocols", body: buildServerHello(0x0303, random, false, 0x2f, []testExtension{{16, unhex(t, "0006 02 6832 02 6833")}}),
			version: TLS12, alpn: "h2", malformed: "extension 16 is malformed"},
		{name: "bytes behind", body: append(buildServerHello(0x0303, random, false, 0x2f, []testExtension{tls13}), 1),
			version: TLS13, malformed: "bytes behind the extensions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, retry, malformed := parseServerHello(tt.body, true)
			if h == nil || malformed != tt.malformed {
				t.Fatalf("malformed %q, hello %+v", malformed, h)
			}
			if h.Version != tt.version || retry != tt.retry || h.PSK != tt.psk || h.ALPN != tt.alpn || h.Cipher != 0x2f {
				t.Errorf("retry %v, %+v", retry, h)
			}
			if session := string(h.SessionID); session != "session" && tt.version != 0x7f12 {
				t.Errorf("session id %q", session)
			}
		})
	}
}

func TestServerHelloOfGo(t *testing.T) {
	server := testIdentity(t, "portal.contoso.test")
	for _, version := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		for _, curve := range []tls.CurveID{tls.X25519, tls.CurveP521} { // the latter makes a HelloRetryRequest
			chunks := hellos(t,
				&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"},
					CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP521}},
				&tls.Config{Certificates: []tls.Certificate{server}, NextProtos: []string{"h2"},
					MinVersion: tls.VersionTLS10, MaxVersion: version, CurvePreferences: []tls.CurveID{curve}})
			body := bodyOf(t, chunks, Accepter, TypeServerHello)
			h, retry, malformed := parseServerHello(body, true)
			if h == nil || malformed != "" {
				t.Fatalf("malformed %q", malformed)
			}
			is13 := version == tls.VersionTLS13
			if uint16(h.Version) != version || retry != (is13 && curve == tls.CurveP521) || (h.ALPN == "h2") == is13 {
				t.Errorf("%v with %v: retry %v, %+v", tls.VersionName(version), curve, retry, h)
			}
			checkPrefixes(t, body, 34+1+len(h.SessionID)+2, func(b []byte) (bool, string) {
				h, _, malformed := parseServerHello(b, true)
				return h != nil, malformed
			})
		}
	}
}

func FuzzServerHello(f *testing.F) {
	f.Add(buildServerHello(0x0303, make([]byte, 32), false, 0x1301, []testExtension{{43, []byte{3, 4}}, {41, []byte{0, 0}}}))
	f.Add(buildServerHello(0x7f12, make([]byte, 32), true, 0x1301, []testExtension{{16, []byte{0, 2, 1, 'x'}}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, _, malformed := parseServerHello(body, true)
		if h == nil && malformed == "" {
			t.Fatal("nothing read, and nothing wrong")
		}
		if h != nil {
			checkText(t, h.ALPN)
		}
	})
}
