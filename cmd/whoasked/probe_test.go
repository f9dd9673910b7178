package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"whoasked/capture/probe"
)

// probeLine is what the tests read of a line of JSON.
type probeLine struct {
	Kind, SNI, Version, ALPN, Demand, Because string
	Resume, Later                             bool
	Reasons                                   []struct{ Reason string }
}

// site is an HTTPS server whose demand depends on the name.
type site struct {
	addr string
	left atomic.Int32 // so many more handshakes of changing.contoso.test are asked
}

func newSite(t *testing.T, p *peers) *site {
	t.Helper()
	s := new(site)
	base := &tls.Config{Certificates: []tls.Certificate{p.cert}, NextProtos: []string{"h2", "http/1.1"}}
	base.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.GetConfigForClient = nil
		// Sessions last for all configurations of the site.
		c.SetSessionTicketKeys([][32]byte{{1}})
		switch name, _, _ := strings.Cut(h.ServerName, "."); name {
		case "optional", "must-http":
			c.ClientAuth = tls.RequestClientCert
		case "must-tls":
			c.ClientAuth = tls.RequireAnyClientCert
		case "changing":
			if s.left.Add(-1) >= 0 {
				c.ClientAuth = tls.RequestClientCert
			}
		}
		return c, nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	srv := &http.Server{
		TLSConfig: base,
		ErrorLog:  log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Host, "must-http") && len(r.TLS.PeerCertificates) == 0 {
				http.Error(w, "No required SSL certificate was sent", http.StatusBadRequest)
			}
		}),
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	go srv.ServeTLS(ln, "", "")
	t.Cleanup(func() { srv.Close() })
	return s
}

// runProbeCommand runs the command and returns its lines and exit status.
func runProbeCommand(t *testing.T, args ...string) ([]probeLine, string, int) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	var stderr bytes.Buffer
	root := newRoot(&terminal{err: &stderr})
	root.SetArgs(append([]string{"probe", "--format", "json", "--output", out}, args...))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := root.ExecuteContext(ctx)
	var status exitStatus
	if err != nil && !errors.As(err, &status) {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var lines []probeLine
	for line := range bytes.Lines(data) {
		var l probeLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, l)
	}
	return lines, stderr.String(), int(status)
}

func probesOf(lines []probeLine) []probeLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l probeLine) bool { return l.Kind != "probe" })
}

// TestProbeTable: every demand, with both versions and protocols and the hello
// of each client, is told exactly; what a resumed session hides is said.
func TestProbeTable(t *testing.T) {
	s := newSite(t, newPeers(t))
	for _, hello := range []string{"go", "chrome", "firefox", "openssl-like"} {
		for name, want := range map[string]string{
			"free.contoso.test":      "not-requested",
			"optional.contoso.test":  "optional",
			"must-http.contoso.test": "required-by-http",
			"must-tls.contoso.test":  "required-by-tls",
		} {
			t.Run(hello+"/"+name, func(t *testing.T) {
				lines, stderr, status := runProbeCommand(t, "--as", hello, "--name", name, "--exit-code", "https://"+s.addr)
				probes := probesOf(lines)
				if len(probes) != 7 { // 2 versions × (2 protocols + resumption), and post-handshake
					t.Fatalf("%d probes, want 7\n%s", len(probes), stderr)
				}
				for _, p := range probes {
					w := want
					if p.Resume && want != "required-by-tls" {
						w = "not-requested"
					}
					if p.Demand != w {
						t.Errorf("%s %s resume %v later %v: %s (%s %v), want %s", p.Version, p.ALPN, p.Resume, p.Later, p.Demand, p.Because, p.Reasons, w)
					}
				}
				wantStatus := exitAsked
				if want == "not-requested" {
					wantStatus = exitFine
				}
				if status != wantStatus {
					t.Errorf("exit status %d, want %d", status, wantStatus)
				}
			})
		}
	}
}

// TestProbeWatch: the watch ends when a whole round agrees on a new answer.
func TestProbeWatch(t *testing.T) {
	s := newSite(t, newPeers(t))
	// A round is 12 handshakes: two versions, two protocols, three times. The third
	// round meets the change in its middle.
	s.left.Store(30)
	_, stderr, status := runProbeCommand(t, "--watch", "50ms", "--repeat", "3", "--name", "changing.contoso.test", "--exit-code", "https://"+s.addr)
	if status != exitFine || !strings.Contains(stderr, "no longer asked since") ||
		!strings.Contains(stderr, "asked in 12 of 12") || !strings.Contains(stderr, "asked in 6 of 12") {
		t.Errorf("exit status %d\n%s", status, stderr)
	}
}

// TestProbeWatchDead: a round that told nothing says why.
func TestProbeWatchDead(t *testing.T) {
	r := tallyRound([]*probe.Attempt{{Err: syscall.ECONNREFUSED}, {Err: syscall.ECONNREFUSED}, {Err: syscall.ENETUNREACH}, nil})
	if s := r.String(); !strings.Contains(s, "3 more told nothing: connect: connection refused") || r.state() != stateUnknown {
		t.Error(s)
	}
}

// TestProbeHostile: whatever a server does, there is an answer or a reason, in
// bounded time.
func TestProbeHostile(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"closes at once":  func(c net.Conn) {},
		"garbage":         func(c net.Conn) { c.Write(bytes.Repeat([]byte("no TLS at all\r\n"), 100)) },
		"resets":          func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) },
		"silent":          func(c net.Conn) { io.Copy(io.Discard, c) },
		"alert":           func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 40}); io.Copy(io.Discard, c) },
		"endless records": endless([]byte{22, 3, 3, 0x3f, 0xff}, 0x3fff),
		"endless alerts":  endless([]byte{21, 3, 3, 0, 2, 1, 100}, 0),
		"lying ServerHello": func(c net.Conn) {
			c.Write([]byte{22, 3, 3, 0, 4, 2, 0xff, 0xff, 0xff})
			io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						c.Read(make([]byte, 4096))
						serve(c)
					}()
				}
			}()
			begun := time.Now()
			lines, stderr, status := runProbeCommand(t, "--timeout", "500ms", "--exit-code", "https://"+ln.Addr().String())
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			probes := probesOf(lines)
			if len(probes) == 0 || status != exitUnknown {
				t.Errorf("%d probes, exit status %d, want %d\n%s", len(probes), status, exitUnknown, stderr)
			}
			for _, p := range probes {
				if p.Demand != "unknown" || len(p.Reasons) == 0 {
					t.Errorf("%+v: want unknown with a reason", p)
				}
			}
		})
	}
}

// endless sends a header and n zero bytes, again and again, up to 64 MiB.
func endless(header []byte, n int) func(net.Conn) {
	return func(c net.Conn) {
		piece := append(bytes.Clone(header), make([]byte, n)...)
		for sent := 0; sent < 64<<20; sent += len(piece) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}
}

func TestProbeRefusesBadFlags(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"gopher://contoso.test"},
		{"http://contoso.test"},
		{"contoso.test:0"},
		{"--tls", "1.4", "127.0.0.1"},
		{"--as", "netscape", "127.0.0.1"},
		{"--repeat", "0", "127.0.0.1"},
		{"--alpn", "", "127.0.0.1"},
		{"--tls", "", "127.0.0.1"},
		{"--each-name", "many", "127.0.0.1"},
		{"--timeout", "0s", "127.0.0.1"},
		{"--sni", "portal.contoso.test", "127.0.0.1"},
		{"--proxy", "ftp://127.0.0.1:21", "127.0.0.1"},
		{"--client-cert", "nothing.pem", "127.0.0.1"},
		{"--client-key", "nothing.pem", "127.0.0.1"},
		{"--keylog", "nothing.log", "127.0.0.1"},
		{"--send-proxy", "v3", "127.0.0.1"},
		{"--send-proxy-source", "198.18.0.9:1", "127.0.0.1"},
		{"--send-proxy", "v1", "--send-proxy-source", "198.18.0.9", "127.0.0.1"},
	} {
		root := newRoot(&terminal{err: io.Discard})
		root.SetArgs(append([]string{"probe"}, args...))
		if err := root.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q: no error", fmt.Sprint(args))
		}
	}
}
