//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"whoasked/attribute"
	"whoasked/parse"
)

// labKeys reads the clients' key log.
func labKeys(t *testing.T, l *Lab) *parse.Keys {
	t.Helper()
	log, err := os.ReadFile(l.KeyLog())
	if err != nil {
		t.Fatal(err)
	}
	keys := parse.NewKeys()
	w := keys.Log()
	w.Write(log)
	w.Flush()
	return keys
}

// checkUnsealed judges again with the clients' keys: what they open is read, so
// that nothing about it can be unknown.
func checkUnsealed(t *testing.T, l *Lab, pcap string, truth []Truth) {
	t.Helper()
	got := judgeAll(t, pcap, labKeys(t, l))
	opened := map[string]int{}
	for _, tr := range truth {
		j, ok := got[connKey{tr.SNI, tr.Nth}]
		if !ok || j.Keys == parse.KeysNone {
			continue // without a key log, or ended before there were keys
		}
		opened[tr.Client+" "+pick(tr.tls13(), "1.3", "1.2")]++
		problems := unsealedProblems(l, tr, j)
		if len(problems) > 0 {
			t.Errorf("%v: %s\n  evidence %v reason %q\n  %s", tr, strings.Join(problems, "; "), j.Evidence, j.Reason, tapes(j.Handshake))
		}
	}
	for _, client := range slices.Sorted(maps.Keys(opened)) {
		t.Logf("%-14s %d connections opened", client, opened[client])
	}
	if len(opened) == 0 {
		t.Error("no connection was opened")
	}
}

func unsealedProblems(l *Lab, tr Truth, j judged) []string {
	if tr.Unknown != "" && !tr.Refused {
		tr.Unknown = ""
	}
	problems := compare(l, tr, j)
	if j.Keys != parse.KeysOpened {
		problems = append(problems, fmt.Sprintf("keys state %d", j.Keys))
	}
	for side, f := range j.Sides {
		if f.Unopened > 0 || f.Malformed != "" {
			problems = append(problems, fmt.Sprintf("%v: %d records not opened, %q", parse.Side(side), f.Unopened, f.Malformed))
		}
	}
	if (tr.tls13() || tr.When == "renegotiation") && j.Asked != attribute.Unknown && j.Basis != attribute.Unsealed {
		problems = append(problems, fmt.Sprintf("basis %v", j.Basis))
	}
	if j.Asked == attribute.Yes && tr.Cert == "" && tr.Required && tr.When != "renegotiation" && j.Required != attribute.Yes {
		problems = append(problems, fmt.Sprintf("required %v", j.Required))
	}
	return problems
}

// suite is a cipher suite as one server and its client are told to use it.
type suite struct {
	name    string
	version uint16
	// opensslCiphers or gnutlsPriority says which software runs.
	opensslCiphers, gnutlsPriority string
	key                            Key
}

var suites = []suite{
	{name: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", version: tls.VersionTLS12, opensslCiphers: "ECDHE-RSA-AES128-GCM-SHA256"},
	{name: "TLS_RSA_WITH_AES_256_GCM_SHA384", version: tls.VersionTLS12, opensslCiphers: "AES256-GCM-SHA384"},
	{name: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", version: tls.VersionTLS12, opensslCiphers: "ECDHE-RSA-CHACHA20-POLY1305"},
	{name: "TLS_DHE_RSA_WITH_AES_128_CCM", version: tls.VersionTLS12, opensslCiphers: "DHE-RSA-AES128-CCM"},
	{name: "TLS_RSA_WITH_AES_256_CCM_8", version: tls.VersionTLS12, opensslCiphers: "AES256-CCM8"},
	{name: "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", version: tls.VersionTLS12, opensslCiphers: "ECDHE-ECDSA-AES128-CCM8", key: EC},
	// OpenSSL encrypts, then makes the MAC (RFC 7366).
	{name: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", version: tls.VersionTLS12, opensslCiphers: "ECDHE-RSA-AES128-SHA"},
	{name: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", version: tls.VersionTLS12, opensslCiphers: "ECDHE-RSA-AES128-SHA256"},
	{name: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", version: tls.VersionTLS12, opensslCiphers: "ECDHE-RSA-AES256-SHA384"},
	{name: "TLS_RSA_WITH_AES_256_CBC_SHA256", version: tls.VersionTLS12, opensslCiphers: "AES256-SHA256"},
	{name: "TLS_RSA_WITH_AES_128_CBC_SHA", version: tls.VersionTLS11, opensslCiphers: "AES128-SHA"},
	{name: "TLS_RSA_WITH_AES_256_CBC_SHA", version: tls.VersionTLS10, opensslCiphers: "AES256-SHA"},
	{name: "TLS_AES_128_CCM_SHA256", version: tls.VersionTLS13, opensslCiphers: "TLS_AES_128_CCM_SHA256"},
	{name: "TLS_AES_128_CCM_8_SHA256", version: tls.VersionTLS13, opensslCiphers: "TLS_AES_128_CCM_8_SHA256"},
	{name: "TLS_AES_128_GCM_SHA256", version: tls.VersionTLS13, opensslCiphers: "TLS_AES_128_GCM_SHA256"},
	{name: "TLS_AES_256_GCM_SHA384", version: tls.VersionTLS13, opensslCiphers: "TLS_AES_256_GCM_SHA384"},
	{name: "TLS_CHACHA20_POLY1305_SHA256", version: tls.VersionTLS13, opensslCiphers: "TLS_CHACHA20_POLY1305_SHA256"},
	// The MAC before encryption, and what OpenSSL does not have any more.
	{name: "TLS_RSA_WITH_AES_128_CBC_SHA", version: tls.VersionTLS12, gnutlsPriority: "+VERS-TLS1.2:+RSA:+AES-128-CBC:+SHA1:%NO_ETM"},
	{name: "TLS_RSA_WITH_AES_256_CBC_SHA256", version: tls.VersionTLS12, gnutlsPriority: "+VERS-TLS1.2:+RSA:+AES-256-CBC:+SHA256:%NO_ETM"},
	{name: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", version: tls.VersionTLS12, gnutlsPriority: "+VERS-TLS1.2:+ECDHE-RSA:+AES-256-CBC:+SHA384:%NO_ETM"},
	{name: "TLS_RSA_WITH_AES_128_CBC_SHA", version: tls.VersionTLS10, gnutlsPriority: "+VERS-TLS1.0:+RSA:+AES-128-CBC:+SHA1:%NO_ETM"},
	{name: "TLS_RSA_WITH_3DES_EDE_CBC_SHA", version: tls.VersionTLS10, gnutlsPriority: "+VERS-TLS1.0:+RSA:+3DES-CBC:+SHA1"},
	{name: "TLS_RSA_WITH_3DES_EDE_CBC_SHA", version: tls.VersionTLS11, gnutlsPriority: "+VERS-TLS1.1:+RSA:+3DES-CBC:+SHA1:%NO_ETM"},
	{name: "TLS_RSA_WITH_RC4_128_SHA", version: tls.VersionTLS12, gnutlsPriority: "+VERS-TLS1.2:+RSA:+ARCFOUR-128:+SHA1"},
	{name: "TLS_RSA_WITH_RC4_128_MD5", version: tls.VersionTLS10, gnutlsPriority: "+VERS-TLS1.0:+RSA:+ARCFOUR-128:+MD5"},
	{name: "TLS_RSA_WITH_NULL_SHA256", version: tls.VersionTLS12, gnutlsPriority: "+VERS-TLS1.2:+RSA:+NULL:+SHA256"},
}

// key0 is the kind of the server certificate.
func (s suite) key0() Key {
	if s.key == "" {
		return RSA
	}
	return s.key
}

// TestSuitesUnsealed opens every kind of record protection: connections are
// renegotiated or change their keys, most with the request again inside.
func TestSuitesUnsealed(t *testing.T) {
	l := New(t, "gnutls-serv", "gnutls-cli")
	pcap := filepath.Join(l.Dir, "suites.pcap")
	var ports []int
	for i, s := range suites {
		s.serve(l, firstPort+i)
		ports = append(ports, firstPort+i)
	}
	l.Net.Server.WaitListen(t, ports...)
	capture := StartCapture(t, l.Net.Client, Device, pcap)
	for i, s := range suites {
		s.connect(l, firstPort+i, fmt.Sprintf("s%02d.contoso.test", i))
	}
	capture.Stop(t)
	l.Keep(t, "suites", pcap, suites)
	got := judgeAll(t, pcap, labKeys(t, l))
	for i, s := range suites {
		t.Run(fmt.Sprintf("%02d %s %s", i, s.name, parse.Version(s.version)), func(t *testing.T) {
			j, ok := got[connKey{sni: fmt.Sprintf("s%02d.contoso.test", i)}]
			if !ok || j.ServerHello == nil {
				t.Fatal("not found in the capture")
			}
			s.check(t, j)
		})
	}
}

// check demands that everything was opened: both handshakes, or the messages
// around a change of keys. Where nobody asks, the verdict is a firm no.
func (s suite) check(t *testing.T, j judged) {
	if j.ServerHello.Cipher.String() != s.name || j.ServerHello.Version != parse.Version(s.version) {
		t.Fatalf("%v %v was agreed on", j.ServerHello.Version, j.ServerHello.Cipher)
	}
	for side, f := range j.Sides {
		if f.Unopened > 0 || f.Opened == 0 || f.Malformed != "" {
			t.Errorf("%v: %d records opened, %d not, %q", parse.Side(side), f.Opened, f.Unopened, f.Malformed)
		}
	}
	want := map[string]bool{"accepter 13 round 1": true, "accepter 14 round 1": true, "opener 11 round 1": true, "opener 20 round 1": true, "accepter 20 round 1": true}
	asks := s.asks()
	switch {
	case !asks:
		delete(want, "accepter 13 round 1")
		delete(want, "opener 11 round 1")
	case s.version == tls.VersionTLS13:
		want = map[string]bool{"accepter 13 round 0": true, "opener 11 round 0": true, "opener 20 round 0": true, "opener 24 round 0": true, "accepter 24 round 0": true}
	}
	var seen []string
	for _, m := range j.Messages {
		if m.Unsealed {
			name := fmt.Sprintf("%v %d round %d", m.From, m.Type, m.Round)
			seen = append(seen, name)
			delete(want, name)
			if m.Gap {
				t.Errorf("a gap in front of %s", name)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not read: %v\nread: %q", want, seen)
	}
	requests := slices.DeleteFunc(slices.Clone(j.Requests), func(r *parse.CertificateRequest) bool { return !r.Unsealed })
	if !asks {
		if len(j.Requests) != 0 || j.Asked != attribute.No {
			t.Errorf("requests %+v, %+v", j.Requests, j.Verdict)
		}
		return
	}
	if len(requests) != 1 || requests[0].Malformed != "" || len(requests[0].Authorities) != 1 {
		t.Errorf("requests %+v", requests)
	}
	if j.Asked != attribute.Yes {
		t.Errorf("%+v", j.Verdict)
	}
}

// asks reports whether the server of a suite asks for a certificate. s_server
// would do so once in a connection, in the clear up to TLS 1.2.
func (s suite) asks() bool { return s.gnutlsPriority != "" || s.version == tls.VersionTLS13 }

// serve starts the server of a suite, which asks for a certificate.
func (s suite) serve(l *Lab, port int) {
	e := Endpoint{Port: port, Key: s.key0(), Mode: Optional}
	id := l.identity(e)
	if s.gnutlsPriority != "" {
		l.start("gnutls-serv", "--http", "--quiet", "--port", fmt.Sprint(port), "--x509certfile", id.Cert, "--x509keyfile", id.Key,
			"--x509cafile", l.clientCA(e), "--priority", s.priority())
		return
	}
	args := append([]string{"s_server", "-accept", l.address(e), "-quiet", "-cert", id.Cert, "-key", id.Key,
		"-rev", "-client_renegotiation"}, s.openssl()...)
	if s.asks() {
		args = append(args, "-CAfile", l.clientCA(e), "-verify", "2")
	}
	l.start("openssl", args...)
}

// openssl returns the arguments that choose the suite, for either end.
func (s suite) openssl() []string {
	switch s.version {
	case tls.VersionTLS13:
		return []string{"-tls1_3", "-ciphersuites", s.opensslCiphers}
	case tls.VersionTLS12:
		return []string{"-tls1_2", "-cipher", s.opensslCiphers}
	}
	return []string{pick(s.version == tls.VersionTLS10, "-tls1", "-tls1_1"), "-cipher", s.opensslCiphers + ":@SECLEVEL=0"}
}

func (s suite) priority() string {
	return "NONE:+COMP-NULL:+CTYPE-ALL:+GROUP-ALL:+SIGN-ALL:+SIGN-RSA-SHA1:%VERIFY_ALLOW_SIGN_WITH_SHA1:%UNSAFE_RENEGOTIATION:" + s.gnutlsPriority
}

// connect makes a connection and renegotiates it or changes its keys.
func (s suite) connect(l *Lab, port int, sni string) {
	l.T.Helper()
	e := Endpoint{Port: port, Key: s.key0()}
	if s.gnutlsPriority != "" {
		j := Job{SNI: sni, Endpoint: e, Extra: []string{"--rehandshake", "--priority", s.priority()}}
		runGnuTLS(l, j)
		return
	}
	args := append([]string{"s_client", "-connect", l.address(e), "-servername", sni, "-keylogfile", l.KeyLog(), "-enable_pha"}, s.openssl()...)
	cmd := l.Net.Client.Command("openssl", args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		l.T.Fatal(err)
	}
	p := Start(l.T, cmd)
	command, echo := "R\n", "RENEGOTIATING"
	if s.version == tls.VersionTLS13 {
		command, echo = "K\n", "KEYUPDATE"
	}
	for _, step := range []struct{ send, wait string }{{"first\n", "tsrif"}, {command, echo}, {"second\n", "dnoces"}} {
		if _, err := io.WriteString(in, step.send); err != nil {
			l.T.Fatal(err)
		}
		p.WaitFor(l.T, step.wait)
	}
	p.Stop()
}
