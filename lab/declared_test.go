//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// importHops makes settings out of an export.
func importHops(t *testing.T, l *Lab, program, name, export string) string {
	t.Helper()
	out, err := exec.Command(program, "hops", "import", "--address", "198.18.0.20", l.File(name+".export", export)).Output()
	if err != nil {
		t.Fatalf("hops import of\n%s\n%v", export, err)
	}
	return l.File(name+".yaml", string(out))
}

// agreements reads captures and returns what is said about what is declared, by
// configured name and server name.
func agreements(t *testing.T, program, config string, files map[string]string) map[string]string {
	t.Helper()
	args := append([]string{"read", "--quiet", "--format", "json", "--config", config}, slices.Sorted(maps.Values(files))...)
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("whoasked %s: %v", strings.Join(args, " "), err)
	}
	got := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		var v struct{ Kind, Name, SNI, Agreement string }
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if v.Kind == "asker" {
			got[v.Name+" "+v.SNI] = v.Agreement
		}
	}
	return got
}

const elsewhere = ": not propagated yet, or another endpoint answers on this address"

// TestDeclaredNginx imports what a running nginx prints, changes one of its sites,
// and holds the import against what is then captured.
func TestDeclaredNginx(t *testing.T) {
	l := New(t, "nginx", "curl", "go")
	program := buildProgram(t, l)
	c := NewChain(t)
	l.Net = &Net{Client: c.Client, Server: c.Edge}
	site := func(name, verify string) string {
		return fmt.Sprintf("server { listen 443 ssl; server_name %s; ssl_certificate %s; ssl_certificate_key %s;\n"+
			" ssl_verify_client %s; ssl_client_certificate %s; location / { return 200 ok; } }\n",
			name, l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key, verify, l.PKI.ClientCA)
	}
	args := func(name, portal string) []string {
		conf := fmt.Sprintf("daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\n"+
			"events { worker_connections 64; }\nhttp { access_log off;\n", l.Dir)
		for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			conf += fmt.Sprintf("%s_temp_path %s/nginx-%s;\n", temp, l.Dir, temp)
		}
		conf += "include " + l.File(name+"-sites.conf", site(portalName, portal)+site(shopName, "off")+site("certs.contoso.test", "optional")) + ";\n}\n"
		return []string{"-p", l.Dir, "-e", l.Dir + "/nginx.log", "-c", l.File(name+".conf", conf)}
	}
	before := l.start("nginx", args("before", "off")...)
	c.Edge.WaitListen(t, 443)
	export, err := c.Edge.Command("nginx", append([]string{"-T"}, args("before", "off")...)...).Output()
	if err != nil {
		t.Fatalf("nginx -T: %v", err)
	}
	config := importHops(t, l, program, "nginx", string(export))
	before.Stop()
	l.start("nginx", args("after", "optional")...)
	c.Edge.WaitListen(t, 443)

	visits := tour{visits: repeat(3, portalName, shopName, "certs.contoso.test", "198.18.0.20")}
	got := agreements(t, program, config, c.Record(l, "declared", func() { visits.walk(l, c) }))
	want := map[string]string{
		"nginx " + portalName:      "declared off, asked 3 of 3" + elsewhere,
		"nginx " + shopName:        "declared off, asked 0 of 3, as declared",
		"nginx certs.contoso.test": "declared optional, asked 3 of 3, as declared",
		"nginx ":                   "declared off by default, asked 3 of 3" + elsewhere,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q\nwant %q\nby\n%s", got, want, export)
	}
}

// TestDeclaredHAProxy imports the configurations of an edge that passes TLS through
// and of the hop behind it, which has since begun to ask at one of its addresses.
func TestDeclaredHAProxy(t *testing.T) {
	l := New(t, "haproxy", "curl", "go")
	program := buildProgram(t, l)
	c := NewChain(t)
	l.Net = &Net{Client: c.Client, Server: c.Edge}
	front := "listen edge\n bind 198.18.0.20:443\n mode tcp\n server a 198.18.1.30:443\n server b 198.18.1.31:443\n"
	middle := func(b string) string {
		return "frontend asks\n mode http\n bind 198.18.1.30:443" + l.asking() + page +
			"frontend changed\n mode http\n bind 198.18.1.31:443" + b + page
	}
	config := importHops(t, l, program, "haproxy", front+middle(l.silent()))
	c.HAProxy(l, c.Middle, "middle", middle(l.asking()), 443)
	c.HAProxy(l, c.Edge, "edge", front, 443)

	visits := tour{visits: repeat(6, portalName)}
	got := agreements(t, program, config, c.Record(l, "declared", func() { visits.walk(l, c) }))
	want := map[string]string{
		"edge " + portalName:    "declared passthrough, and so it does: who asked is behind it",
		"asks " + portalName:    "declared optional, asked 3 of 3, as declared",
		"changed " + portalName: "declared off, asked 3 of 3" + elsewhere,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
