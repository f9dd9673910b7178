package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// say sends a request to a relay that is a proxy and returns all it answers.
func say(t *testing.T, addr, request string) string {
	t.Helper()
	c := dialTCP(t, addr)
	_, _ = io.WriteString(c, request)
	b, _ := io.ReadAll(c)
	c.Close()
	return string(b)
}

func TestConnectRefusals(t *testing.T) {
	to := serve(t, func(c *net.TCPConn) { c.Close(); t.Error("somebody came through") })
	allowed := []Rule{{Prefix: netip.MustParsePrefix("198.18.0.0/24")}, {Name: "*.contoso.test", Port: 443}}
	inside := func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{to.Addr()}, nil }
	for name, c := range map[string]struct {
		request string
		rules   []Rule
		status  string
		kind    Kind
	}{
		"not a target":          {"CONNECT " + to.String() + " HTTP/1.1\r\n\r\n", allowed, "403", KindTarget},
		"not a name":            {"CONNECT www.fabrikam.test:443 HTTP/1.1\r\n\r\n", allowed, "403", KindTarget},
		"not its port":          {"CONNECT www.contoso.test:22 HTTP/1.1\r\n\r\n", allowed, "403", KindTarget},
		"a metadata address":    {"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n", nil, "403", KindTarget},
		"the same in IPv6":      {"CONNECT [::ffff:169.254.169.254]:80 HTTP/1.1\r\n\r\n", nil, "403", KindTarget},
		"spanned by a rule":     {"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n", []Rule{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}, "403", KindTarget},
		"link-local":            {"CONNECT [fe80::1]:443 HTTP/1.1\r\n\r\n", nil, "403", KindTarget},
		"this host, unsaid":     {"CONNECT 0.0.0.0:443 HTTP/1.1\r\n\r\n", nil, "403", KindTarget},
		"header in the target":  {"CONNECT www.contoso.test:443\r\nX: y HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"space in the target":   {"CONNECT www.contoso.test 443 HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"control in the target": {"CONNECT www.\x01contoso.test:443 HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"bare newline":          {"CONNECT www.contoso.test\n:443 HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"userinfo":              {"CONNECT a@www.contoso.test:443 HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"no port":               {"CONNECT www.contoso.test HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"port 0":                {"CONNECT www.contoso.test:0 HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"port 65536":            {"CONNECT www.contoso.test:65536 HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"zone":                  {"CONNECT [fe80::1%25lo]:443 HTTP/1.1\r\n\r\n", nil, "400", KindEntry},
		"not CONNECT":           {"GET http://www.contoso.test/ HTTP/1.1\r\nHost: x\r\n\r\n", nil, "405", KindEntry},
		"oversized":             {"CONNECT www.contoso.test:443 HTTP/1.1\r\nA: " + strings.Repeat("a", 2*maxHead), nil, "431", KindEntry},
		"garbage":               {strings.Repeat("\x00\xff", 20) + "\r\n\r\n", nil, "400", KindEntry},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Connect(), Options{Dial: Dial{Targets: c.rules, Resolver: inside}})
			got := say(t, r.addr, c.request)
			// With bytes left unread the answer may be overtaken by a reset.
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.status+" ") && (got != "" || c.status != "431") {
				t.Errorf("answered %q", got)
			}
			if strings.Count(got, "\r\n\r\n") > 1 || strings.Contains(got, "X: y") {
				t.Errorf("what was asked came back as a header: %q", got)
			}
			r.has(t, c.kind)
		})
	}
}

// TestNamePointsInside: an allowed name does not open the way to an address that
// is special, though it may lead to one that is not.
func TestNamePointsInside(t *testing.T) {
	meta := func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254")}, nil
	}
	r := start(t, Connect(), Options{Dial: Dial{Targets: []Rule{{Name: "*.contoso.test"}}, Resolver: meta}})
	if got := say(t, r.addr, "CONNECT www.contoso.test:80 HTTP/1.1\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("answered %q", got)
	}
}

func TestRelayDoesNotDialItself(t *testing.T) {
	r := start(t, Connect(), Options{})
	for _, to := range []string{r.addr, strings.Replace(r.addr, "127.0.0.1", "0.0.0.0", 1), strings.Replace(r.addr, "127.0.0.1", "[::ffff:127.0.0.1]", 1)} {
		if got := say(t, r.addr, "CONNECT "+to+" HTTP/1.1\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			t.Errorf("to %s: %q", to, got)
		}
	}
	g := guard{own: []netip.AddrPort{netip.MustParseAddrPort("[::]:443")}}
	for to, want := range map[string]bool{"127.0.0.1:443": true, "[::1]:443": true, "127.0.0.1:444": false, "198.18.0.20:443": false} {
		if got := g.self(netip.MustParseAddrPort(to)); got != want {
			t.Errorf("%s is this relay: %v", to, got)
		}
	}
}

// TestSlowClients: who does not say in time where to go is sent away, however
// slowly it speaks.
func TestSlowClients(t *testing.T) {
	for name, way := range map[string]Way{"connect": Connect(), "socks5": SOCKS5(), "sni": SNI(443)} {
		t.Run(name, func(t *testing.T) {
			r := start(t, way, Options{Limits: Limits{Handshake: 200 * time.Millisecond}})
			silent, slow := dialTCP(t, r.addr), dialTCP(t, r.addr)
			begun := time.Now()
			go func() {
				first := map[string]string{"connect": "C", "socks5": "\x05\xff", "sni": "\x16\x03\x01\x40\x00\x01\x00"}[name]
				_, _ = io.WriteString(slow, first)
				for range 100 {
					if _, err := io.WriteString(slow, "x"); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
			_, _ = io.ReadAll(silent)
			_, _ = io.ReadAll(slow)
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("kept for %v", took)
			}
			r.has(t, KindEntry)
		})
	}
}

func TestLimits(t *testing.T) {
	to := serve(t, echo)
	for name, c := range map[string]struct {
		limits  Limits
		clients func(netip.Addr) bool
		kind    Kind
		let     int
	}{
		"all":        {Limits{Connections: 3}, nil, KindFull, 3},
		"per client": {Limits{PerClient: 2}, nil, KindPerClient, 2},
		"rate":       {Limits{Rate: 4}, nil, KindRate, 4},
		"address":    {Limits{}, func(netip.Addr) bool { return false }, KindClient, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, fixedTo(t, to), Options{Limits: c.limits, Clients: c.clients})
			let := 0
			for range 6 {
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					continue
				}
				defer conn.Close()
				_, _ = conn.Write([]byte("x"))
				if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
					let++
				}
			}
			if let != c.let {
				t.Errorf("%d were let in, want %d", let, c.let)
			}
			r.has(t, c.kind)
			if got := r.counts.trouble[c.kind].Load(); got != int64(6-c.let) {
				t.Errorf("%d counted", got)
			}
		})
	}
}

// TestTroubleIsPaced: a flood of refusals does not become one of lines.
func TestTroubleIsPaced(t *testing.T) {
	r := start(t, fixedTo(t, closedPort(t)), Options{Clients: func(netip.Addr) bool { return false }})
	for range 200 {
		refused(t, r.addr)
	}
	for deadline := time.Now().Add(10 * time.Second); r.counts.trouble[KindClient].Load() < 200; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not all were refused")
		}
	}
	r.wait(t)
	if n := len(r.trouble); n < paceBurst || n > 150 {
		t.Errorf("%d lines for 200 refusals", n)
	}
	notes := r.Notes()
	if len(notes) != 1 || notes[0].Count != 200 {
		t.Errorf("notes %+v", notes)
	}
}

func TestPAC(t *testing.T) {
	r := start(t, Connect(), Options{})
	resp, err := http.Get("http://" + r.addr + "/proxy.pac")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.Header.Get("Content-Type") != "application/x-ns-proxy-autoconfig" || !strings.Contains(string(b), `"PROXY `+r.addr+`"`) {
		t.Errorf("%v, %v: %s", err, resp.Header, b)
	}
	r.wait(t)
	if len(r.trouble) > 0 {
		t.Error(r.trouble[0])
	}
}

func TestSOCKSRefusals(t *testing.T) {
	for name, c := range map[string]struct{ request, answer string }{
		"version 4":       {"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", ""},
		"authentication":  {"\x05\x01\x02", "\x05\xff"},
		"BIND":            {"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		"address type":    {"\x05\x01\x00\x05\x01\x00\x09", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"},
		"bad name":        {"\x05\x01\x00\x05\x01\x00\x03\x03a\nb\x00\x50", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"},
		"metadata":        {"\x05\x01\x00\x05\x01\x00\x01\xa9\xfe\xa9\xfe\x00\x50", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"},
		"metadata, named": {"\x05\x01\x00\x05\x01\x00\x03\x0f169.254.169.254\x00\x50", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"},
	} {
		r := start(t, SOCKS5(), Options{})
		if got := say(t, r.addr, c.request); got != c.answer && !(got == "\x05\x00" && len(c.answer) > 2) {
			t.Errorf("%s: answered %q, want %q", name, got, c.answer)
		}
	}
}

// pipeless is a client's half of a conversation, and what it is told.
type pipeless struct {
	io.Reader
	said int
}

func (p *pipeless) Write(b []byte) (int, error) { p.said += len(b); return len(b), nil }

func FuzzSOCKS(f *testing.F) {
	f.Add("\x05\x01\x00\x05\x01\x00\x03\x04a.bc\x01\xbb")
	f.Add("\x05\x02\x02\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb")
	f.Fuzz(func(t *testing.T, in string) {
		c := &pipeless{Reader: strings.NewReader(in)}
		to, err := readSOCKS(c)
		checkTarget(t, to, err)
		if c.said > 64 {
			t.Errorf("answered %d bytes", c.said)
		}
	})
}

func FuzzConnectTarget(f *testing.F) {
	f.Add("www.contoso.test:443")
	f.Add("[2001:db8::1]:443")
	f.Add("a\r\nb:1")
	f.Fuzz(func(t *testing.T, in string) {
		to, err := parseTarget(in)
		checkTarget(t, to, err)
	})
}

// checkTarget demands that what was accepted is harmless.
func checkTarget(t *testing.T, to Target, err error) {
	if err != nil {
		return
	}
	if to.Addr.IsValid() == (to.Host != "") {
		t.Fatalf("address and name: %+v", to)
	}
	if strings.ContainsAny(to.String(), "\r\n \t\x00%@/") {
		t.Fatalf("target %q", to)
	}
	if again, err := parseTarget(to.String()); err != nil || again.String() != to.String() {
		t.Fatalf("%q reads back as %q, %v", to, again, err)
	}
}

func TestRaceTakesTheFirstThatAnswers(t *testing.T) {
	a, b := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("198.18.0.2")
	begun := time.Now()
	up, err := race(t.Context(), []netip.Addr{a, b}, func(ctx context.Context, to netip.Addr) (upstream, error) {
		if to == a {
			<-ctx.Done()
			return upstream{}, ctx.Err()
		}
		return upstream{addr: netip.AddrPortFrom(to, 1)}, nil
	})
	if err != nil || up.addr.Addr() != b || time.Since(begun) < attemptDelay {
		t.Errorf("%v, %v after %v", up.addr, err, time.Since(begun))
	}
	failure := errors.New("first")
	if _, err := race(t.Context(), []netip.Addr{a, b}, func(_ context.Context, to netip.Addr) (upstream, error) {
		if to == a {
			return upstream{}, failure
		}
		return upstream{}, errors.New("second")
	}); err != failure {
		t.Errorf("got %v", err)
	}
	six := netip.MustParseAddr("2001:db8::1")
	if got := interleave([]netip.Addr{a, b, six}); got[0] != six || got[1] != a || got[2] != b {
		t.Errorf("order %v", got)
	}
}
