package probe

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// maxBody is how much of a response's text is looked at, in bytes.
const maxBody = 8 << 10

// request asks for the target's path and reads how the server answers. The
// error of one who hangs up instead is the server's answer too.
func (a *Attempt) request(c client) error {
	req, err := http.NewRequest(http.MethodGet, "https://"+a.authority()+a.Target.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "whoasked")
	req.Header.Set("Accept", "*/*")
	var resp *http.Response
	if a.Negotiated == "h2" {
		resp, err = requestH2(c, req)
	} else {
		resp, err = requestH1(c, req)
	}
	if err != nil {
		return parting(c, err)
	}
	defer resp.Body.Close()
	a.Status = resp.StatusCode
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	a.AboutCertificate = aboutCertificate(resp.Status, body)
	return nil
}

// parting returns what a server said before it hung up on a request, an alert
// that is still to be read, or else err.
func parting(c client, err error) error {
	const patience = time.Second
	if c.SetReadDeadline(time.Now().Add(patience)) != nil {
		return err
	}
	_, last := c.Read(make([]byte, 1))
	var ne net.Error
	if last == nil || last == io.EOF || errors.As(last, &ne) && ne.Timeout() {
		return err
	}
	return last
}

// authority is the Host of the request: the name that the handshake was about,
// for a server answers 421 to another.
func (a *Attempt) authority() string {
	t := a.Target
	if a.ServerName != "" {
		t.Host = a.ServerName
	}
	if t.Port == 443 {
		if strings.Contains(t.Host, ":") {
			return "[" + t.Host + "]"
		}
		return t.Host
	}
	return t.String()
}

// aboutCertificate reports whether a server's words are about the certificate
// that it misses.
func aboutCertificate(status string, body []byte) bool {
	text := strings.ToLower(status + "\n" + string(body))
	return strings.Contains(text, "certificate")
}

func requestH1(c client, req *http.Request) (*http.Response, error) {
	req.Close = true
	var b bytes.Buffer
	if err := req.Write(&b); err != nil {
		return nil, err
	}
	if _, err := c.Write(b.Bytes()); err != nil {
		return nil, err
	}
	const maxHeader = 64 << 10
	r := bufio.NewReader(io.LimitReader(c, maxHeader+maxBody))
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil || resp.StatusCode >= 200 {
			return resp, err
		}
	}
}

// kept is a connection that HTTP/2 does not close when a write fails: what the
// server said before is still to be read.
type kept struct{ client }

func (kept) Close() error { return nil }

func requestH2(c client, req *http.Request) (*http.Response, error) {
	// net/http speaks HTTP/2 over TLS connections of crypto/tls only, and this may
	// be another's.
	//lint:ignore SA1019 see above
	t := &http2.Transport{MaxHeaderListSize: 64 << 10}
	//lint:ignore SA1019 see above
	cc, err := t.NewClientConn(kept{c})
	if err != nil {
		return nil, err
	}
	return cc.RoundTrip(req)
}
