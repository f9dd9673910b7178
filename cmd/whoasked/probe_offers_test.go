package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProbeWouldOffer: a certificate is judged by the request that came, in both
// versions, and files that hold none are told.
func TestProbeWouldOffer(t *testing.T) {
	p, other := newPeers(t), newPeers(t)
	own, err := x509.ParseCertificate(p.cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	named, any := x509.NewCertPool(), x509.NewCertPool()
	named.AddCert(own)
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ours.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Certificate[0]}))
	write("readme.txt", []byte("hello"))
	if err := os.Mkdir(filepath.Join(dir, "more"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		pool *x509.CertPool
		want []string
	}{
		"named": {named, []string{`"offered":"yes"`, `issued by CN=contoso.test, which the request names`, "private key is at hand"}},
		"any":   {any, []string{`"offered":"yes"`, "names no authority"}},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{
				TLSConfig: &tls.Config{Certificates: []tls.Certificate{other.cert}, ClientAuth: tls.RequestClientCert, ClientCAs: tt.pool},
				Handler:   http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0),
			}
			go srv.ServeTLS(ln, "", "")
			defer srv.Close()
			out := filepath.Join(t.TempDir(), "out")
			var stderr bytes.Buffer
			root := newRoot(&terminal{err: &stderr})
			root.SetArgs([]string{"probe", "--format", "json", "--output", out, "--would-offer", dir, "https://" + ln.Addr().String()})
			if err := root.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			var offers []string
			for line := range strings.Lines(string(data)) {
				if strings.HasPrefix(line, `{"kind":"offer"`) {
					offers = append(offers, line)
				}
			}
			if len(offers) != 1 {
				t.Fatalf("%q, want one: both versions say the same", offers)
			}
			for _, want := range tt.want {
				if !strings.Contains(offers[0], want) {
					t.Errorf("no %q in %s", want, offers[0])
				}
			}
			if !strings.Contains(stderr.String(), "readme.txt: holds neither PEM") {
				t.Error(stderr.String())
			}
		})
	}
	for _, dir := range []string{filepath.Join(dir, "more"), filepath.Join(dir, "nothing")} {
		root := newRoot(&terminal{err: io.Discard})
		root.SetArgs([]string{"probe", "--would-offer", dir, "127.0.0.1:1"})
		if err := root.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
}
