//go:build linux

package lab

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"
)

// peerAnswers are what other tools say of a server, in the words of the table:
// "asks", "required", "optional", "does not ask", or "silent" where what they
// print is the same for servers that ask and that do not. Empty: not tried.
type peerAnswers struct{ openssl, sslscan, testssl string }

// peerLimit bounds one run of a tool.
const peerLimit = 45 * time.Second

func (l *Lab) peer(script string) string {
	out, _ := l.Net.Client.Command("timeout", fmt.Sprint(int(peerLimit.Seconds())), "bash", "-c", script).CombinedOutput() // what it prints counts
	return string(out)
}

// askOpenSSL asks for the page, as a person would do it by hand.
func askOpenSSL(l *Lab, c *probeCase) string {
	name := "-noservername"
	if n := c.serverName(); n != "" {
		name = "-servername " + n
	}
	path := pick(c.path == "", "/", c.path)
	out := l.peer(fmt.Sprintf("printf 'GET %s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' | openssl s_client -connect %s:%d %s -tls%s -ign_eof 2>&1",
		path, cmp.Or(c.host, c.serverName()), l.Net.Server.Addr, c.port, name, strings.Replace(c.tls(), ".", "_", 1)))
	// "No client certificate CA names sent" is said of both; algorithms are listed
	// only if there was a request.
	switch {
	case strings.Contains(out, "Client Certificate Types"), strings.Contains(out, "Requested Signature Algorithms"),
		strings.Contains(out, "Acceptable client certificate CA names"):
		return "asks"
	case strings.Contains(out, "No client certificate CA names sent"):
		return "does not ask"
	}
	return "silent"
}

func askSslscan(l *Lab, c *probeCase) string {
	name := ""
	if n := c.serverName(); n != "" {
		name = "--sni-name=" + n
	}
	out := l.peer(fmt.Sprintf("sslscan --no-colour --show-client-cas --no-ciphersuites --no-fallback --no-renegotiation --no-compression --no-heartbleed --no-groups --tls%s %s %s:%d",
		strings.Replace(c.tls(), ".", "", 1), name, l.Net.Server.Addr, c.port))
	_, cas, found := strings.Cut(out, "Acceptable client certificate CA names:")
	cas, _, _ = strings.Cut(cas, "\n\n")
	if !found || strings.Contains(cas, "None defined") || strings.TrimSpace(cas) == "" {
		return "silent" // "None defined (any)" is said of servers that do not ask as well
	}
	return "asks"
}

// askTestssl reads what testssl.sh says of the service, which it looks at first of all:
// release 3.0, as Debian 12 has it, has no other line about certificates of clients. It
// stops it then. The server speaks one version only.
func askTestssl(l *Lab, c *probeCase) string {
	begun := time.Now()
	out := l.peer(fmt.Sprintf("exec 3< <(exec testssl --color 0 --quiet --warnings off --ip one --nodns min --openssl /usr/bin/openssl -H https://%s:%d%s </dev/null 2>&1); "+
		"grep -a -m1 'Service detected' <&3; kill $!", l.Net.Server.Addr, c.port, c.path))
	switch {
	case strings.Contains(out, "certificate-based authentication"):
		return "required"
	case strings.Contains(out, "Service detected"):
		return "silent" // it says the same of servers that ask and go on without
	case time.Since(begun) < peerLimit:
		return "no answer, it gave up"
	}
	return fmt.Sprint("no answer in ", peerLimit)
}

// comparePeers prints the table, and demands that no tool was asked in vain.
func comparePeers(t *testing.T, cases []probeCase, said [][]probedLine, peers []peerAnswers) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s %-4s %-18s %-42s %-13s %-13s %s\n", "server", "TLS", "name", "whoasked (and it is so)", "openssl", "sslscan", "testssl.sh")
	tried, right := map[string]int{}, map[string]int{}
	for i := range cases {
		c, p := &cases[i], &peers[i]
		asks := strings.Contains(c.want+c.wantLater, " ") // it does so at some time
		truth := pick(c.wantLater == "", c.want, c.wantLater)
		cell := func(tool, answer string) string {
			if answer == "" {
				return ""
			}
			tried[tool]++
			ok := asks == (answer != "does not ask") && answer != "silent" && !strings.HasPrefix(answer, "no answer")
			ok = ok && (answer != "required" || strings.HasPrefix(truth, "required"))
			if ok {
				right[tool]++
			}
			return pick(ok, "", "✗ ") + answer
		}
		fmt.Fprintf(&b, "%-22s %-4s %-18s %-42s %-13s %-13s %s\n", c.name, c.tls(), pick(c.sni == "", c.path, c.sni+pick(c.host == "", "", " Host: "+strings.TrimSuffix(c.host, ".contoso.test"))), truth,
			cell("openssl", p.openssl), cell("sslscan", p.sslscan), cell("testssl.sh", p.testssl))
	}
	t.Logf("✗ is wrong, or cannot be told from what is printed:\n%s", b.String())
	for _, tool := range []string{"openssl", "sslscan", "testssl.sh"} {
		t.Logf("%s: right in %d of %d, not counting whether a certificate is required where it does not say", tool, right[tool], tried[tool])
		if right[tool] == 0 && tool != "testssl.sh" { // which may not have had the time
			t.Errorf("%s is never right: it was not asked as it should be", tool)
		}
	}
}
