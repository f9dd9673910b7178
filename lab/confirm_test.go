//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// confirmConf is nginx with TLS 1.3 under three names, two of which ask; what
// changed.contoso.test does is given.
func confirmConf(l *Lab, changed string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off; user root; pid %[1]s/confirm.pid; error_log %[1]s/confirm.log;\n"+
		"events { worker_connections 256; }\nhttp { access_log off;\n", l.Dir)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/confirm-%s;\n", temp, l.Dir, temp)
	}
	for _, s := range []struct{ name, ask string }{{"stays", "optional"}, {"changed", changed}, {"quiet", "off"}} {
		fmt.Fprintf(&b, "server { listen %s:8443 ssl; server_name %s.contoso.test; ssl_certificate %s; ssl_certificate_key %s;\n"+
			"ssl_protocols TLSv1.3; ssl_verify_client %s; ssl_client_certificate %s; location / { return 200 ok; } }\n",
			l.Net.Server.Addr, s.name, l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key, s.ask, l.PKI.ClientCA)
	}
	return b.String() + "}\n"
}

// askerLine is what the test reads of an asker.
type askerLine struct {
	Kind, SNI, Basis, Note string
	Full, Asked            int
	Probe                  *struct {
		Asked, Standing string
		Authorities     []string
	}
}

// askerLines returns the askers of an answer by name, the latest of each, and its
// notes.
func askerLines(t *testing.T, file string) (map[string]askerLine, []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	askers, notes := map[string]askerLine{}, []string(nil)
	for line := range strings.Lines(string(data)) {
		var a askerLine
		if !strings.HasPrefix(line, `{"kind":"asker"`) && !strings.HasPrefix(line, `{"kind":"note"`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch a.Kind {
		case "asker":
			askers[a.SNI] = a
		case "note":
			notes = append(notes, a.Note)
		}
	}
	return askers, notes
}

// TestConfirm: what sealed traffic of TLS 1.3 only lets infer is confirmed by
// asking the server that is still there, and contradicted by one that was changed
// since; watch and relay ask while they run, and count none of it as traffic.
func TestConfirm(t *testing.T) {
	l := New(t, "nginx", "curl")
	program := buildProgram(t, l)
	conf := l.File("confirm.conf", confirmConf(l, "optional"))
	nginx := Start(t, l.Net.Server.Command("nginx", "-p", l.Dir, "-e", l.Dir+"/confirm.log", "-c", conf))
	l.Net.Server.WaitListen(t, 8443)
	file := func(name string) string { return filepath.Join(l.Dir, name) }
	visit := func(name, at string) {
		t.Helper()
		run(t, l.Net.Client, "curl", "-sS", "--cacert", l.PKI.ServerCA, "--connect-to", "::"+at, "--max-time", "10", "https://"+name+".contoso.test:8443/")
	}
	server := l.Net.Server.Addr.String() + ":8443"

	pcap := StartCapture(t, l.Net.Client, Device, file("confirm.pcap"))
	watch := StartWatch(t, l.Net.Client, program, file("watch.jsonl"), 1, "-i", Device, "--confirm")
	relay := Start(t, l.Net.Client.Command(program, "relay", "--confirm", "--format", "json", "--output", file("relay.jsonl"), "--listen", "127.0.0.1:9443", "--to", server))
	relay.WaitFor(t, "listening at")
	for _, name := range []string{"stays", "changed", "quiet"} {
		visit(name, server)
	}
	if !poll(20*time.Second, func() bool { return told(file("watch.jsonl"), `"basis":"probed"`, 2) }) {
		t.Fatal("watch confirms nothing")
	}
	pcap.Stop(t)
	watch.Stop(t)
	checkConfirmed(t, file("watch.jsonl"), 1, "probed", "probed")

	l.File("confirm.conf", confirmConf(l, "off"))
	nginx.Signal(syscall.SIGHUP)
	still := "openssl s_client -connect " + server + " -servername changed.contoso.test </dev/null 2>&1 | grep -c 'Acceptable client certificate CA names' || true"
	if !poll(20*time.Second, func() bool { return strings.TrimSpace(run(t, l.Net.Client, "bash", "-c", still)) == "0" }) {
		t.Fatal("nginx does not change")
	}
	visit("stays", "127.0.0.1:9443")
	if !poll(20*time.Second, func() bool { return told(file("relay.jsonl"), `"basis":"probed"`, 1) }) {
		t.Fatal("relay confirms nothing")
	}
	relay.Signal(syscall.SIGTERM)
	<-relay.Done()
	if askers, _ := askerLines(t, file("relay.jsonl")); askers["stays.contoso.test"].Basis != "probed" || askers["stays.contoso.test"].Full != 1 {
		t.Errorf("relay tells %+v", askers)
	}
	run(t, l.Net.Client, program, "read", "--quiet", "--confirm", "--format", "json", "--output", file("read.jsonl"), file("confirm.pcap"))
	checkConfirmed(t, file("read.jsonl"), 2, "probed", "inferred") // with what watch asked
	if _, notes := askerLines(t, file("read.jsonl")); strings.Count(strings.Join(notes, " "), "probe-contradicts") != 1 {
		t.Errorf("notes %q", notes)
	}
}

// told reports whether a file holds a text so often.
func told(file, text string, times int) bool {
	data, err := os.ReadFile(file)
	return err == nil && strings.Count(string(data), text) >= times
}

// checkConfirmed: both names were asked so often in the traffic, on these bases;
// the third one is no asker.
func checkConfirmed(t *testing.T, file string, full int, stays, changed string) {
	t.Helper()
	askers, _ := askerLines(t, file)
	for name, basis := range map[string]string{"stays.contoso.test": stays, "changed.contoso.test": changed} {
		a := askers[name]
		asked, standing := "yes", "confirms"
		if basis == "inferred" {
			asked, standing = "no", "contradicts"
		}
		if a.Basis != basis || a.Full != full || a.Asked != full || a.Probe == nil || a.Probe.Asked != asked || a.Probe.Standing != standing {
			t.Errorf("%s: %s: %+v, want basis %s (%+v)", filepath.Base(file), name, a, basis, a.Probe)
		} else if asked == "yes" && len(a.Probe.Authorities) != 1 {
			t.Errorf("%s: %s accepts %q", filepath.Base(file), name, a.Probe.Authorities)
		}
	}
	if len(askers) != 2 {
		t.Errorf("%s: %+v", filepath.Base(file), askers)
	}
}
