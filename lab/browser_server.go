//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Names of the sites that browsers visit.
const (
	portal = "portal.contoso.test"
	api    = "api.contoso.test"
	start  = "start.contoso.test"
	wiki   = "wiki.contoso.test"
	vault  = "vault.contoso.test"
	news   = "news.contoso.test"
	cdn    = "cdn.contoso.test"
)

// portalPort is where sites are: a URL without a port leads there.
const portalPort = 443

// Site is a virtual host.
type Site struct {
	Name     string
	Mode     Mode
	Identity *Identity // nil for the one that all share
	Body     string    // HTML below the first line of the page
	Fresh    bool      // no session is resumed
}

// Portal is an nginx with sites at one address, told apart by SNI.
type Portal struct{ log string }

// Request is a line of its access log.
type Request struct {
	Time     time.Time // when it was answered
	Protocol string    // "TLSv1.3"
	SNI      string
	Verify   string // "NONE" without a client certificate, "SUCCESS"
	Resumed  bool
	Path     string
}

// ServeSites starts nginx. Sites that ask name the authority of clientCA, a PEM
// file. protocols is a list such as "TLSv1.2 TLSv1.3".
func (l *Lab) ServeSites(protocols, clientCA string, sites ...Site) *Portal {
	l.T.Helper()
	dir, err := os.MkdirTemp(l.Dir, "portal")
	if err != nil {
		l.T.Fatal(err)
	}
	p := &Portal{log: filepath.Join(dir, "access.log")}
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;\n"+
		"events { worker_connections 256; }\nhttp {\n"+
		"log_format tls '$msec $ssl_protocol $ssl_server_name $ssl_client_verify $ssl_session_reused $uri';\n"+
		"access_log %[1]s/access.log tls; default_type text/html; keepalive_timeout 1s;\n", dir)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/%s;\n", temp, dir, temp)
	}
	for _, s := range sites {
		id := &l.PKI.ServerRSA
		if s.Identity != nil {
			id = s.Identity
		}
		fmt.Fprintf(&b, "server { listen %s:%d ssl http2; server_name %s; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols %s;\n",
			l.Net.Server.Addr, portalPort, s.Name, id.Cert, id.Key, protocols)
		if s.Mode != NotAsked {
			fmt.Fprintf(&b, "ssl_verify_client %s; ssl_client_certificate %s;\n", pick(s.Mode == Required, "on", "optional"), clientCA)
		}
		if s.Fresh {
			b.WriteString("ssl_session_cache off; ssl_session_tickets off;\n")
		}
		fmt.Fprintf(&b, "location = /favicon.ico { return 204; }\n"+
			"location / { return 200 '<!DOCTYPE html><title>$host</title><p>Client certificate: $ssl_client_verify%s'; } }\n", s.Body)
	}
	b.WriteString("}\n")
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o644); err != nil {
		l.T.Fatal(err)
	}
	l.start("nginx", "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", conf)
	l.Net.Server.WaitListen(l.T, portalPort)
	return p
}

// Requests returns what was answered so far.
func (p *Portal) Requests(t testing.TB) []Request {
	t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	var all []Request
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		f := strings.Fields(line)
		if len(f) != 6 {
			t.Fatalf("nginx logged %q", line)
		}
		sec, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			t.Fatalf("nginx logged %q", line)
		}
		all = append(all, Request{Time: time.UnixMilli(int64(sec * 1000)), Protocol: f[1], SNI: f[2], Verify: f[3], Resumed: f[4] == "r", Path: f[5]})
	}
	return all
}
