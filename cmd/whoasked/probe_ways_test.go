package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asker serves HTTPS on an address of its own and returns that.
func serveAsking(t *testing.T, p *peers, ip string, auth tls.ClientAuthType) string {
	t.Helper()
	ln, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	srv := &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{p.cert}, ClientAuth: auth},
		Handler:   http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0),
	}
	go srv.ServeTLS(ln, "", "")
	t.Cleanup(func() { srv.Close() })
	return ln.Addr().String()
}

// passThrough copies bytes between its clients and a server.
func passThrough(t *testing.T, ip, to string) string {
	t.Helper()
	ln, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				s, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer s.Close()
				go func() {
					io.Copy(s, c)
					s.(*net.TCPConn).CloseWrite()
				}()
				io.Copy(c, s)
			}()
		}
	}()
	return ln.Addr().String()
}

// pathLine is what the tests read of a path.
type pathLine struct {
	Kind, Chain, Asker, Confidence, Doubt string
	AskerName                             string `json:"asker_name"`
	Reaches                               *bool  `json:"reaches_client"`
	Probed                                bool
}

// TestProbeWays: each hop is asked, and who of them asked is told, or why not.
func TestProbeWays(t *testing.T) {
	p := newPeers(t)
	other := newPeers(t)
	const front, behind = "127.0.0.1", "127.0.0.2"
	ask, quiet := tls.RequestClientCert, tls.NoClientCert
	for _, tt := range []struct {
		name          string
		front         func(t *testing.T, apim string) string
		behind        tls.ClientAuthType
		declared      string
		asker         string
		reaches       bool
		chain, doubts string
	}{
		{
			name:  "passes through",
			front: func(t *testing.T, apim string) string { return passThrough(t, front, apim) }, behind: ask,
			asker: "apim", reaches: true, chain: "appgw (passes through) → apim (ASKED)",
		}, {
			name:   "set up alike",
			front:  func(t *testing.T, _ string) string { return serveAsking(t, p, front, ask) },
			behind: ask, chain: "appgw (passes through or asks alike) → apim (ASKED)", doubts: "the same certificate and request",
		}, {
			name:   "set up alike, declared to pass through",
			front:  func(t *testing.T, _ string) string { return serveAsking(t, p, front, ask) },
			behind: ask, declared: "passthrough", asker: "apim", reaches: true, chain: "appgw (passes through) → apim (ASKED)",
		}, {
			name:   "declared to pass through, and does not",
			front:  func(t *testing.T, _ string) string { return serveAsking(t, other, front, ask) },
			behind: ask, declared: "passthrough", chain: "appgw (ASKED) → apim (ASKED)", doubts: "shows something else",
		}, {
			name:   "with certificates of their own",
			front:  func(t *testing.T, _ string) string { return serveAsking(t, other, front, ask) },
			behind: ask, asker: "appgw", reaches: true, chain: "appgw (ASKED) → apim (ASKED)",
		}, {
			name:   "the gateway asks",
			front:  func(t *testing.T, _ string) string { return serveAsking(t, p, front, ask) },
			behind: quiet, asker: "appgw", reaches: true, chain: "appgw (ASKED) → apim (did not ask)",
		}, {
			name:   "the one behind asks the gateway",
			front:  func(t *testing.T, _ string) string { return serveAsking(t, p, front, quiet) },
			behind: ask, asker: "apim", chain: "appgw (did not ask) → apim (ASKED)",
		}, {
			name:   "nobody asks",
			front:  func(t *testing.T, apim string) string { return passThrough(t, front, apim) },
			behind: quiet, chain: "appgw (did not ask) → apim (did not ask)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			apim := serveAsking(t, p, behind, tt.behind)
			appgw := tt.front(t, apim)
			declared := ""
			if tt.declared != "" {
				declared = "\n    declared: " + tt.declared
			}
			conf := filepath.Join(t.TempDir(), "whoasked.yaml")
			os.WriteFile(conf, fmt.Appendf(nil, "hops:\n  - name: appgw\n    addresses: [%q]%s\n  - name: apim\n    kind: apim\n    addresses: [%q]\n", appgw, declared, apim), 0o600)
			paths := probedPaths(t, "--config", conf, "--each-hop", "--name", "portal.contoso.test", "https://"+appgw)
			if len(paths) != 1 {
				t.Fatalf("%d paths, want 1", len(paths))
			}
			got := paths[0]
			if got.AskerName != tt.asker || !strings.HasSuffix(got.Chain, tt.chain) || !strings.Contains(got.Doubt, tt.doubts) ||
				tt.doubts == "" && got.Doubt != "" || !got.Probed {
				t.Errorf("%+v", got)
			}
			if tt.asker != "" && (got.Reaches == nil || *got.Reaches != tt.reaches) {
				t.Errorf("reaches the client: %v, want %v", got.Reaches, tt.reaches)
			}
		})
	}
}

// probedPaths runs the command and returns its paths.
func probedPaths(t *testing.T, args ...string) []pathLine {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	var stderr bytes.Buffer
	root := newRoot(&terminal{err: &stderr})
	root.SetArgs(append([]string{"probe", "--format", "json", "--output", out}, args...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var paths []pathLine
	for line := range bytes.Lines(data) {
		var l pathLine
		if err := json.Unmarshal(line, &l); err == nil && l.Kind == "path" {
			paths = append(paths, l)
		}
	}
	return paths
}
