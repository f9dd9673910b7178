package probe

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"whoasked/parse"
)

// FuzzTarget: what is taken for a target can be connected to, and asked for.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"portal.contoso.test", "portal.contoso.test:8443", "198.18.0.20", "[2001:db8::1]:443", "2001:db8::1", "fe80::1%eth0",
		"https://portal.contoso.test/signin?a=b#c", "smtp://mail.contoso.test", "tls://198.18.0.20:1", "https://[fe80::1%25eth0]/",
		"https://user:secret@portal.contoso.test/", "https:///", "://", "gopher://contoso.test", "https://a:99999/", "%zz",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err != nil {
			return
		}
		if target.Host == "" || target.Port == 0 || target.Path == "" {
			t.Errorf("%q: %+v", s, target)
		}
		_, _ = target.Addr()
		a := Attempt{Probe: Probe{Target: target}}
		_ = a.request(&scripted{})
	})
}

// scripted is a client whose server says what is set, whatever it is told.
type scripted struct {
	recorder
	said *bytes.Reader
}

func (s *scripted) Read(b []byte) (int, error) {
	if s.said == nil {
		return 0, errNoAnswer
	}
	return s.said.Read(b)
}

func (*scripted) Handshake() error   { return nil }
func (*scripted) negotiated() string { return "" }
func (*scripted) resumed() bool      { return false }

// FuzzAnswer: whatever a server answers to a request, there is a status of HTTP or
// an error, and an end.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 400 Bad Request\r\n\r\nNo required SSL certificate was sent",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", "HTTP/1.1 421 Misdirected Request\r\n\r\n", "220 mail.contoso.test\r\n",
	} {
		f.Add([]byte(s), false)
	}
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"), true) // SETTINGS, HEADERS with :status 200
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0d"), true)
	f.Fuzz(func(t *testing.T, answer []byte, h2 bool) {
		a := Attempt{Probe: Probe{Target: Target{Host: "www.contoso.test", Port: 443, Path: "/"}}}
		if h2 {
			a.Negotiated = "h2"
		}
		err := a.request(&scripted{said: bytes.NewReader(answer)})
		if (err == nil) != (a.Status != 0) || a.Status != 0 && (a.Status < 200 || a.Status > 999) {
			t.Errorf("status %d, %v", a.Status, err)
		}
	})
}

// FuzzSpeak: whatever a server says before TLS, the dialogue ends, and its words
// are told in bounds.
func FuzzSpeak(f *testing.F) {
	rows := parse.Preambles()
	for i := range rows {
		for _, s := range []string{
			"220 mail.contoso.test ESMTP\r\n250-mail\r\n250 STARTTLS\r\n220 go ahead\r\n", "* OK\r\na001 OK\r\n", "+OK\r\n+OK\r\n", "S", "N",
			"<stream:features><starttls/></stream:features><proceed/>", "454 no\r\n",
		} {
			f.Add(byte(i), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, row byte, said []byte) {
		c := &scripted{said: bytes.NewReader(said)}
		at := netip.MustParseAddrPort("198.18.0.20:25")
		err := speak(newTap(net.Conn(c), at, time.Unix(0, 0)), &Target{Preamble: rows[int(row)%len(rows)].Name, Host: "mail.contoso.test"})
		if err != nil && len(err.Error()) > 2000 {
			t.Errorf("%d bytes of an error", len(err.Error()))
		}
	})
}

// FuzzHeader: every PROXY header that is sent is one that the parser of all
// others takes, with the addresses it was to say.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{198, 18, 0, 9}, []byte{198, 18, 0, 20}, uint16(1), uint16(443), false)
	f.Add(bytes.Repeat([]byte{0x20}, 16), []byte{198, 18, 0, 20}, uint16(1), uint16(443), true)
	f.Fuzz(func(t *testing.T, from, to []byte, fromPort, toPort uint16, second bool) {
		source, ok := netip.AddrFromSlice(from)
		target, also := netip.AddrFromSlice(to)
		if !ok || !also {
			return
		}
		h := Header{Version: 1, Source: netip.AddrPortFrom(source, fromPort), Target: netip.AddrPortFrom(target, toPort)}
		if second {
			h.Version = 2
		}
		b := h.append(nil, h.Source, h.Target)
		n, told, r := parse.ProxyHeader(b)
		if r != parse.ReplyGo || n != len(b) || told == nil {
			t.Fatalf("%q is not understood: %d, %v", b, n, r)
		}
		if !same(told.Source, h.Source) || !same(told.Dest, h.Target) {
			t.Errorf("%q says %v to %v, want %v to %v", b, told.Source, told.Dest, h.Source, h.Target)
		}
	})
}

func same(a, b netip.AddrPort) bool {
	return a.Addr().Unmap() == b.Addr().Unmap() && a.Port() == b.Port()
}
