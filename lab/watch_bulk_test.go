//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWatchBehindBulk has curl load megabytes by TLS 1.2 and then, in the same
// connection, pages for which httpd renegotiates, with and without a request: the
// kernel withholds the bulk, and lets the handshakes behind it pass.
func TestWatchBehindBulk(t *testing.T) {
	l := New(t, "apache2", "curl")
	program := buildProgram(t, l)
	serveByPath(l)
	l.File(filepath.Join("www", BulkPage), strings.Repeat("bulk data ", 2*bulkSize/10))
	file := func(name string) string { return filepath.Join(l.Dir, name) }
	evidence := file("evidence")
	dump := StartBulkCapture(t, l.Net.Client, Device, file("bulk.pcap"))
	watches := []*Watch{
		StartWatch(t, l.Net.Client, program, file("lab0.jsonl"), 1, "-i", Device, "--ring", "128MiB"),
		StartWatch(t, l.Net.Client, program, file("any.jsonl"), 1, "-i", "any", "--ring", "128MiB", "--evidence", evidence),
	}
	e := byPath(tls.VersionTLS12)
	const bulk = "/" + BulkPage
	want := map[string]string{}
	ask := func(asked string, cert Key, paths ...string) {
		name := fmt.Sprintf("behind-%d.contoso.test", len(want))
		want[name] = asked
		args := []string{"-sSk", "--http1.1", "--tls-max", "1.2", "--noproxy", "*", "--max-time", "30",
			"--resolve", fmt.Sprintf("%s:%d:%s", name, e.Port, l.Net.Server.Addr)}
		if cert != "" {
			id := l.clientIdentity(Job{Endpoint: e, Cert: cert})
			args = append(args, "--cert", id.Cert, "--key", id.Key)
		}
		for _, p := range paths {
			args = append(args, "-o", "/dev/null", fmt.Sprintf("https://%s:%d%s", name, e.Port, p))
		}
		if out := l.invoke("", "curl", append(args, "-w", "%{num_connects}\n")...); !strings.HasPrefix(out, "1\n0\n") {
			t.Fatalf("%v: curl has made not one connection: %s", paths, out)
		}
	}
	ask("yes renegotiation empty", "", bulk, pathMaybe, bulk, pathFree)
	ask("yes renegotiation certificate", RSA, bulk, pathSecret, bulk)
	ask("no", "", bulk, pathCipher, bulk, pathFree)
	ask("yes renegotiation certificate", RSA, bulk, pathMaybe, bulk, pathSecret, bulk)
	ask("no", "", bulk, bulk)
	if !l.Net.Client.WaitQuiet(t, 10*time.Second) {
		t.Error("connections stay open")
	}
	dump.Stop(t)
	check := func(name string, got *Answers) (n int) {
		for _, list := range got.Connections {
			for _, c := range list {
				n++
				said := strings.TrimSpace(fmt.Sprint(c["asked"], " ", or(c["when"], ""), " ", or(c["reply"], "")))
				if sni := fmt.Sprint(c["sni"]); said != want[sni] {
					t.Errorf("%s: %s is %q, want %q: %v", name, sni, said, want[sni], c)
				}
			}
		}
		return n
	}
	if n := check("read", ReadCapture(t, program, dump.Path)); n != len(want) {
		t.Errorf("%d connections are in the capture, %d were made", n, len(want))
	}
	for _, w := range watches {
		w.Stop(t)
		got := ReadAnswers(t, w.Path)
		if n := check(w.Name, got); n != len(want) {
			t.Errorf("watch %s: %d connections told, %d made", w.Name, n, len(want))
		}
		if n := got.Notes["withheld-packets"]; n < 200 || got.Notes["dropped-packets"] > 0 {
			t.Errorf("watch %s: %d packets were withheld, %d dropped", w.Name, n, got.Notes["dropped-packets"])
		}
	}
	files, _ := filepath.Glob(filepath.Join(evidence, "*.pcapng"))
	for _, f := range files {
		check("read of evidence", ReadCapture(t, program, f))
	}
	if len(files) != 3 {
		t.Errorf("evidence is %v", files)
	}
}

// or is v, or something else where there is none.
func or(v any, other any) any {
	if v == nil {
		return other
	}
	return v
}
