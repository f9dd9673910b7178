package relay

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// TestKeyedSettles: with a key log at hand, too, a connection stays in the kernel
// once nothing that could be opened matters any more.
func TestKeyedSettles(t *testing.T) {
	server, user := identity(t, "www.contoso.test"), identity(t, "alice")
	for name, tt := range map[string]struct {
		version  uint16
		auth     tls.ClientAuthType
		protocol string
		logged   bool // the keys of the client are in the log
		want     attribute.Answer
		basis    attribute.Basis
	}{
		"TLS 1.2, asked":                   {tls.VersionTLS12, tls.RequestClientCert, "http/1.1", true, attribute.Yes, attribute.Seen},
		"TLS 1.2, asked, keys of others":   {tls.VersionTLS12, tls.RequestClientCert, "http/1.1", false, attribute.Yes, attribute.Seen},
		"TLS 1.2, HTTP/2":                  {tls.VersionTLS12, tls.NoClientCert, "h2", true, attribute.No, attribute.Seen},
		"TLS 1.2, HTTP/2, keys of others":  {tls.VersionTLS12, tls.NoClientCert, "h2", false, attribute.No, attribute.Seen},
		"TLS 1.3, asked":                   {tls.VersionTLS13, tls.RequestClientCert, "http/1.1", true, attribute.Yes, attribute.Unsealed},
		"TLS 1.3, not asked":               {tls.VersionTLS13, tls.NoClientCert, "http/1.1", true, attribute.No, attribute.Unsealed},
		"TLS 1.3, asked, keys of others":   {tls.VersionTLS13, tls.RequestClientCert, "http/1.1", false, attribute.Yes, attribute.Inferred},
		"TLS 1.3, HTTP/2, keys of another": {tls.VersionTLS13, tls.NoClientCert, "h2", false, attribute.No, attribute.Inferred},
	} {
		t.Run(name, func(t *testing.T) {
			keys := parse.NewKeys()
			keys.Growing = true
			log := keys.Log()
			to := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tt.auth, NextProtos: []string{tt.protocol}})
			r := judgeKeyed(t, fixedTo(t, to), Options{WholeRecords: true}, keys)
			config := &tls.Config{
				ServerName: "www.contoso.test", InsecureSkipVerify: true, MinVersion: tt.version, MaxVersion: tt.version,
				NextProtos: []string{tt.protocol}, Certificates: []tls.Certificate{user},
			}
			if tt.logged {
				config.KeyLogWriter = writerFunc(func(b []byte) (int, error) {
					r.mu.Lock()
					defer r.mu.Unlock()
					return log.Write(b)
				})
			}
			raw := dialTCP(t, r.addr)
			conn := tls.Client(raw, config)
			page := make([]byte, 16<<10)
			settled := false
			for range 300 { // records of others' keys are tried for a while
				if _, err := conn.Write(page); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, page); err != nil {
					t.Fatal(err)
				}
				select {
				case <-r.settled:
					settled = true
				default:
					continue
				}
				break
			}
			if !settled {
				select {
				case <-r.settled:
				case <-time.After(10 * time.Second):
					t.Error("never settled")
				}
			}
			sent := bytes.Repeat([]byte("bulk"), 1<<18)
			go func() { _, _ = conn.Write(sent) }()
			if _, err := io.ReadFull(conn, sent); err != nil {
				t.Error(err)
			}
			conn.Close()
			if v := r.verdict(t); v.Asked != tt.want || v.Basis != tt.basis {
				t.Errorf("asked %v, basis %v: %s", v.Asked, v.Basis, v.Reason)
			}
		})
	}
}

// TestKeyedRenegotiable: where a renegotiation may come to the end, it is record
// headers that are told, as without keys.
func TestKeyedRenegotiable(t *testing.T) {
	keys := parse.NewKeys()
	keys.Growing = true
	server := identity(t, "www.contoso.test")
	to := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{server}, MaxVersion: tls.VersionTLS12})
	r := judgeKeyed(t, fixedTo(t, to), Options{WholeRecords: true}, keys)
	conn := tls.Client(dialTCP(t, r.addr), &tls.Config{ServerName: "www.contoso.test", InsecureSkipVerify: true})
	page := make([]byte, 16<<10)
	for deadline := time.Now().Add(20 * time.Second); r.skipped.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("bodies are told on and on")
		}
		if _, err := conn.Write(page); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, page); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	if v := r.verdict(t); v.Asked != attribute.No || v.Basis != attribute.Seen {
		t.Errorf("asked %v, basis %v: %s", v.Asked, v.Basis, v.Reason)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
