package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestRelayTellsWhileOpen: an answer is told once it is decided, though its
// connection goes on; with keys that come into their log only then.
func TestRelayTellsWhileOpen(t *testing.T) {
	own := contoso(t)
	to := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequestClientCert})
	log, err := os.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for name, tt := range map[string]struct {
		version uint16
		args    []string
		want    string
	}{
		"TLS 1.2":           {tls.VersionTLS12, nil, `"basis":"seen"`},
		"TLS 1.3":           {tls.VersionTLS13, nil, `"basis":"inferred"`},
		"TLS 1.3 with keys": {tls.VersionTLS13, []string{"--keylog", log.Name()}, `"basis":"unsealed"`},
	} {
		t.Run(name, func(t *testing.T) {
			addr, told := startRelay(t, append(tt.args, "--to", to)...)
			conn, err := tls.Dial("tcp", addr, &tls.Config{
				ServerName: "www.contoso.test", InsecureSkipVerify: true, MinVersion: tt.version, MaxVersion: tt.version,
				Certificates: []tls.Certificate{own}, KeyLogWriter: log,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			talk := time.NewTicker(50 * time.Millisecond) // what is sealed says more when it goes on
			defer talk.Stop()
			for giveUp := time.After(20 * time.Second); ; {
				select {
				case <-talk.C:
					if _, err := io.WriteString(conn, "ping"); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
						t.Fatal(err)
					}
				case line, ok := <-told:
					if !ok {
						t.Fatal("it ended without telling")
					}
					if strings.Contains(line, `"asked":"yes"`) && strings.Contains(line, tt.want) {
						return
					}
				case <-giveUp:
					t.Fatal("not told while the connection is open")
				}
			}
		})
	}
}

// contoso is a certificate that signs itself.
func contoso(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"www.contoso.test"}, NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// echoTLS is the address of a server that sends back what it gets.
func echoTLS(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	return echoing(t, l)
}

// echoing sends back what comes until the end of the test, and returns the address.
func echoing(t *testing.T, l net.Listener) string {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

// TestRelayOneLine: a client without a certificate that comes again and again has
// one line for each connection, which says what the server made of it.
func TestRelayOneLine(t *testing.T) {
	own := contoso(t)
	for name, tt := range map[string]struct {
		auth tls.ClientAuthType
		want string
	}{
		"required": {tls.RequireAnyClientCert, "yes"},
		"optional": {tls.RequestClientCert, "no"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" in "+tls.VersionName(version), func(t *testing.T) {
				to := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tt.auth, MaxVersion: version})
				addr, told := startRelay(t, "--to", to)
				lines := make(map[int]int) // by connection
				for i := range 3 {
					conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
					if err == nil {
						defer conn.Close()
						page := make([]byte, 8<<10)
						if _, err = conn.Write(page); err == nil {
							_, err = io.ReadFull(conn, page)
						}
					}
					if (err != nil) != (tt.auth == tls.RequireAnyClientCert) {
						t.Fatal(err)
					}
					for giveUp := time.After(20 * time.Second); lines[i+1] == 0; {
						select {
						case line := <-told:
							var of struct {
								Kind, Required string
								ID             int
							}
							if err := json.Unmarshal([]byte(line), &of); err != nil {
								t.Fatal(err)
							}
							if of.Kind == "connection" {
								lines[of.ID]++
								if of.Required != tt.want {
									t.Errorf("want required %s in %s", tt.want, line)
								}
							}
						case <-giveUp:
							t.Fatalf("told %v", lines)
						}
					}
				}
				if len(lines) != 3 || lines[1] != 1 || lines[2] != 1 {
					t.Errorf("told %v", lines)
				}
			})
		}
	}
}

// startRelay runs a relay until the end of the test and returns where it listens
// and what it writes, line by line.
func startRelay(t *testing.T, args ...string) (string, <-chan string) {
	t.Helper()
	addr, lines, _ := startRelayProcess(t, args...)
	return addr, lines
}

// startRelayProcess also returns the process.
func startRelayProcess(t *testing.T, args ...string) (string, <-chan string, *os.Process) {
	t.Helper()
	cmd := exec.Command("whoasked", append([]string{"relay", "--format", "json", "--listen", "127.0.0.1:0", "--drain", "1s", "--keep-privileges"}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Dir = t.TempDir()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		for range lines {
		}
		_ = cmd.Wait()
	})
	for s := bufio.NewScanner(stderr); s.Scan(); {
		if _, at, ok := strings.Cut(s.Text(), "listening at "); ok {
			at, _, _ = strings.Cut(at, " ")
			if _, err := net.ResolveTCPAddr("tcp", at); err == nil {
				go func() { _, _ = io.Copy(io.Discard, stderr) }()
				return at, lines, cmd.Process
			}
		}
	}
	t.Fatal("it does not listen")
	return "", nil, nil
}

// TestRelayInspects: TLS 1.3 is read, not inferred, by an authority that the
// program made, and the keys that it writes are for its owner only.
func TestRelayInspects(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	if out, err := exec.Command("whoasked", "ca", "init", "--name", "contoso.test", "--out", ca).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pemCA, err := os.ReadFile(filepath.Join(ca, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(pemCA)

	own := contoso(t)
	roots := filepath.Join(dir, "servers.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	to := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequestClientCert})
	keys := filepath.Join(dir, "keys")
	addr, told := startRelay(t, "--to", to, "--inspect", "contoso.test", "--ca", ca, "--upstream-ca", roots, "--write-keylog", keys)
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "www.contoso.test", RootCAs: trust, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for giveUp := time.After(20 * time.Second); ; {
		select {
		case line, ok := <-told:
			if !ok {
				t.Fatal("it ended without telling")
			}
			if !strings.Contains(line, `"kind":"connection"`) {
				continue
			}
			for _, want := range []string{`"asked":"yes"`, `"basis":"unsealed"`, `"via":"fixed inspected"`, `"reply":"empty"`, `"version":"TLS 1.3"`} {
				if !strings.Contains(line, want) {
					t.Errorf("no %s in %s", want, line)
				}
			}
		case <-giveUp:
			t.Fatal("not told")
		}
		break
	}
	log, err := os.ReadFile(keys)
	if n := strings.Count(string(log), "CLIENT_TRAFFIC_SECRET_0 "); err != nil || n != 2 {
		t.Errorf("secrets of %d connections are in the key log, %v", n, err)
	}
	if info, err := os.Stat(keys); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key log: %v, %v", info.Mode(), err)
	}
}
