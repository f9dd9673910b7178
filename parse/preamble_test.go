package parse

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// talk is what the sides say in front of TLS: "C:" or "S:" and text with Go
// escapes, the opener being C.
type talk []string

func (t talk) chunks() []Chunk {
	var out []Chunk
	for i, line := range t {
		from := Opener
		if line[0] == 'S' {
			from = Accepter
		}
		out = append(out, Chunk{Flow: testFlow, From: from, Time: testStart.Add(-1000 + 1), Data: []byte(line[2:])})
		out[i].Time = testStart
	}
	return out
}

func fromHex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

func proxied(source, dest string) *Proxied {
	return &Proxied{netip.MustParseAddrPort(source), netip.MustParseAddrPort(dest)}
}

const (
	proxy1Line = "PROXY TCP4 198.18.0.10 198.18.0.20 40000 443\r\n"
	connectOK  = "S:HTTP/1.1 200 Connection established\r\n\r\n"
	connect    = "C:CONNECT portal.contoso.test:443 HTTP/1.1\r\nHost: portal.contoso.test:443\r\n\r\n"
)

// preambleTests are dialogues after the specifications named.
var preambleTests = []struct {
	name, want string
	talk       talk
	proxied    *Proxied
	target     string
}{
	// proxy-protocol.txt §2.1
	{"proxy1", "proxy-v1", talk{"C:" + proxy1Line}, proxied("198.18.0.10:40000", "198.18.0.20:443"), ""},
	{"proxy1 v6", "proxy-v1", talk{"C:PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"}, proxied("[2001:db8::1]:1", "[2001:db8::2]:65535"), ""},
	{"proxy1 unknown", "proxy-v1", talk{"C:PROXY UNKNOWN\r\n"}, nil, ""},
	{"proxy1 unknown long", "proxy-v1", talk{"C:PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"}, nil, ""},
	{"proxy1 nonsense", "proxy-v1", talk{"C:PROXY TCP4 198.18.0.999 198.18.0.20 40000 443\r\n"}, nil, ""},
	{"proxy1 endless", "proxy-v1", talk{"C:PROXY TCP4 " + strings.Repeat("9", 300) + "\r\n"}, nil, ""},
	// §2.2
	{"proxy2", "proxy-v2", talk{"C:" + proxy2Magic + "\x21\x11\x00\x0c" + "\xc6\x12\x00\x0a\xc6\x12\x00\x14\x9c\x40\x01\xbb"}, proxied("198.18.0.10:40000", "198.18.0.20:443"), ""},
	{"proxy2 tlv", "proxy-v2", talk{"C:" + proxy2Magic + "\x21\x11\x00\x1b" + "\xc6\x12\x00\x0a\xc6\x12\x00\x14\x9c\x40\x01\xbb" + "\x03\x00\x04abcd" + "\x20\x00\x05\x01\x00\x00\x00\x00"}, proxied("198.18.0.10:40000", "198.18.0.20:443"), ""},
	{"proxy2 long", "proxy-v2", talk{"C:" + proxy2Magic + "\x21\x11\x10\x0c" + "\xc6\x12\x00\x0a\xc6\x12\x00\x14\x9c\x40\x01\xbb" + strings.Repeat("x", 4096)}, proxied("198.18.0.10:40000", "198.18.0.20:443"), ""},
	{"proxy2 v6", "proxy-v2", talk{"C:" + proxy2Magic + "\x21\x21\x00\x24" + fromHex("20010db8000000000000000000000001 20010db8000000000000000000000002 0001 ffff")}, proxied("[2001:db8::1]:1", "[2001:db8::2]:65535"), ""},
	{"proxy2 local", "proxy-v2", talk{"C:" + proxy2Magic + "\x20\x00\x00\x00"}, nil, ""},
	{"proxy2 unix", "proxy-v2", talk{"C:" + proxy2Magic + "\x21\x31\x00\xd8" + strings.Repeat("/", 216)}, nil, ""},
	{"proxy2 short", "proxy-v2", talk{"C:" + proxy2Magic + "\x21\x11\x00\x04abcd"}, nil, ""},
	// RFC 9110 §9.3.6
	{"connect", "http-connect", talk{connect, connectOK}, nil, "portal.contoso.test:443"},
	{"connect without an answer", "http-connect", talk{connect}, nil, "portal.contoso.test:443"},
	{"connect v6", "http-connect", talk{"C:CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n\r\n", "S:HTTP/1.0 200 OK\r\nVia: x\r\n\r\n"}, nil, "[2001:db8::1]:8443"},
	{"connect 407", "http-connect", talk{
		"C:CONNECT www.fabrikam.test:443 HTTP/1.1\r\n\r\n",
		"S:HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 21\r\n\r\nHTTP/1.1 200 really?\n",
		"C:CONNECT portal.contoso.test:443 HTTP/1.1\r\nProxy-Authorization: Basic " + strings.Repeat("A", 9000) + "\r\n\r\n",
		"S:HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 299 Odd\r\n" + strings.Repeat("X-Field: value\r\n", 4000) + "\r\n",
	}, nil, "portal.contoso.test:443"},
	{"connect 407 chunked", "http-connect", talk{
		connect, "S:HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\n\r\n\r\r\n0\r\nT: u\r\n\r\n",
		"C:CONNECT portal.contoso.test:444 HTTP/1.1\r\n\r\n", connectOK,
	}, nil, "portal.contoso.test:444"},
	{"get and connect", "http-connect", talk{
		"C:GET http://www.contoso.test/ HTTP/1.1\r\n\r\n", "S:HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"C:POST http://www.contoso.test/ HTTP/1.1\r\nContent-Length: 45\r\n\r\nCONNECT www.fabrikam.test:443 HTTP/1.1\r\nHost:\n", "S:HTTP/1.1 204 No Content\r\n\r\n",
		connect, connectOK,
	}, nil, "portal.contoso.test:443"},
	{"connect and smtp", "http-connect+smtp", talk{
		"C:CONNECT mail.contoso.test:25 HTTP/1.1\r\n\r\n", connectOK,
		"S:220 mail ESMTP\r\n", "C:EHLO x\r\n", "S:250-mail\r\n250 STARTTLS\r\n", "C:STARTTLS\r\n", "S:220 go\r\n",
	}, nil, "mail.contoso.test:25"},
	// RFC 2817 §3
	{"upgrade", "http-upgrade", talk{
		"C:OPTIONS * HTTP/1.1\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n",
		"S:HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.0, HTTP/1.1\r\nConnection: Upgrade\r\n\r\n",
	}, nil, ""},
	{"plain http", "http", talk{"C:GET / HTTP/1.1\r\n\r\n", "S:HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"}, nil, ""},
	// RFC 1928, 1929, 1961
	{"socks5", "socks5", talk{"C:\x05\x01\x00", "S:\x05\x00", "C:\x05\x01\x00\x01\xc6\x12\x00\x14\x01\xbb", "S:\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}, nil, "198.18.0.20:443"},
	{"socks5 name", "socks5", talk{"C:\x05\x03\x00\x01\x02", "S:\x05\x02", "C:\x01\x03bob\x06secret", "S:\x01\x00", "C:\x05\x01\x00\x03\x13portal.contoso.test\x01\xbb", "S:\x05\x00\x00\x03\x01x\x00\x00"}, nil, "portal.contoso.test:443"},
	{"socks5 v6", "socks5", talk{"C:\x05\x01\x00", "S:\x05\x00", "C:\x05\x01\x00\x04" + fromHex("20010db8000000000000000000000001") + "\x01\xbb", "S:\x05\x00\x00\x04" + strings.Repeat("\x00", 18)}, nil, "[2001:db8::1]:443"},
	{"socks5 gssapi", "socks5", talk{"C:\x05\x01\x01", "S:\x05\x01", "C:\x01\x01\x00\x05token", "S:\x01\x01\x00\x02ok", "C:\x01\x02\x00\x01\x01", "S:\x01\x02\x00\x01\x01", "C:\x05\x01\x00\x01\xc6\x12\x00\x14\x01\xbb", "S:\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}, nil, "198.18.0.20:443"},
	{"socks4", "socks4", talk{"C:\x04\x01\x01\xbb\xc6\x12\x00\x14bob\x00", "S:\x00\x5a\x00\x00\x00\x00\x00\x00"}, nil, "198.18.0.20:443"},
	{"socks4a", "socks4a", talk{"C:\x04\x01\x01\xbb\x00\x00\x00\x01\x00portal.contoso.test\x00", "S:\x00\x5a\x00\x00\x00\x00\x00\x00"}, nil, "portal.contoso.test:443"},
	{"socks and connect", "socks5+http-connect", talk{
		"C:\x05\x01\x00", "S:\x05\x00", "C:\x05\x01\x00\x01\xc6\x12\x00\x14\x01\xbb", "S:\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", connect, connectOK,
	}, nil, "portal.contoso.test:443"},
	// RFC 3207, 2033
	{"smtp", "smtp", talk{"S:220-mail\r\n220 hello\r\n", "C:EHLO x\r\n", "S:250-mail\r\n250-SIZE\r\n250 STARTTLS\r\n", "C:STARTTLS\r\n", "S:220 go\r\n"}, nil, ""},
	{"smtp one-sided", "smtp", talk{"C:ehlo x\r\n", "C:starttls\r\n"}, nil, ""},
	{"lmtp", "lmtp", talk{"S:220 mail LMTP\r\n", "C:LHLO x\r\n", "S:250 STARTTLS\r\n", "C:STARTTLS\r\n", "S:220 go\r\n"}, nil, ""},
	// RFC 2595, 3501
	{"imap", "imap", talk{"S:* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n", "C:a001 CAPABILITY\r\n", "S:* CAPABILITY IMAP4rev1\r\na001 OK\r\n", "C:a002 STARTTLS\r\n", "S:a002 OK Begin\r\n"}, nil, ""},
	{"imap one-sided", "imap", talk{"C:a STARTTLS\r\n"}, nil, ""},
	{"pop3", "pop3", talk{"S:+OK POP3 ready\r\n", "C:CAPA\r\n", "S:+OK\r\nSTLS\r\n.\r\n", "C:STLS\r\n", "S:+OK Begin\r\n"}, nil, ""},
	// RFC 4217, 4642
	{"ftp", "ftp", talk{"S:220 (vsFTPd)\r\n", "C:AUTH TLS\r\n", "S:234 Proceed\r\n"}, nil, ""},
	{"ftp ssl", "ftp", talk{"S:220 FTP\r\n", "C:AUTH TLS\r\n", "S:504 no\r\n", "C:AUTH SSL\r\n", "S:234 AUTH SSL successful\r\n"}, nil, ""},
	{"nntp", "nntp", talk{"S:200 news ready\r\n", "C:CAPABILITIES\r\n", "S:101 list\r\nSTARTTLS\r\n.\r\n", "C:STARTTLS\r\n", "S:382 Continue\r\n"}, nil, ""},
	// RFC 6120 §5
	{"xmpp", "xmpp", talk{
		"C:<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='contoso.test'>", "S:<?xml version='1.0'?><stream:stream id='1'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
		"C:<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "S:<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
	}, nil, ""},
	{"xmpp server", "xmpp-server", talk{
		"C:<?xml version='1.0'?><stream:stream xmlns='jabber:server' to='contoso.test'>", "S:<?xml version='1.0'?><stream:stream id='1'>",
		"C:<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "S:<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
	}, nil, ""},
	// RFC 4511 §4.14; the second as Active Directory writes lengths
	{"ldap", "ldap", talk{"C:" + ldapStartTLS, "S:\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"}, nil, ""},
	{"ldap long", "ldap", talk{"C:\x30\x84\x00\x00\x00\x1d" + ldapStartTLS[2:], "S:\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00"}, nil, ""},
	// PostgreSQL, "SSL Session Encryption"
	{"postgresql", "postgresql", talk{"C:" + postgresSSLRequest, "S:S"}, nil, ""},
	{"postgresql gss", "postgresql", talk{"C:" + postgresGSSRequest, "S:N", "C:" + postgresSSLRequest, "S:S"}, nil, ""},
	// MySQL, "Connection Phase"
	{"mysql", "mysql", talk{"S:" + mysqlGreeting, "C:" + mysqlSSLRequest}, nil, ""},
	{"mysql one-sided", "mysql", talk{"C:" + mysqlSSLRequest}, nil, ""},
	// RFC 5804 §2.2
	{"sieve", "sieve", talk{"S:\"IMPLEMENTATION\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n", "C:STARTTLS\r\n", "S:OK\r\n"}, nil, ""},
	// ircv3.net/specs/deprecated/tls
	{"irc", "irc", talk{"S::irc.contoso.test NOTICE * :hi\r\n", "C:CAP LS\r\nSTARTTLS\r\n", "S::irc.contoso.test 670 * :go\r\n"}, nil, ""},
	{"starttls of what", "starttls", talk{"C:STARTTLS\r\n"}, nil, ""},
	// MS-RDPBCGR §4.1.1
	{"rdp", "rdp", talk{"C:\x03\x00\x00\x2c\x27\xe0\x00\x00\x00\x00\x00Cookie: mstshash=eltons\r\n\x01\x00\x08\x00\x03\x00\x00\x00", "S:\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x01\x08\x00\x01\x00\x00\x00"}, nil, ""},
	// Stacked
	{"proxy and connect", "proxy-v1+http-connect", talk{"C:" + proxy1Line + connect[2:], connectOK}, proxied("198.18.0.10:40000", "198.18.0.20:443"), "portal.contoso.test:443"},
	{"proxy and smtp", "proxy-v2+smtp", talk{"C:" + proxy2Magic + "\x20\x00\x00\x00", "S:220 mail\r\n", "C:EHLO x\r\n", "S:250 STARTTLS\r\n", "C:STARTTLS\r\n", "S:220 go\r\n"}, nil, ""},
	{"proxy and postgresql", "proxy-v1+postgresql", talk{"C:" + proxy1Line + postgresSSLRequest, "S:S"}, proxied("198.18.0.10:40000", "198.18.0.20:443"), ""},
	{"proxy and mysql, the greeting captured early", "proxy-v1+mysql", talk{"S:" + mysqlGreeting, "C:" + proxy1Line, "C:" + mysqlSSLRequest}, proxied("198.18.0.10:40000", "198.18.0.20:443"), ""},
	// Unknown
	{"other", "other", talk{"C:\x00\x01\x02\x03", "S:\x09\x09"}, nil, ""},
	{"other text", "other", talk{"C:hello there\r\n", "S:hi\r\n"}, nil, ""},
}

// mysqlGreeting is of a server of version 8, MySQL, "Protocol::HandshakeV10".
var mysqlGreeting = "\x4a\x00\x00\x00\x0a8.0.11\x00\x08\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xc3\x15" +
	strings.Repeat("\x00", 10) + "abcdefghijkl\x00caching_sha2_password\x00"

// afterPreamble runs a handshake in which the server asks, TLS 1.2.
func afterPreamble(t testing.TB) []Chunk {
	configs := testConfigs(t)["1.2 asked certificate"]
	return handshake(t, configs[0], configs[1])
}

func TestPreambles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	tls := afterPreamble(t)
	p := NewParser(Options{})
	bare, _ := feed(p, tls)
	for _, tt := range preambleTests {
		t.Run(tt.name, func(t *testing.T) {
			chunks := slices.Concat(tt.talk.chunks(), tls)
			wantH, want := feed(p, chunks)
			if wantH.Preamble != tt.want || wantH.Target != tt.target || !reflect.DeepEqual(wantH.Proxied, tt.proxied) {
				t.Errorf("%q, target %q, proxied %v; want %q, %q, %v", wantH.Preamble, wantH.Target, wantH.Proxied, tt.want, tt.target, tt.proxied)
			}
			if len(wantH.Messages) != len(bare.Messages) || len(wantH.Requests) != 1 || wantH.Sides[0].Malformed+wantH.Sides[1].Malformed != "" {
				t.Fatalf("TLS behind it is read differently: %+v", wantH)
			}
			total := 0
			for _, line := range tt.talk {
				total += len(line)
			}
			size := func(n int) func() int { return func() int { return n } }
			ways := []func() int{size(1), size(2), size(3), size(7), size(50)}
			if total < 2000 {
				for range 20 {
					ways = append(ways, func() int { return 1 + rng.IntN(60) })
				}
			}
			for i, way := range ways {
				h, events := feed(p, resplit(chunks, way))
				if !reflect.DeepEqual(h, wantH) || !reflect.DeepEqual(events, want) {
					t.Fatalf("another split (%d) gives other facts: %q %q %v", i, h.Preamble, h.Target, h.Proxied)
				}
			}
		})
	}
}

// TestPreambleInOnePiece: a client may send its hello with the last message of
// the preamble, and the capture may show one direction before the other.
func TestPreambleInOnePiece(t *testing.T) {
	tls := afterPreamble(t)
	p := NewParser(Options{})
	for _, tt := range preambleTests {
		var opener, accepter []byte
		for _, ch := range slices.Concat(tt.talk.chunks(), tls) {
			if ch.From == Opener {
				opener = append(opener, ch.Data...)
			} else {
				accepter = append(accepter, ch.Data...)
			}
		}
		for _, order := range [][]Chunk{
			{{Flow: testFlow, Time: testStart, Data: opener}, {Flow: testFlow, Time: testStart, From: Accepter, Data: accepter, End: FIN}},
			{{Flow: testFlow, Time: testStart, From: Accepter, Data: accepter}, {Flow: testFlow, Time: testStart, Data: opener, End: FIN}},
		} {
			h, _ := feed(p, order)
			if h.ClientHello == nil || h.ServerHello == nil || len(h.Requests) != 1 {
				t.Errorf("%s, %v first: hellos %v %v, %d requests", tt.name, order[0].From, h.ClientHello != nil, h.ServerHello != nil, len(h.Requests))
			}
			if h.Target != tt.target && h.Target != "" || tt.proxied == nil && h.Proxied != nil {
				t.Errorf("%s, %v first: target %q, proxied %v", tt.name, order[0].From, h.Target, h.Proxied)
			}
		}
	}
}

// TestPreambleLost: whatever part of a preamble is missing, TLS behind it is
// read as if it were alone, and no fact appears that was not there.
func TestPreambleLost(t *testing.T) {
	tls := afterPreamble(t)
	p := NewParser(Options{})
	bare, _ := feed(p, tls)
	for _, tt := range preambleTests {
		chunks := tt.talk.chunks()
		for i, ch := range chunks {
			step := 1 + len(ch.Data)/200
			for at := 0; at < len(ch.Data); at += step {
				for _, n := range []int{1, 5, len(ch.Data) - at} {
					if at+n > len(ch.Data) {
						continue
					}
					first, second := ch, ch
					first.Data, second.Data, second.Lost = ch.Data[:at], ch.Data[at+n:], n
					h, _ := feed(p, slices.Concat(chunks[:i], []Chunk{first, second}, chunks[i+1:], tls))
					where := fmt.Sprintf("%s, %d bytes lost at %d of %d", tt.name, n, at, i)
					if len(h.Messages) != len(bare.Messages) || len(h.Requests) != 1 || h.Requests[0].Malformed != "" || !reflect.DeepEqual(h.Tape.Records, bare.Tape.Records) {
						t.Fatalf("%s: TLS is read differently", where)
					}
					if h.Target != "" && h.Target != tt.target && !strings.Contains(tt.name, "407") && !strings.Contains(tt.name, "get and") && !strings.Contains(tt.name, "socks and") ||
						h.Proxied != nil && !reflect.DeepEqual(h.Proxied, tt.proxied) {
						t.Fatalf("%s: target %q, proxied %v", where, h.Target, h.Proxied)
					}
				}
			}
		}
	}
}
