package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// maxHead bounds the head of a request to the proxy.
const maxHead = 8 << 10

// errServed is the outcome of a request that was answered and needs no relaying.
var errServed = errors.New("answered")

// Connect is a way in for clients that use an HTTP proxy (RFC 9110 §9.3.6).
// Whatever else they ask for is a mistake, but for the file that tells browsers
// to use the proxy.
func Connect() Way {
	return Way{Name: "connect", Reads: true, Target: func(_ context.Context, c *client) (Target, error) {
		head, err := c.readHead()
		if err != nil {
			if errors.Is(err, errHeadSize) {
				c.respond(http.StatusRequestHeaderFieldsTooLarge, "text/plain", err.Error())
			}
			return Target{}, err
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			c.respond(http.StatusBadRequest, "text/plain", "not a request")
			return Target{}, fmt.Errorf("not an HTTP request: %w", err)
		}
		if req.Method != http.MethodConnect {
			return Target{}, c.other(req)
		}
		t, err := parseTarget(req.RequestURI)
		if err != nil {
			c.respond(http.StatusBadRequest, "text/plain", "CONNECT needs HOST:PORT")
			return Target{}, fmt.Errorf("CONNECT to %q: %w", req.RequestURI, err)
		}
		t.answer = c.answerConnect
		return t, nil
	}}
}

var errHeadSize = fmt.Errorf("the head of the request is longer than %d bytes", maxHead)

// readHead reads the head of a request; what comes behind it goes to c.head.
func (c *client) readHead() ([]byte, error) {
	buf := make([]byte, 0, 1<<10)
	for len(buf) < maxHead {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, maxHead), buf...)
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if end := headEnd(buf); end > 0 {
			c.head = buf[end:]
			return buf[:end], nil
		}
		if err != nil {
			return nil, fmt.Errorf("no whole request: %w", err)
		}
	}
	return nil, errHeadSize
}

// headEnd is where the empty line behind the fields ends, 0 if it is not there.
func headEnd(b []byte) int {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return 0
}

// other answers what is not a CONNECT.
func (c *client) other(req *http.Request) error {
	direct := !req.URL.IsAbs()
	if direct && (req.Method == http.MethodGet || req.Method == http.MethodHead) {
		switch req.URL.Path {
		case "/", "/proxy.pac", "/wpad.dat":
			c.respond(http.StatusOK, "application/x-ns-proxy-autoconfig", pac(c.LocalAddr().String()))
			return errServed
		}
	}
	c.respond(http.StatusMethodNotAllowed, "text/plain", "this proxy relays TLS connections: CONNECT only")
	return fmt.Errorf("a %s request, not CONNECT", req.Method)
}

// pac is a proxy auto-configuration file that leads what is TLS to address.
func pac(address string) string {
	return fmt.Sprintf(`function FindProxyForURL(url, host) {
  if (url.substring(0, 6) == "https:" || url.substring(0, 4) == "wss:") return "PROXY %s";
  return "DIRECT";
}
`, address)
}

// respond sends a whole response.
func (c *client) respond(status int, contentType, body string) {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n", status, http.StatusText(status), contentType, len(body))
	if status == http.StatusMethodNotAllowed {
		b.WriteString("Allow: CONNECT\r\n")
	}
	b.WriteString("\r\n" + body)
	_, _ = c.Write([]byte(b.String()))
	c.told = true
}

// answerConnect tells the client what became of connecting.
func (c *client) answerConnect(_ netip.AddrPort, err error) error {
	if err == nil {
		_, err = c.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n"))
		return err
	}
	status := http.StatusBadGateway
	switch dialKind(err) {
	case KindTarget:
		status = http.StatusForbidden
	case KindTimeout:
		status = http.StatusGatewayTimeout
	}
	c.respond(status, "text/plain", "the relay cannot connect: "+err.Error()+"\n")
	return nil
}
