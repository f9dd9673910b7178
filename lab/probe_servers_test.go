//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
)

// Ports of the servers that the truth table has beside the matrix.
const (
	portNoCA      = firstPort + 1000 // and the next: TLS 1.2, TLS 1.3, as with all of these
	portFreeFirst = firstPort + 1010 // the default server does not ask, asks.contoso.test does
	portAskFirst  = firstPort + 1020 // the other way round
	portPaths     = firstPort + 1030 // httpd that asks by path
	portNamed     = firstPort + 1040 // httpd, whose default host does not ask, and answers 421
	portNamedAsk  = firstPort + 1050 // httpd, whose default host asks, and answers 421
	portStunnel   = firstPort + 1060 // not asked, optional, required; TLS 1.2, TLS 1.3
	portPool      = firstPort + 1070 // one of four asks
	portPlain     = firstPort + 1080 // HTTP behind stunnel
)

// serveProbed starts all servers of the truth table.
func serveProbed(l *Lab, eps []Endpoint) {
	l.T.Helper()
	for _, s := range Servers() {
		var own []Endpoint
		for _, e := range eps {
			if e.Server == s.Name {
				own = append(own, e)
			}
		}
		s.serve(l, own)
	}
	serveNamesNginx(l)
	servePathsApache(l)
	serveStunnel(l)
	servePool(l)
	ports := []int{portPool, portPlain}
	for _, e := range eps {
		ports = append(ports, e.Port)
	}
	for _, p := range []int{portNoCA, portFreeFirst, portAskFirst, portPaths, portNamed, portNamedAsk} {
		ports = append(ports, p, p+1)
	}
	for i := range 6 {
		ports = append(ports, portStunnel+i)
	}
	l.Net.Server.WaitListen(l.T, ports...)
}

// apart is the same lab with another folder for what it runs.
func (l *Lab) apart(name string) *Lab {
	c := *l
	c.Dir = l.dir(name)
	return &c
}

var bothVersions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// serveNamesNginx has nginx ask by server name, and without any authority.
func serveNamesNginx(l *Lab) {
	l = l.apart("nginx-names")
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\n"+
		"events { worker_connections 256; }\nhttp { access_log off; ssl_certificate %[2]s; ssl_certificate_key %[3]s;\n",
		l.Dir, l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/nginx-%s;\n", temp, l.Dir, temp)
	}
	server := func(port, i int, names, more string) {
		fmt.Fprintf(&b, "server { listen %s:%d ssl http2; ssl_protocols %s; server_name %s; %s location / { return 200 ok; } }\n",
			l.Net.Server.Addr, port+i, []string{"TLSv1.2", "TLSv1.3"}[i], names, more)
	}
	ask := func(mode string) string {
		return "ssl_verify_client " + mode + "; ssl_client_certificate " + l.PKI.ClientCA + ";"
	}
	for i := range bothVersions {
		server(portNoCA, i, "_", "ssl_verify_client optional_no_ca;")
		server(portFreeFirst, i, "_", "")
		server(portFreeFirst, i, "asks.contoso.test", ask("on"))
		server(portAskFirst, i, "_", ask("optional"))
		server(portAskFirst, i, "free.contoso.test", "")
	}
	b.WriteString("}\n")
	l.start("nginx", "-p", l.Dir, "-e", l.Dir+"/nginx.log", "-c", l.File("nginx.conf", b.String()))
}

// servePathsApache has httpd ask by path and by name.
func servePathsApache(l *Lab) {
	l = l.apart("apache-paths")
	var b strings.Builder
	fmt.Fprintf(&b, apacheBase, l.Dir)
	for i, v := range bothVersions {
		e := Endpoint{Server: "apache", Version: v, Key: RSA}
		fmt.Fprintf(&b, "Listen %[1]s:%[2]d\n<VirtualHost %[1]s:%[2]d>\n%[3]sSSLCACertificateFile %[4]s\n"+
			"<Location /secret>\nSSLVerifyClient require\n</Location>\n<Location /maybe>\nSSLVerifyClient optional\n</Location>\n</VirtualHost>\n",
			l.Net.Server.Addr, portPaths+i, l.apacheTLS(e), l.PKI.ClientCA)
		fmt.Fprintf(&b, "Listen %[1]s:%[2]d\n<VirtualHost %[1]s:%[2]d>\nServerName first.contoso.test\n%[3]s</VirtualHost>\n"+
			"<VirtualHost %[1]s:%[2]d>\nServerName asks.contoso.test\n%[3]sSSLCACertificateFile %[4]s\nSSLVerifyClient optional\n</VirtualHost>\n",
			l.Net.Server.Addr, portNamed+i, l.apacheTLS(e), l.PKI.ClientCA)
		fmt.Fprintf(&b, "Listen %[1]s:%[2]d\n<VirtualHost %[1]s:%[2]d>\nServerName asks.contoso.test\n%[3]sSSLCACertificateFile %[4]s\nSSLVerifyClient optional\n</VirtualHost>\n"+
			"<VirtualHost %[1]s:%[2]d>\nServerName free.contoso.test\n%[3]s</VirtualHost>\n",
			l.Net.Server.Addr, portNamedAsk+i, l.apacheTLS(e), l.PKI.ClientCA)
	}
	for _, path := range []string{pathFree, pathSecret, pathMaybe} {
		l.dir(filepath.Join("www", filepath.Dir(path)))
		l.File(filepath.Join("www", path), "ok\n")
	}
	l.startApache(b.String())
}

// serveStunnel has stunnel end TLS in front of a server of plain HTTP.
func serveStunnel(l *Lab) {
	l = l.apart("stunnel")
	var b strings.Builder
	fmt.Fprintf(&b, "foreground = yes\nsyslog = no\npid =\ncert = %s\nkey = %s\n", l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key)
	for i := range 6 {
		fmt.Fprintf(&b, "[s%d]\naccept = %s:%d\nconnect = %[2]s:%[4]d\nsslVersion = %[5]s\n", i, l.Net.Server.Addr, portStunnel+i, portPlain,
			[]string{"TLSv1.2", "TLSv1.3"}[i%2])
		switch i / 2 {
		case 1:
			fmt.Fprintf(&b, "verify = 1\nCAfile = %s\n", l.PKI.ClientCA)
		case 2:
			fmt.Fprintf(&b, "verifyChain = yes\nCAfile = %s\n", l.PKI.ClientCA)
		}
	}
	l.start("stunnel", l.File("stunnel.conf", b.String()))
}

// servePool has HAProxy share connections among four servers of which one asks,
// and serve plain HTTP.
func servePool(l *Lab) {
	l = l.apart("pool")
	var b strings.Builder
	b.WriteString("global\n maxconn 1000\n nbthread 1\ndefaults\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n")
	fmt.Fprintf(&b, "frontend plain\n mode http\n bind %s:%d\n http-request return status 200 content-type text/plain string ok\n", l.Net.Server.Addr, portPlain)
	pool := fmt.Sprintf("listen pool\n mode tcp\n balance roundrobin\n bind %s:%d\n", l.Net.Server.Addr, portPool)
	for i := range 4 {
		pool += fmt.Sprintf(" server s%d 127.0.0.1:%d\n", i, portPool+1+i)
		ask := ""
		if i == 2 {
			ask = " ca-file " + l.PKI.ClientCA + " verify optional"
		}
		fmt.Fprintf(&b, "frontend f%d\n mode http\n bind 127.0.0.1:%d ssl crt %s%s\n http-request return status 200 content-type text/plain string ok\n",
			i, portPool+1+i, l.PKI.ServerEC.Both, ask)
	}
	l.start("haproxy", "-db", "-f", l.File("haproxy.cfg", b.String()+pool))
}
