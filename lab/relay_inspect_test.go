//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inspectCase is what curl gets from nginx through a relay that ends TLS.
type inspectCase struct {
	name string
	mode Mode
	// settings are the relay's beside those common to all.
	settings func(p *PKI) []string
	// direct: curl trusts the server's authority and not the relay's.
	direct bool
	cert   bool     // curl has one
	status []string // of one request after the other; "000" for none
	asked  string
	reply  string // of the connection that was inspected; empty for none
	note   string // kind of note that has to be there
}

func inspectCases() []inspectCase {
	on := func(what string) func(*PKI) []string {
		return func(*PKI) []string { return []string{"--on-request", what} }
	}
	own := func(p *PKI) []string {
		return []string{"--on-request", "certificate", "--client-cert", p.ClientRSA.Cert, "--client-key", p.ClientRSA.Key}
	}
	ok := []string{"200"}
	return []inspectCase{
		{name: "not asked", mode: NotAsked, settings: on("none"), status: ok, asked: "no"},
		{name: "none, optional", mode: Optional, settings: on("none"), status: ok, asked: "yes", reply: "empty"},
		{name: "none, required", mode: Required, settings: on("none"), status: []string{"400"}, asked: "yes", reply: "empty"},
		{name: "certificate, required", mode: Required, settings: own, status: ok, asked: "yes", reply: "certificate"},
		{name: "mirror", mode: Optional, settings: on("mirror"), cert: true, status: ok, asked: "yes", reply: "empty", note: "relay-inspect-offered"},
		{name: "pass", mode: Optional, settings: on("pass"), direct: true, cert: true, status: []string{"200", "200"}, asked: "yes", note: "relay-inspect-passed"},
		{name: "pinned", mode: Optional, settings: on("none"), direct: true, status: []string{"000", "200"}, asked: "yes", note: "relay-inspect-distrusted"},
	}
}

// TestRelayInspect has curl speak to nginx through a relay that ends TLS, in every
// way it may answer, and where it has to leave the connection alone.
func TestRelayInspect(t *testing.T) {
	l := newRelayLab(t, "curl", "nginx", "ss", "sh", "mount")
	ca := filepath.Join(l.Dir, "ca")
	run(t, l.hosts.router, l.program, "ca", "init", "--name", "contoso.test", "--out", ca)
	versions := []uint16{tls.VersionTLS12, tls.VersionTLS13}
	eps := everyMode(Endpoint{Server: "nginx", Port: firstPort, Cipher: AES128, Key: EC}, versions...)
	Servers()[0].Serve(l.Lab, eps)
	for _, v := range versions {
		for i, c := range inspectCases() {
			t.Run(c.name+" "+tls.VersionName(v), func(t *testing.T) {
				within := *l
				at := slices.IndexFunc(eps, func(e Endpoint) bool { return e.Version == v && e.Mode == c.mode })
				within.Lab, within.ports = l.With(t), []int{eps[at].Port}
				within.inspect(t, c, fmt.Sprintf("inspect-%x-%d", v, i), ca)
			})
		}
	}
}

// inspect runs one case.
func (l *relayLab) inspect(t *testing.T, c inspectCase, name, ca string) {
	f, port := families()[0], l.ports[0]
	settings := append(l.settingsOf(relayWays()[0], f), "--inspect", "contoso.test", "--ca", ca, "--upstream-ca", l.PKI.ServerCA)
	r := l.relay(name, false, append(settings, c.settings(l.PKI)...)...)
	args := []string{"-sS", "--http1.1", "--noproxy", "", "-o", "/dev/null", "-w", "status %{http_code}",
		"--cacert", pick(c.direct, l.PKI.ServerCA, filepath.Join(ca, "ca.pem")),
		"--connect-to", fmt.Sprintf("www.contoso.test:%d:%s:%d", port, f.router, port), fmt.Sprintf("https://www.contoso.test:%d/", port)}
	if c.cert {
		args = append(args, "--cert", l.PKI.ClientRSA.Cert, "--key", l.PKI.ClientRSA.Key)
	}
	for i, want := range c.status {
		out := l.invoke("", "curl", args...)
		if _, status, _ := strings.Cut(out, "status "); status != want {
			t.Errorf("request %d: status %s, want %s: %s", i, status, want, out)
		}
	}
	got := r.stop()
	var all []map[string]any
	for _, list := range got.Connections {
		all = append(all, list...)
	}
	if len(all) == 0 {
		t.Error("no connection was told")
	}
	opened := slices.IndexFunc(all, func(c map[string]any) bool { return fmt.Sprint(c["via"]) == "fixed inspected" })
	for _, line := range all {
		if fmt.Sprint(line["asked"]) != c.asked {
			t.Errorf("asked is %v, want %s: %v", line["asked"], c.asked, line)
		}
		if line["basis"] == "inferred" && opened >= 0 && fmt.Sprint(line["via"]) == "fixed inspected" {
			t.Errorf("what was opened is only inferred: %v", line)
		}
	}
	if c.reply != "" && (opened < 0 || fmt.Sprint(all[opened]["reply"]) != c.reply) {
		t.Errorf("no inspected connection with the reply %s in %v", c.reply, all)
	}
	if c.note != "" && got.Notes[c.note] == 0 {
		t.Errorf("no note %s among %v", c.note, got.Notes)
	}
}
