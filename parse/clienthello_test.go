package parse

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// message is a handshake message as it went over a wire.
type message struct {
	typ  HandshakeType
	body []byte
}

// hellos runs crypto/tls on both ends of a loopback connection, up to the end of
// the handshake only, and returns what went over it. A pipe would not do: its
// writes wait for the reader, and with a HelloRetryRequest both sides write.
func hellos(t testing.TB, client, server *tls.Config) []Chunk {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := &wire{}
	deadline := time.Now().Add(20 * time.Second)
	done := make(chan error, 1)
	go func() {
		b, err := l.Accept()
		if err == nil {
			defer b.Close()
			b.SetDeadline(deadline)
			err = tls.Server(tapConn{b, w, Accepter}, server).Handshake()
		}
		done <- err
	}()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.SetDeadline(deadline)
	if err := tls.Client(tapConn{a, w, Opener}, client).Handshake(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	return w.chunks
}

// clearMessages returns the messages that one side sent before it sealed.
func clearMessages(t testing.TB, chunks []Chunk, from Side) (list []message) {
	t.Helper()
	var stream, flight cryptobyte.String
	for _, ch := range chunks {
		if ch.From == from {
			stream = append(stream, ch.Data...)
		}
	}
	for !stream.Empty() {
		var typ uint8
		var fragment cryptobyte.String
		if !stream.ReadUint8(&typ) || !stream.Skip(2) || !stream.ReadUint16LengthPrefixed(&fragment) {
			t.Fatal("the stream is not made of records")
		}
		if ContentType(typ) != HandshakeRecord {
			break
		}
		flight = append(flight, fragment...)
	}
	for !flight.Empty() {
		var typ uint8
		var body cryptobyte.String
		if !flight.ReadUint8(&typ) || !flight.ReadUint24LengthPrefixed(&body) {
			t.Fatal("the records are not made of messages")
		}
		list = append(list, message{HandshakeType(typ), body})
	}
	return list
}

// bodyOf returns the first message of a type that one side sent in the clear.
func bodyOf(t testing.TB, chunks []Chunk, from Side, typ HandshakeType) []byte {
	t.Helper()
	for _, m := range clearMessages(t, chunks, from) {
		if m.typ == typ {
			return m.body
		}
	}
	t.Fatalf("no message of type %v", typ)
	return nil
}

// testExtension is an extension of a hello that a test builds.
type testExtension struct {
	typ  uint16
	data []byte
}

func buildClientHello(version uint16, suites []uint16, extensions []testExtension) []byte {
	var b cryptobyte.Builder
	b.AddUint16(version)
	b.AddBytes(make([]byte, 32))
	b.AddUint8(0)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addUint16s(b, suites) })
	b.AddBytes([]byte{1, 0})
	addExtensions(&b, extensions)
	return b.BytesOrPanic()
}

func addUint16s(b *cryptobyte.Builder, list []uint16) {
	for _, v := range list {
		b.AddUint16(v)
	}
}

func addExtensions(b *cryptobyte.Builder, extensions []testExtension) {
	if extensions == nil {
		return
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, e := range extensions {
			b.AddUint16(e.typ)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.data) })
		}
	})
}

// unhex reads hexadecimal with blanks and line breaks in it.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestClientHelloOfGo(t *testing.T) {
	server := testIdentity(t, "portal.contoso.test")
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			chunks := hellos(t, &tls.Config{
				ServerName: "portal.contoso.test", InsecureSkipVerify: true, NextProtos: []string{"h2", "acme-tls/1"},
				MinVersion: tls.VersionTLS10, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1),
			}, &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}})
			body := bodyOf(t, chunks, Opener, TypeClientHello)
			h, malformed := parseClientHello(body, true)
			if h == nil || malformed != "" {
				t.Fatalf("malformed: %q", malformed)
			}
			if h.ServerName != "portal.contoso.test" || !slices.Equal(h.ALPN, []string{"h2", "acme-tls/1"}) {
				t.Errorf("SNI %q, ALPN %q", h.ServerName, h.ALPN)
			}
			if got := uint16(slices.Max(h.Versions)); got != version {
				t.Errorf("versions %v", h.Versions)
			}
			if !bytes.Equal(h.Random[:], body[2:34]) || len(h.SessionID) != int(body[34]) {
				t.Errorf("random %x, session id %x", h.Random, h.SessionID)
			}
			if h.SSL2 || h.ECH || h.PSK || h.EarlyData || h.GREASE || h.ALPS || h.PostHandshakeAuth || h.FragmentLimit || h.Ticket {
				t.Errorf("an extension out of nothing: %+v", h)
			}
			if len(h.JA3) != 32 || len(h.JA4) != 36 {
				t.Errorf("JA3 %q, JA4 %q", h.JA3, h.JA4)
			}
			checkPrefixes(t, body, 34+1+len(h.SessionID)+2, func(b []byte) (bool, string) {
				h, malformed := parseClientHello(b, true)
				return h != nil, malformed
			})
		})
	}
}

// checkPrefixes runs a parser on every proper prefix of a valid message: each
// must be called malformed but where the layout allows an end, and none shorter
// than least may give a hello.
func checkPrefixes(t *testing.T, body []byte, least int, parse func([]byte) (found bool, malformed string)) {
	t.Helper()
	whole := 0
	for n := range body {
		found, malformed := parse(slices.Clone(body[:n:n]))
		if malformed == "" {
			whole++ // a hello without extensions
		}
		if found && n < least {
			t.Errorf("a hello out of %d bytes", n)
		}
	}
	if whole > 1 {
		t.Errorf("%d prefixes pass for complete messages", whole)
	}
}

func TestClientHelloExtensions(t *testing.T) {
	sni := func(s string) []byte {
		var b cryptobyte.Builder
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
		})
		return b.BytesOrPanic()
	}
	for _, tt := range []struct {
		name       string
		extensions []testExtension
		malformed  string
		check      func(h *ClientHello) bool
	}{
		{"none", nil, "", func(h *ClientHello) bool {
			return h.Extensions == nil && slices.Equal(h.Versions, []Version{TLS12})
		}},
		{"empty block", []testExtension{}, "", func(h *ClientHello) bool { return len(h.Extensions) == 0 }},
		{"GREASE", []testExtension{{0x2a2a, nil}, {23, nil}}, "", func(h *ClientHello) bool {
			return h.GREASE && slices.Equal(h.Extensions, []uint16{23})
		}},
		{"versions", []testExtension{{43, []byte{6, 0x1a, 0x1a, 3, 4, 3, 3}}}, "", func(h *ClientHello) bool {
			return slices.Equal(h.Versions, []Version{TLS13, TLS12})
		}},
		{"odd versions", []testExtension{{43, []byte{3, 3, 4, 3}}}, "extension 43 is malformed", func(h *ClientHello) bool {
			return slices.Equal(h.Versions, []Version{TLS13})
		}},
		{"only GREASE versions", []testExtension{{43, []byte{2, 0x1a, 0x1a}}}, "", func(h *ClientHello) bool {
			return slices.Equal(h.Versions, []Version{TLS12})
		}},
		{"post-handshake", []testExtension{{49, nil}}, "", func(h *ClientHello) bool { return h.PostHandshakeAuth }},
		{"0-RTT", []testExtension{{42, nil}, {41, []byte{1}}}, "", func(h *ClientHello) bool { return h.EarlyData && h.PSK }},
		{"new ticket", []testExtension{{35, nil}}, "", func(h *ClientHello) bool { return !h.Ticket }},
		{"ticket", []testExtension{{35, []byte{1}}}, "", func(h *ClientHello) bool { return h.Ticket }},
		{"ALPS", []testExtension{{17613, nil}}, "", func(h *ClientHello) bool { return h.ALPS }},
		{"old ALPS", []testExtension{{17513, nil}}, "", func(h *ClientHello) bool { return h.ALPS }},
		{"ECH", []testExtension{{0xfe0d, nil}}, "", func(h *ClientHello) bool { return h.ECH }},
		{"ESNI", []testExtension{{0xffce, nil}}, "", func(h *ClientHello) bool { return h.ECH }},
		{"record size", []testExtension{{28, []byte{1, 0}}}, "", func(h *ClientHello) bool { return h.FragmentLimit }},
		{"fragment length", []testExtension{{1, []byte{1}}}, "", func(h *ClientHello) bool { return h.FragmentLimit }},
		{"twice", []testExtension{{0, sni("a.contoso.test")}, {0, sni("b.contoso.test")}}, "extension 0 comes twice",
			func(h *ClientHello) bool { return h.ServerName == "a.contoso.test" && len(h.Extensions) == 1 }},
		{"terminal escape", []testExtension{{0, sni("a\x1b[2J\\b c\xff")}}, "", func(h *ClientHello) bool {
			return h.ServerName == `a\x1b[2J\\b\x20c\xff`
		}},
		{"long name", []testExtension{{0, sni(strings.Repeat("a", 300))}}, "extension 0 is malformed",
			func(h *ClientHello) bool { return len(h.ServerName) == 255 }},
		{"empty name", []testExtension{{0, sni("")}}, "extension 0 is malformed", func(h *ClientHello) bool { return h.ServerName == "" }},
		{"no list", []testExtension{{0, nil}}, "extension 0 is malformed", func(h *ClientHello) bool { return h.ServerName == "" }},
		{"empty list", []testExtension{{0, []byte{0, 0}}}, "extension 0 is malformed", func(h *ClientHello) bool { return h.ServerName == "" }},
		{"other name type first", []testExtension{{0, unhex(t, "0008 01 0001 78 00 0001 61")}}, "",
			func(h *ClientHello) bool { return h.ServerName == "a" }},
		{"two names", []testExtension{{0, unhex(t, "0008 00 0001 61 00 0001 62")}}, "extension 0 is malformed",
			func(h *ClientHello) bool { return h.ServerName == "a" }},
		{"ALPN with control characters", []testExtension{{16, unhex(t, "0005 02 0a0a 01 07")}}, "",
			func(h *ClientHello) bool { return slices.Equal(h.ALPN, []string{`\x07`}) }},
		{"empty ALPN name", []testExtension{{16, unhex(t, "0004 00 02 6832")}}, "extension 16 is malformed",
			func(h *ClientHello) bool { return slices.Equal(h.ALPN, []string{"", "h2"}) }},
		{"ALPN list cut short", []testExtension{{16, unhex(t, "0005 02 6832 05 68")}}, "extension 16 is malformed",
			func(h *ClientHello) bool { return slices.Equal(h.ALPN, []string{"h2"}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, malformed := parseClientHello(buildClientHello(0x0303, []uint16{0xc02f}, tt.extensions), false)
			if h == nil || malformed != tt.malformed || !tt.check(h) {
				t.Errorf("malformed %q, want %q; %+v", malformed, tt.malformed, h)
			}
		})
	}
}

func TestClientHelloMalformed(t *testing.T) {
	good := buildClientHello(0x0303, []uint16{0xc02f}, []testExtension{{49, nil}, {23, nil}})
	for _, tt := range []struct {
		name, malformed string
		body            []byte
	}{
		{"bytes behind", "bytes behind the extensions", append(slices.Clone(good), 0)},
		{"extensions longer than the body", "extensions cut short", good[:len(good)-4]},
		{"extension longer than the block", "an extension is cut short",
			bytes.Replace(good, []byte{0, 8, 0, 49, 0, 0}, []byte{0, 8, 0, 49, 0, 9}, 1)},
		{"odd suites", "cipher suites", append(append(make([]byte, 34), 0, 0, 3, 0, 0, 0), 1, 0)},
		{"no suites", "cipher suites", append(make([]byte, 34), 0, 0, 0, 1, 0)},
		{"long session id", "session id longer than 32 bytes",
			slices.Concat(make([]byte, 34), []byte{33}, make([]byte, 33), []byte{0, 2, 0, 0, 1, 0})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if h, malformed := parseClientHello(tt.body, true); h == nil || malformed != tt.malformed {
				t.Errorf("malformed %q, hello %+v", malformed, h)
			}
		})
	}
	if h, _ := parseClientHello(good[:len(good)-4], false); !h.PostHandshakeAuth {
		t.Error("what stands in front of the break is lost")
	}
}

func TestClientHelloBounds(t *testing.T) {
	var many []testExtension
	for i := range 10000 {
		many = append(many, testExtension{uint16(20000 + i), nil})
	}
	h, malformed := parseClientHello(buildClientHello(0x0303, []uint16{1}, many), true)
	if len(h.Extensions) != maxExtensions || malformed != "" {
		t.Errorf("%d extensions, %q", len(h.Extensions), malformed)
	}
	alpn := append([]byte{0x40, 0}, bytes.Repeat([]byte{1, 'x'}, 0x2000)...)
	if h, _ := parseClientHello(buildClientHello(0x0303, []uint16{1}, []testExtension{{16, alpn}}), true); len(h.ALPN) != maxProtocols {
		t.Errorf("%d protocols", len(h.ALPN))
	}
}

func TestSSL2ClientHello(t *testing.T) {
	challenge := strings.Repeat("c1", 16)
	tls10 := unhex(t, "01 0301 0006 0000 0010 00002f 0700c0"+challenge)
	ssl20 := unhex(t, "01 0002 0003 0004 0010 0700c0 a1a2a3a4"+challenge)
	for _, tt := range []struct {
		name      string
		rec       []byte
		version   Version
		session   string
		malformed string
	}{
		{"offers TLS 1.0", tls10, TLS10, "", ""},
		{"SSL 2.0", ssl20, SSL20, "a1a2a3a4", ""},
		{"bytes behind", append(slices.Clone(ssl20), 0), SSL20, "a1a2a3a4", "bytes behind the SSL 2.0 ClientHello"},
		{"suites not of three bytes", unhex(t, "01 0301 0002 0000 0010 002f"+challenge), TLS10, "", "cipher suites"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, malformed := parseSSL2ClientHello(tt.rec, true)
			if h == nil || malformed != tt.malformed {
				t.Fatalf("malformed %q, hello %+v", malformed, h)
			}
			if !h.SSL2 || h.LegacyVersion != tt.version || !slices.Equal(h.Versions, []Version{tt.version}) ||
				hex.EncodeToString(h.SessionID) != tt.session {
				t.Errorf("%+v", h)
			}
			if got := hex.EncodeToString(h.Random[:]); got != strings.Repeat("00", 16)+challenge {
				t.Errorf("random %s", got)
			}
		})
	}
	checkPrefixes(t, tls10, 11+4, func(b []byte) (bool, string) {
		h, malformed := parseSSL2ClientHello(b, true)
		return h != nil, malformed
	})
}

func FuzzClientHello(f *testing.F) {
	f.Add(buildClientHello(0x0303, []uint16{0x0a0a, 0xc02f}, []testExtension{
		{0, unhex(f, "000600000300616263")}, {16, unhex(f, "000302 6832")}, {43, []byte{4, 0x1a, 0x1a, 3, 4}},
		{10, []byte{0, 2, 0, 29}}, {11, []byte{1, 0}}, {13, []byte{0, 2, 4, 3}},
	}))
	f.Add(unhex(f, "01 0301 0003 0000 0010 00002f"+strings.Repeat("c1", 16)))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, malformed := parseClientHello(body, true)
		if h == nil && malformed == "" {
			t.Fatal("nothing read, and nothing wrong")
		}
		if h != nil {
			checkText(t, append(slices.Clone(h.ALPN), h.ServerName)...)
			if len(h.Versions) == 0 || len(h.JA3) != 32 || len(h.JA4) != 36 || len(h.Extensions) > maxExtensions || len(h.ALPN) > maxProtocols {
				t.Fatalf("%+v", h)
			}
		}
		if h, malformed := parseSSL2ClientHello(body, true); h == nil && malformed == "" {
			t.Fatal("nothing read, and nothing wrong")
		}
	})
}

// checkText fails if a text could act on a terminal.
func checkText(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		for _, c := range []byte(s) {
			if c <= ' ' || c >= 0x7f {
				t.Fatalf("%q is not safe to print", s)
			}
		}
	}
}

func BenchmarkClientHello(b *testing.B) {
	server := testIdentity(b, "portal.contoso.test")
	body := bodyOf(b, hellos(b,
		&tls.Config{ServerName: "portal.contoso.test", InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}},
		&tls.Config{Certificates: []tls.Certificate{server}}), Opener, TypeClientHello)
	for name, fp := range map[string]bool{"bare": false, "fingerprints": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if h, _ := parseClientHello(body, fp); h == nil {
					b.Fatal("not read")
				}
			}
		})
	}
}
