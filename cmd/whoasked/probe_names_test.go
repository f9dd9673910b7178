package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/capture/probe"
)

// certificateFor makes a certificate of names and addresses.
func certificateFor(t *testing.T, ip net.IP, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: names, IPAddresses: []net.IP{ip}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestProbeEachName: a server that asks under a name only its certificate tells,
// and one only the settings do, is found to.
func TestProbeEachName(t *testing.T) {
	p := newPeers(t)
	p.cert = certificateFor(t, net.IPv4(127, 0, 0, 1), "free.contoso.test", "optional.contoso.test", "*.fabrikam.test")
	s := newSite(t, p)
	label := (&nameList{of: probe.Target{Host: "127.0.0.1"}}).label()
	for _, tt := range []struct {
		kinds string
		want  []string // behind the name that is given
		asks  []string
	}{
		{"none", []string{""}, nil},
		{"random", []string{label + ".invalid"}, nil},
		{"certificate", []string{"optional.contoso.test", label + ".fabrikam.test"}, []string{"optional.contoso.test"}},
		{"hops", []string{"must-tls.contoso.test"}, []string{"must-tls.contoso.test"}},
		{"all", []string{"", label + ".invalid", "optional.contoso.test", label + ".fabrikam.test", "must-tls.contoso.test"}, []string{"optional.contoso.test", "must-tls.contoso.test"}},
	} {
		t.Run(tt.kinds, func(t *testing.T) {
			lines, stderr, status := runProbeCommand(t, "--name", "Free.contoso.test", "--each-name", tt.kinds, "--exit-code",
				"--hops", "one=must-tls.contoso.test,two=free.contoso.test", "https://"+s.addr)
			var names, asks []string
			for _, l := range probesOf(lines) {
				if !slices.Contains(names, l.SNI) {
					names = append(names, l.SNI)
				}
				if l.Demand != "not-requested" && !slices.Contains(asks, l.SNI) {
					asks = append(asks, l.SNI)
				}
			}
			if want := append([]string{"Free.contoso.test"}, tt.want...); !slices.Equal(names, want) || !slices.Equal(asks, tt.asks) {
				t.Errorf("tried %q, asked under %q, want %q and %q\n%s", names, asks, want, tt.asks, stderr)
			}
			if wantStatus := map[bool]int{true: exitAsked, false: exitFine}[len(tt.asks) > 0]; status != wantStatus {
				t.Errorf("exit status %d, want %d", status, wantStatus)
			}
		})
	}
}

// TestEachNameBounds: of a thousand names so many are sent, and the others counted.
func TestEachNameBounds(t *testing.T) {
	l := &nameList{of: probe.Target{Host: "portal.contoso.test"}}
	for i := range 1000 {
		l.certs = append(l.certs, fmt.Sprintf("n%d.contoso.test", i), "198.18.0.20", "bad name")
	}
	got := l.list([]string{"none", "certificate", "hops"}, attribute.Hops{{Name: "a", Hostnames: []attribute.Hostname{"n3.contoso.test"}}}, nil)
	if len(got) != maxEachName || got[0] != "" || got[1] != "n0.contoso.test" || l.left != 1000-maxEachName+1 {
		t.Errorf("%q, %d left", got, l.left)
	}
}

// TestProbeFindings: what tells asked from not asked among fresh connections is a
// finding, as in read.
func TestProbeFindings(t *testing.T) {
	p := newPeers(t)
	asks, quiet := newConfirmServer(t, p, tls.RequestClientCert, nil), newConfirmServer(t, p, tls.NoClientCert, nil)
	var l attribute.Legs
	for i := range 24 {
		at := quiet.at
		if i%2 == 0 {
			at = asks.at
		}
		a := (&probe.Prober{Timeout: 5 * time.Second, Brief: true}).Do(t.Context(), probe.Probe{
			Target: probe.Target{Host: "portal.contoso.test", Port: at.Port()}, Addr: at, ServerName: "portal.contoso.test", Version: tls.VersionTLS13, ALPN: "h2",
		})
		c := &attribute.Connection{ID: uint64(i + 1), Capture: "probe", Handshake: a.Handshake, Verdict: attribute.Judge(a.Handshake)}
		c.Client, c.Server = a.Handshake.Ends()
		l.Add(c)
	}
	found := l.Findings()
	if len(found) != 1 || found[0].Factor != "server" || !strings.Contains(found[0].Text, "in 12 of 12") {
		t.Errorf("%+v", found)
	}
}

// TestReadTargets: a file and standard input hold targets among those that are
// named; what is none is an error with its text.
func TestReadTargets(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte("# portals\n\n a.contoso.test \nsmtp://mail.contoso.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readTargets([]string{"first.contoso.test", "@" + list, "last.contoso.test:8443"})
	if err != nil || len(got) != 4 || got[1].Host != "a.contoso.test" || got[2].Preamble != "smtp" || got[3].Port != 8443 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(list, []byte("a.contoso.test\ngopher://b.contoso.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readTargets([]string{"@" + list}); err == nil || !strings.Contains(err.Error(), "gopher") {
		t.Error(err)
	}
	if _, err := readTargets([]string{"@" + list + ".none"}); err == nil {
		t.Error("a list that is not there is none")
	}
}
