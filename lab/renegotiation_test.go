//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Paths of the server that asks by path.
const (
	pathFree   = "/free.html"
	pathSecret = "/secret/page.html" // certificate required
	pathMaybe  = "/maybe/page.html"  // certificate optional
	pathCipher = "/cipher/page.html" // another cipher, for which TLS 1.2 renegotiates
)

// TestRenegotiation captures requests that come after the handshake, and what
// looks like one but is none.
func TestRenegotiation(t *testing.T) {
	tools := []string{"apache2", "tshark"}
	for _, c := range Clients() {
		tools = append(tools, c.Tools...)
	}
	l := New(t, tools...)
	serveByPath(l)
	near := serveNearMisses(l)
	pcap := filepath.Join(l.Dir, "renegotiation.pcap")
	capture := StartCapture(t, l.Net.Client, Device, pcap)
	var truth []Truth
	for _, c := range Clients() {
		jobs := jobsByPath(c)
		got := clientTruth(t, c.Name, jobs, c.Run(l, jobs))
		for i, j := range jobs {
			judgeByPath(&got[i], j)
		}
		truth = append(truth, got...)
	}
	truth = append(truth, near()...)
	l.Net.Client.WaitQuiet(t, 5*time.Second)
	capture.Stop(t)
	l.Keep(t, "renegotiation", pcap, truth)
	t.Run("truth", func(t *testing.T) {
		checkClients(t, truth)
		checkTruth(t, l, pcap, truth)
	})
	t.Run("verdicts", func(t *testing.T) { checkVerdicts(t, l, pcap, truth) })
	t.Run("unsealed", func(t *testing.T) { checkUnsealed(t, l, pcap, truth) })
}

func byPath(version uint16) Endpoint {
	e := Endpoint{Server: "apache", Port: firstPort, Version: version, Mode: NotAsked, Key: RSA}
	if e.tls13() {
		e.Port++
	}
	return e
}

// serveByPath starts an httpd that asks for a certificate in some locations. It
// logs what it makes of the certificate, and the path.
func serveByPath(l *Lab) (log string) {
	var b strings.Builder
	fmt.Fprintf(&b, apacheBase, l.Dir)
	log = filepath.Join(l.Dir, "by-path.log")
	fmt.Fprintf(&b, "CustomLog %s \"%%{SSL_CLIENT_VERIFY}x %%U\"\n", log)
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		e := byPath(v)
		fmt.Fprintf(&b, "Listen %[1]s:%[2]d\n<VirtualHost %[1]s:%[2]d>\n%[3]sSSLCACertificateFile %[4]s\n"+
			"<Location /secret>\nSSLVerifyClient require\n</Location>\n"+
			"<Location /maybe>\nSSLVerifyClient optional\n</Location>\n"+
			"<Location /cipher>\nSSLCipherSuite ECDHE-RSA-CHACHA20-POLY1305\n</Location>\n</VirtualHost>\n",
			l.Net.Server.Addr, e.Port, l.apacheTLS(e), l.clientCA(e))
	}
	for _, path := range []string{pathFree, pathSecret, pathMaybe, pathCipher} {
		l.dir(filepath.Join("www", filepath.Dir(path)))
		l.File(filepath.Join("www", path), strings.Repeat("a page of some length\n", 100))
	}
	l.startApache(b.String())
	l.Net.Server.WaitListen(l.T, firstPort, firstPort+1)
	return log
}

// jobsByPath is every path by one client, by both versions, without and with a
// certificate and, where it makes a difference, post-handshake authentication.
func jobsByPath(c ClientSoftware) []Job {
	var jobs []Job
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, path := range []string{pathFree, pathSecret, pathMaybe, pathCipher} {
			for _, cert := range []Key{"", RSA, EC} {
				for _, offer := range []bool{false, true} {
					if offer && !canOfferPHA(c.Name, version, cert) {
						continue
					}
					jobs = append(jobs, Job{SNI: fmt.Sprintf("p%02d-%s.contoso.test", len(jobs), c.Name),
						Endpoint: byPath(version), Path: path, Cert: cert, OfferPHA: offer})
				}
			}
		}
	}
	return jobs
}

func canOfferPHA(client string, version uint16, cert Key) bool {
	switch {
	case version != tls.VersionTLS13:
		return false
	case client == "nss":
		return cert != "" // tstclnt's -E needs -n
	}
	return client == "openssl" || client == "gnutls"
}

// judgeByPath corrects the truth of a connection to a server that asks by path.
func judgeByPath(tr *Truth, j Job) {
	asks := j.Path == pathSecret || j.Path == pathMaybe
	switch {
	case tr.tls13() && asks && (j.OfferPHA || tr.Client == "curl"):
		tr.Asked, tr.When = true, "post-handshake"
		if tr.Client == "nss" {
			tr.Unknown = "NSS puts its answer into one record, which may as well be application data"
		}
	case !tr.tls13() && (asks || j.Path == pathCipher) && tr.Client == "go":
		tr.Unknown = "crypto/tls refuses to renegotiate, so that it is never asked"
		tr.Refused = true
	case !tr.tls13() && asks:
		tr.Asked, tr.When = true, "renegotiation"
	}
	if tr.Client == "gnutls" && !tr.tls13() && j.Path != pathFree {
		tr.Refused = true // gnutls-cli gives up when the second handshake is over
	}
	if tr.Asked {
		tr.Reply = pick(tr.Cert == "", "empty", "certificate")
		tr.Required = j.Path == pathSecret
	}
}

// serveNearMisses starts servers of which none asks, and returns the
// connections to make: handshakes and key updates within a connection.
func serveNearMisses(l *Lab) func() []Truth {
	const port = firstPort + 100
	open := Endpoint{Server: "openssl", Port: port, Version: tls.VersionTLS12, Mode: NotAsked, Key: RSA, Cipher: AES128}
	open13 := Endpoint{Server: "openssl", Port: port + 1, Version: tls.VersionTLS13, Mode: NotAsked, Key: RSA, Cipher: AES128}
	gnu := Endpoint{Server: "gnutls", Port: port + 2, Version: tls.VersionTLS12, Mode: NotAsked, Key: RSA, Cipher: AES256}
	for _, e := range []Endpoint{open, open13} {
		l.sServer(e, "-rev", "-client_renegotiation")
	}
	l.gnutlsServ(gnu)
	l.Net.Server.WaitListen(l.T, port, port+1, port+2)
	return func() []Truth {
		return []Truth{
			typed(l, Job{SNI: "reneg.contoso.test", Endpoint: open}, "R\n", "RENEGOTIATING"),
			typed(l, Job{SNI: "keyupdate.contoso.test", Endpoint: open13, OfferPHA: true}, "K\n", "KEYUPDATE"),
			rehandshake(l, Job{SNI: "rehandshake.contoso.test", Endpoint: gnu}),
		}
	}
}

// typed has s_client send a line, obey a command and send another line; the
// server sends lines back in reverse, so that each step is known to be over.
func typed(l *Lab, j Job, command, echo string) Truth {
	args := []string{"s_client", "-connect", l.address(j.Endpoint), "-servername", j.SNI, "-keylogfile", l.KeyLog()}
	if j.OfferPHA {
		args = append(args, "-enable_pha")
	}
	if id := l.clientIdentity(j); id != nil {
		args = append(args, "-cert", id.Cert, "-key", id.Key)
	}
	cmd := l.Net.Client.Command("openssl", args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		l.T.Fatal(err)
	}
	p := Start(l.T, cmd)
	for _, step := range []struct{ send, wait string }{
		{"first\n", "tsrif"},
		{command, echo},
		{"second\n", "dnoces"},
	} {
		if _, err := io.WriteString(in, step.send); err != nil {
			l.T.Fatal(err)
		}
		p.WaitFor(l.T, step.wait)
	}
	p.Stop()
	return NewTruth("openssl", j, Result{SNI: j.SNI, OK: true, Detail: p.Output()})
}

// rehandshake has gnutls-cli renegotiate of its own accord.
func rehandshake(l *Lab, j Job) Truth {
	j.Extra = []string{"--rehandshake"}
	return NewTruth("gnutls", j, runGnuTLS(l, j)[0])
}
