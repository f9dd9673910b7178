package relay

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// httpProxy is an HTTP proxy that wants a login, if it is not empty.
func httpProxy(t *testing.T, login string) netip.AddrPort {
	return serve(t, func(c *net.TCPConn) {
		defer c.Close()
		cl := &client{TCPConn: c}
		head, err := cl.readHead()
		if err != nil {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil || req.Method != http.MethodConnect {
			t.Errorf("the proxy was told %q", head)
			return
		}
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte(login))
		if login != "" && req.Header.Get("Proxy-Authorization") != want {
			_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
			return
		}
		up, err := net.Dial("tcp", req.Host)
		if err != nil {
			_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n")
		both(c, cl.head, up.(*net.TCPConn))
	})
}

// socksProxy is a SOCKS proxy that wants a login (RFC 1929).
func socksProxy(t *testing.T, login string) netip.AddrPort {
	return serve(t, func(c *net.TCPConn) {
		defer c.Close()
		user, password, _ := strings.Cut(login, ":")
		want := fmt.Sprintf("\x05\x01\x02\x01%c%s%c%s", len(user), user, len(password), password)
		said := make([]byte, len(want))
		if _, err := io.ReadFull(c, said[:3]); err != nil || string(said[:3]) != want[:3] {
			_, _ = io.WriteString(c, "\x05\xff")
			return
		}
		_, _ = io.WriteString(c, "\x05\x02")
		if _, err := io.ReadFull(c, said[3:]); err != nil || string(said) != want {
			_, _ = io.WriteString(c, "\x01\x01")
			return
		}
		_, _ = io.WriteString(c, "\x01\x00")
		to, err := readSOCKSRequest(c, make([]byte, 256))
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", to.String())
		if err != nil {
			_, _ = c.Write(socksReply(socksRefused, netip.AddrPort{}))
			return
		}
		_, _ = c.Write(socksReply(socksSucceeded, netip.AddrPort{}))
		both(c, nil, up.(*net.TCPConn))
	})
}

// both copies both ways until both are over.
func both(c *net.TCPConn, head []byte, up *net.TCPConn) {
	defer up.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = up.Write(head)
		_, _ = io.Copy(up, c)
		_ = up.CloseWrite()
	}()
	_, _ = io.Copy(c, up)
	_ = c.CloseWrite()
	<-done
}

// TestVia goes through proxies to a place that sends back what it gets.
func TestVia(t *testing.T) {
	to := serve(t, echo)
	for name, c := range map[string]struct {
		proxy Proxy
		fails Kind
		told  string
	}{
		"http":              {Proxy{At: httpProxy(t, "").String()}, KindNone, "http-connect"},
		"http, login":       {Proxy{At: httpProxy(t, "eve:s3cret").String(), User: "eve", Password: "s3cret"}, KindNone, "http-connect"},
		"http, no login":    {Proxy{At: httpProxy(t, "eve:s3cret").String()}, KindProxy, "407"},
		"http, wrong login": {Proxy{At: httpProxy(t, "eve:s3cret").String(), User: "eve", Password: "hunter2"}, KindProxy, "407"},
		"socks, login":      {Proxy{SOCKS: true, At: socksProxy(t, "eve:s3cret").String(), User: "eve", Password: "s3cret"}, KindNone, "socks5"},
		"socks, wrong":      {Proxy{SOCKS: true, At: socksProxy(t, "eve:s3cret").String(), User: "eve", Password: "hunter"}, KindProxy, ""},
		"socks, no login":   {Proxy{SOCKS: true, At: socksProxy(t, "eve:s3cret").String()}, KindProxy, ""},
		"no proxy":          {Proxy{At: serve(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); c.Close() }).String()}, KindProxy, "SSH-2.0"},
		"closed":            {Proxy{At: closedPort(t).String()}, KindRefused, "to the proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, fixedTo(t, to), Options{Dial: Dial{Proxy: &c.proxy}})
			if c.fails != KindNone {
				refused(t, r.addr)
				if text := r.has(t, c.fails).Error(); !strings.Contains(text, c.told) || strings.Contains(text, "hunter") {
					t.Errorf("told %q", text)
				}
				return
			}
			conn := dialTCP(t, r.addr)
			_, _ = io.WriteString(conn, "hello")
			_ = conn.CloseWrite()
			if got, _ := io.ReadAll(conn); string(got) != "hello" {
				t.Errorf("came back: %q", got)
			}
			end := r.endedConn(t, 1)
			if end.flow.Addrs[1].String() != c.proxy.At {
				t.Errorf("reached %v", end.flow.Addrs[1])
			}
			said := end.data[0].String()
			if !strings.Contains(said, to.Addr().String()) && c.told == "http-connect" || strings.Contains(said, "s3cret") ||
				strings.Contains(said, base64.StdEncoding.EncodeToString([]byte("eve:s3cret"))) {
				t.Errorf("the parser was told %q", said)
			}
			if !strings.HasSuffix(said, "hello") || !strings.HasSuffix(end.data[1].String(), "hello") {
				t.Errorf("the stream is not in %q, %q", said, end.data[1].String())
			}
		})
	}
}

// TestViaSilentProxy: a proxy that does not answer costs no more than the time
// to connect.
func TestViaSilentProxy(t *testing.T) {
	silent := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); c.Close() })
	r := start(t, fixedTo(t, silent), Options{Dial: Dial{Proxy: &Proxy{At: silent.String()}, Timeout: 200 * time.Millisecond}})
	refused(t, r.addr)
	r.has(t, KindTimeout)
}

// TestViaTargets: what an address is, a proxy only knows, so that names need a
// rule by name.
func TestViaTargets(t *testing.T) {
	proxy := Proxy{At: httpProxy(t, "").String()}
	for to, c := range map[string]struct {
		rules []Rule
		want  string
	}{
		"www.contoso.test:443": {[]Rule{{Prefix: netip.MustParsePrefix("198.18.0.0/15")}}, "403"},
		"www.fabrikam.test:1":  {[]Rule{{Name: "*.contoso.test"}}, "403"},
		"169.254.169.254:80":   {nil, "403"},
		"127.0.0.1:1":          {nil, "502"}, // nobody listens there
	} {
		r := start(t, Connect(), Options{Dial: Dial{Proxy: &proxy, Targets: c.rules}})
		if got := say(t, r.addr, "CONNECT "+to+" HTTP/1.1\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 "+c.want+" ") {
			t.Errorf("to %s: %q", to, got)
		}
	}
}

// TestHeaders sends a stream behind a header through a relay that says one, of
// either version, and reads what arrives.
func TestHeaders(t *testing.T) {
	arrived := make(chan []byte, 1)
	to := serve(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		c.Close()
		arrived <- b
	})
	told := parse.Call{Source: netip.MustParseAddrPort("198.18.5.6:1234"), Dest: netip.MustParseAddrPort("198.18.0.20:443")}
	everybody := func(netip.Addr) bool { return true }
	for name, c := range map[string]struct {
		said    []byte
		proxies func(netip.Addr) bool
		header  Header
		want    *parse.Proxied // nil for the client's own
	}{
		"v1 to v2":       {stepsOf("proxy-v1")[0].Send(told), everybody, Header2, &parse.Proxied{Source: told.Source, Dest: told.Dest}},
		"v2 to v1":       {stepsOf("proxy-v2")[0].Send(told), everybody, Header1, &parse.Proxied{Source: told.Source, Dest: told.Dest}},
		"v2 LOCAL":       {stepsOf("proxy-v2")[0].Send(parse.Call{}), everybody, Header2, nil},
		"no header":      {nil, nil, Header1, nil},
		"not from proxy": {nil, func(netip.Addr) bool { return false }, Header2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, fixedTo(t, to), Options{Proxies: c.proxies, Dial: Dial{Header: c.header}})
			conn := dialTCP(t, r.addr)
			for _, b := range c.said { // in segments of one byte
				_, _ = conn.Write([]byte{b})
			}
			_, _ = io.WriteString(conn, "stream")
			_ = conn.CloseWrite()
			got := <-arrived
			n, proxied, reply := parse.ProxyHeader(got)
			if reply != parse.ReplyGo || string(got[n:]) != "stream" {
				t.Fatalf("arrived: %q", got)
			}
			want := parse.Proxied{Source: addrPort(conn.LocalAddr()), Dest: addrPort(conn.RemoteAddr())}
			if c.want != nil {
				want = *c.want
			}
			if proxied == nil || *proxied != want {
				t.Errorf("told %v, want %v", proxied, want)
			}
			_, _ = io.ReadAll(conn)
			if end := r.endedConn(t, 1); end.data[0].String() != string(c.said)+"stream" {
				t.Errorf("the parser was told %q", end.data[0].String())
			}
		})
	}
}

// TestHeaderRefused: what has to begin with a header and does not is sent away.
func TestHeaderRefused(t *testing.T) {
	to := serve(t, echo)
	for _, said := range []string{
		"\x16\x03\x01\x02\x00\x01", "PROXY TCP4 " + strings.Repeat("1", 200), "GET / HTTP/1.1\r\n\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", "PROXY ",
	} {
		r := start(t, fixedTo(t, to), Options{Proxies: func(netip.Addr) bool { return true }, Limits: Limits{Handshake: 300 * time.Millisecond}})
		if got := say(t, r.addr, said); got != "" {
			t.Errorf("%q: %q came back", said, got)
		}
		r.has(t, KindEntry)
	}
}

// TestVerdictVia: what goes through a proxy is judged as on the wire behind the
// relay: the asker is at the proxy's address, which is all that is known.
func TestVerdictVia(t *testing.T) {
	server := identity(t, "www.contoso.test")
	for auth, want := range map[tls.ClientAuthType]attribute.Answer{tls.NoClientCert: attribute.No, tls.RequestClientCert: attribute.Yes} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			to := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: auth})
			for _, proxy := range []Proxy{
				{At: httpProxy(t, "eve:s3cret").String(), User: "eve", Password: "s3cret"},
				{SOCKS: true, At: socksProxy(t, "eve:s3cret").String(), User: "eve", Password: "s3cret"},
			} {
				r := judge(t, fixedTo(t, to), Options{Dial: Dial{Proxy: &proxy}})
				raw := dialTCP(t, r.addr)
				conn := tls.Client(raw, &tls.Config{ServerName: "www.contoso.test", InsecureSkipVerify: true, MaxVersion: version, Certificates: []tls.Certificate{identity(t, "alice")}})
				if _, err := io.WriteString(conn, "ping"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				conn.Close()
				v := r.verdict(t)
				if v.Asked != want || want == attribute.Yes && v.By.String() != proxy.At {
					t.Errorf("%v %s: asked %v by %v, want %v by %v: %s", auth, tls.VersionName(version), v.Asked, v.By, want, proxy.At, v.Reason)
				}
			}
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	call := parse.Call{Source: netip.MustParseAddrPort("[2001:db8::1]:1"), Dest: netip.MustParseAddrPort("[2001:db8::2]:443")}
	f.Add(stepsOf("proxy-v1")[0].Send(call))
	f.Add(stepsOf("proxy-v2")[0].Send(call))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, _, reply := parse.ProxyHeader(b)
		if (reply == parse.ReplyGo) != (n > 0) || n > len(b) || n > parse.MaxProxyHeader {
			t.Fatalf("%d of %d, %v", n, len(b), reply)
		}
		if reply != parse.ReplyGo {
			return
		}
		for i := range n { // whole only with its last byte
			if _, _, r := parse.ProxyHeader(b[:i]); r != parse.ReplyPending {
				t.Fatalf("%d of %d bytes are %v", i, n, r)
			}
		}
	})
}
