//go:build linux

package lab

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// pathAgain has the server on JSSE renegotiate again and again.
const pathAgain = "/again"

// probeCase is a server as it is known to be, and one way to probe it.
type probeCase struct {
	name    string
	port    int
	version uint16 // the only one that it speaks
	sni     string // empty: www.contoso.test; "-": none
	host    string // of the request; empty: the SNI, or the address
	path    string
	// want is the demand of fresh handshakes, with when it is made; wantLater that
	// of a connection that offers post-handshake authentication, empty for the same.
	want, wantLater string
	// status is of the response, 0 for whatever.
	status int
}

func (c *probeCase) tls() string { return pick(c.version == tls.VersionTLS13, "1.3", "1.2") }

// probeTruth lists what the truth table has, and the endpoints of the matrix
// among it.
func probeTruth() (cases []probeCase, eps []Endpoint) {
	demand := map[Mode]string{NotAsked: "not-requested", Optional: "optional handshake", Required: "required-by-tls handshake"}
	for _, s := range Servers() {
		for _, v := range bothVersions {
			for _, m := range []Mode{NotAsked, Optional, Required} {
				e := Endpoint{Server: s.Name, Port: firstPort + len(eps), Version: v, Mode: m, Key: s.Key, TwoCAs: m == Required}
				eps = append(eps, e)
				c := probeCase{name: s.Name + " " + string(m), port: e.Port, version: v, want: demand[m]}
				if s.Name == "nginx" && m == Required {
					c.want, c.status = "required-by-http handshake", 400
				}
				cases = append(cases, c)
				if s.Name == "jsse" && m == NotAsked && v == tls.VersionTLS12 {
					c.name, c.path, c.want = "jsse, again and again", pathAgain, "unknown renegotiation"
					cases = append(cases, c)
				}
			}
		}
	}
	for i, v := range bothVersions {
		add := func(name string, port int, sni, path, want string) *probeCase {
			cases = append(cases, probeCase{name: name, port: port + i, version: v, sni: sni, path: path, want: want})
			return &cases[len(cases)-1]
		}
		add("nginx optional_no_ca", portNoCA, "", "", "optional handshake")
		for _, n := range []struct{ name, free, ask string }{
			{"", "not-requested", "optional handshake"},
			{"-", "not-requested", "optional handshake"},
			{"asks.contoso.test", "required-by-http handshake", "optional handshake"},
			{"free.contoso.test", "not-requested", "not-requested"},
		} {
			add("nginx, default free", portFreeFirst, n.name, "", n.free)
			add("nginx, default asks", portAskFirst, n.name, "", n.ask)
		}
		add("apache free path", portPaths, "", pathFree, "not-requested")
		secret := add("apache path require", portPaths, "", pathSecret, "required-by-tls renegotiation")
		maybe := add("apache path optional", portPaths, "", pathMaybe, "optional renegotiation")
		if v == tls.VersionTLS13 {
			secret.want, secret.wantLater = "not-requested", "unknown post-handshake"
			secret.status = 403
			maybe.want, maybe.wantLater = "not-requested", "unknown post-handshake"
		}
		add("apache, default free", portNamed, "first.contoso.test", "", "not-requested")
		add("apache, default free", portNamed, "asks.contoso.test", "", "optional handshake")
		// Without SNI the default host answers, and 421 to a request for the other.
		add("apache, default free", portNamed, "-", "", "not-requested").host = "asks.contoso.test"
		add("apache, default asks", portNamedAsk, "-", "", "optional handshake").host = "asks.contoso.test"
		misled := add("apache, default asks", portNamedAsk, "-", "", "unknown handshake")
		misled.host, misled.status = "free.contoso.test", 421
		for m, want := range []string{"not-requested", "optional handshake", "required-by-tls handshake"} {
			add([]string{"stunnel", "stunnel verify = 1", "stunnel verifyChain"}[m], portStunnel+2*m, "", "", want)
		}
	}
	return cases, eps
}

// probedLine is what a probe says of one kind of connection.
type probedLine struct {
	SNI, Version, ALPN, Demand, Because, When string
	Resume, Later                             bool
	Sent, Asked, Resumed, Failed              int
	Reasons                                   []struct{ Reason string }
	Share                                     []float64 `json:"share_95"`
}

func (p *probedLine) says() string { return strings.TrimSpace(p.Demand + " " + p.When) }

// TestProbeTruth holds the probe against servers of which it is known whether
// they ask, and prints what other tools say of them.
func TestProbeTruth(t *testing.T) {
	tools := []string{"stunnel", "sslscan", "testssl", "timeout"}
	for _, s := range Servers() {
		tools = append(tools, s.Tools...)
	}
	l := New(t, tools...)
	program := buildProgram(t, l)
	cases, eps := probeTruth()
	// testssl.sh takes its time: it looks at the rows that this expression fits.
	slow := regexp.MustCompile(cmp.Or(os.Getenv("WHOASKED_TESTSSL"), "^openssl required 1.2$|^nginx required 1.3$"))
	begun := time.Now()
	serveProbed(l, eps)
	t.Logf("servers up after %.1f s", time.Since(begun).Seconds())

	said := make([][]probedLine, len(cases))
	peers := make([]peerAnswers, len(cases))
	var work sync.WaitGroup
	free, patient := make(chan struct{}, 4), make(chan struct{}, 2)
	for i := range cases {
		work.Go(func() {
			if slow.MatchString(cases[i].name + " " + cases[i].tls()) {
				patient <- struct{}{}
				defer func() { <-patient }()
				peers[i].testssl = askTestssl(l, &cases[i])
			}
		})
		work.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			said[i] = l.probe(program, fmt.Sprint("truth-", i), cases[i].args(l)...)
			peers[i].openssl, peers[i].sslscan = askOpenSSL(l, &cases[i]), askSslscan(l, &cases[i])
		})
	}
	work.Wait()
	t.Logf("probed after %.1f s", time.Since(begun).Seconds())
	kinds, hidden := 0, 0
	for i := range cases {
		kinds += len(said[i])
		cases[i].check(t, said[i])
		for _, p := range said[i] {
			if p.Resumed > 0 && strings.HasSuffix(cases[i].want, " handshake") {
				hidden++
			}
		}
	}
	t.Logf("%d servers, names and paths, %d kinds of connection; %d servers that ask hid it from a resumed session", len(cases), kinds, hidden)
	if hidden == 0 {
		t.Error("no server that asks resumed a session: resumption was not tried")
	}
	comparePeers(t, cases, said, peers)
	t.Run("pool", func(t *testing.T) { checkPool(t, l.With(t), program) })
	t.Run("names", func(t *testing.T) { checkNames(t, l.With(t), program) })
}

// checkNames: where the default server does not ask, the one name that does is
// found in the settings; none of the others is told to.
func checkNames(t *testing.T, l *Lab, program string) {
	lines := l.probe(program, "names", "--each-name", "all", "--hops", "asks=asks.contoso.test", "--tls", "1.3", "--alpn", "http/1.1",
		"--resume=false", "--later=false", fmt.Sprintf("https://%s:%d/", l.Net.Server.Addr, portFreeFirst+1))
	tried := make(map[string]string)
	for _, p := range lines {
		tried[p.SNI] = p.says()
		if want := pick(p.SNI == "asks.contoso.test", "required-by-http handshake", "not-requested"); p.says() != want {
			t.Errorf("as %q it says %q, want %q", p.SNI, p.says(), want)
		}
	}
	for _, name := range []string{"", "asks.contoso.test", "fabrikam.test"} { // the last is in the certificate
		if tried[name] == "" {
			t.Errorf("%q was not tried: %v", name, tried)
		}
	}
}

func (c *probeCase) serverName() string {
	switch c.sni {
	case "":
		return "www.contoso.test"
	case "-":
		return ""
	}
	return c.sni
}

func (c *probeCase) args(l *Lab) []string {
	addr := l.Net.Server.Addr.String()
	return []string{"--name", c.serverName(), "--address", addr, fmt.Sprintf("https://%s:%d%s", cmp.Or(c.host, addr), c.port, c.path)}
}

// probe runs the program at the client and returns its lines of kind probe.
func (l *Lab) probe(program, name string, args ...string) []probedLine {
	l.T.Helper()
	out, err := l.Net.Client.Command(program, append([]string{"probe", "--format", "json", "--quiet", "--timeout", "20s"}, args...)...).Output()
	if err != nil {
		l.T.Errorf("%s: probe %q: %v", name, args, err)
	}
	var lines []probedLine
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, `{"kind":"probe"`) {
			continue
		}
		var p probedLine
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			l.T.Errorf("%v: %s", err, line)
		}
		lines = append(lines, p)
	}
	return lines
}

// check demands that every kind of connection says what is known.
func (c *probeCase) check(t *testing.T, said []probedLine) {
	t.Helper()
	const kinds = 7 // two versions × (two protocols, one resumed), and one later
	if len(said) != kinds {
		t.Errorf("%s %s: %d kinds of connection, want %d", c.name, c.tls(), len(said), kinds)
	}
	for i := range said {
		p := &said[i]
		if why := c.wrong(p); why != "" {
			t.Errorf("%s port %d %s %q, %s %s resume %t later %t: %s\n%+v", c.name, c.port, c.tls(), c.sni, p.Version, p.ALPN, p.Resume, p.Later, why, *p)
		}
	}
}

// wrong says what of an answer is not as it is known; empty if all is.
func (c *probeCase) wrong(p *probedLine) string {
	want := c.want
	switch {
	case p.Version != "TLS "+c.tls():
		if p.Demand != "unknown" || p.Asked > 0 || len(p.Reasons) == 0 {
			return "the server does not speak this version, and it is not left open with a reason"
		}
		return ""
	case p.Later && c.wantLater != "":
		want = c.wantLater
	case p.Resumed > 0:
		want = "not-requested" // that is what resumption hides
	case p.Resume && strings.HasSuffix(c.want, "renegotiation") && p.Asked == 0 && p.Demand == "unknown" && len(p.Reasons) > 0:
		return "" // crypto/tls gives no keys of a resumed session of TLS 1.2
	}
	if p.says() != want {
		return fmt.Sprintf("says %q, want %q", p.says(), want)
	}
	if c.path == pathAgain && !strings.Contains(p.Because, "again and again") {
		return "no word about why it was given up"
	}
	if c.status > 0 && !p.Later && p.Asked > 0 && !strings.Contains(p.Because, fmt.Sprint(c.status)) {
		return fmt.Sprintf("because %q, want status %d", p.Because, c.status)
	}
	return ""
}

// checkPool: of a pool of four, of which one asks, connections one after another
// meet each the same number of times.
func checkPool(t *testing.T, l *Lab, program string) {
	const n, k = 20, 5
	lines := l.probe(program, "pool", "--parallel", "1", "--repeat", fmt.Sprint(n), "--resume=false", "--later=false", "--tls", "1.3", "--alpn", "http/1.1",
		fmt.Sprintf("https://%s:%d/", l.Net.Server.Addr, portPool))
	if len(lines) != 1 || lines[0].Asked != k || lines[0].Sent != n || len(lines[0].Share) != 2 ||
		!(lines[0].Share[0] < 0.25 && lines[0].Share[1] > 0.25 && lines[0].Share[0] > 0.05 && lines[0].Share[1] < 0.5) {
		t.Errorf("%+v, want %d of %d asked", lines, k, n)
	}
	t.Logf("%d of %d asked, interval %.2f", k, n, lines[0].Share)
}
