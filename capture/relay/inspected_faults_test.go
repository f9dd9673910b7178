package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"whoasked/attribute"
)

// TestInspectFailing: a server that cannot be verified is passed through, and
// remembered, or fails, as it was chosen.
func TestInspectFailing(t *testing.T) {
	n := newInspection(t)
	for name, tt := range map[string]struct {
		server tls.Certificate
		why    string
	}{
		"expired":      {n.servers.issue(t, "www.contoso.test", time.Now().Add(-time.Hour)), "expired"},
		"another name": {n.servers.issue(t, "else.contoso.test", time.Unix(1<<32, 0)), "not www.contoso.test"},
		"not known":    {identity(t, "www.contoso.test"), "unknown authority"},
	} {
		for _, fail := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/fail=%v", name, fail), func(t *testing.T) {
				to, seen := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{tt.server}, ClientAuth: tls.RequestClientCert})
				in := n.options(t, nil)
				in.Fail = fail
				r := judge(t, fixedTo(t, to), Options{Inspect: in})
				for range 2 {
					_, err := talk(dialTCP(t, r.addr), &tls.Config{ServerName: "www.contoso.test", InsecureSkipVerify: true})
					if (err != nil) != fail {
						t.Errorf("talking: %v", err)
					}
				}
				if tr := r.trouble(t, KindServerTLS); !strings.Contains(tr.Error(), tt.why) {
					t.Errorf("told %v", tr)
				}
				// A verdict is there though the server could not be verified.
				if v := r.verdict(t); v.Asked != attribute.Yes || v.Basis != attribute.Unsealed {
					t.Errorf("asked %v, basis %v: %s", v.Asked, v.Basis, v.Reason)
				}
				seen.after(t, map[bool]int{false: 3, true: 2}[fail])
			})
		}
	}
}

// TestInspectPinned: a client that does not trust the authority is told of, and
// passed through the next time; others are not.
func TestInspectPinned(t *testing.T) {
	n := newInspection(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		to, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{n.server}})
		r := judge(t, fixedTo(t, to), Options{Inspect: n.options(t, nil)})
		pinned := n.client(version)
		pinned.RootCAs = n.servers.pool()
		if _, err := talk(dialTCP(t, r.addr), pinned); err == nil {
			t.Error("it takes a certificate that it does not trust")
		}
		r.trouble(t, KindPinned)
		if v := r.verdict(t); v.Asked != attribute.No {
			t.Errorf("asked %v: %s", v.Asked, v.Reason)
		}
		if state, err := talk(dialTCP(t, r.addr), pinned); err != nil || issuer(state) != "Servers" {
			t.Errorf("the next time: %v", err)
		}
	}
}

// TestInspectSilentPeers: neither end can hold a handshake open.
func TestInspectSilentPeers(t *testing.T) {
	n := newInspection(t)
	silent := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); c.Close() })
	in := n.options(t, nil)
	in.Fail = true
	r := start(t, fixedTo(t, silent), Options{Inspect: in, Limits: Limits{Handshake: 2 * time.Second}})
	if err := tls.Client(dialTCP(t, r.addr), n.client(0)).Handshake(); err == nil {
		t.Error("the handshake is through")
	}
	r.has(t, KindServerTLS)

	to, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{n.server}})
	in = n.options(t, nil)
	r = start(t, fixedTo(t, to), Options{Inspect: in, Limits: Limits{Handshake: 3 * time.Second}})
	raw := dialTCP(t, r.addr)
	stuck := tls.Client(&mute{Conn: raw, writes: 1}, n.client(tls.VersionTLS13))
	if err := stuck.Handshake(); !errors.Is(err, errMute) {
		t.Fatalf("the handshake: %v", err)
	}
	if tr := r.has(t, KindClientTLS); !strings.Contains(tr.Error(), "timeout") {
		t.Errorf("told %v", tr)
	}
	if _, err := io.ReadAll(raw); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("not closed: %v", err)
	}
}

// mute stops sending after some writes.
type mute struct {
	net.Conn
	writes int
}

var errMute = errors.New("mute")

func (m *mute) Write(b []byte) (int, error) {
	if m.writes--; m.writes < 0 {
		return 0, errMute
	}
	return m.Conn.Write(b)
}
