//go:build linux

package lab

import (
	"fmt"
	"strings"
)

// Software is one row of the table of servers.
type Software struct {
	Name  string
	Tools []string
	// Key is the kind of the server certificate.
	Key Key
	// OwnTLS13: the cipher suite of TLS 1.3 cannot be set.
	OwnTLS13 bool
	// serve starts the processes that listen on the endpoints.
	serve func(l *Lab, eps []Endpoint)
}

// Servers returns the servers of the matrix.
func Servers() []Software {
	return []Software{
		{Name: "nginx", Tools: []string{"nginx"}, Key: RSA, serve: serveNginx},
		{Name: "haproxy", Tools: []string{"haproxy"}, Key: EC, serve: serveHAProxy},
		{Name: "apache", Tools: []string{"apache2"}, Key: RSA, serve: serveApache},
		{Name: "openssl", Tools: []string{"openssl"}, Key: EC, serve: serveOpenSSL},
		{Name: "gnutls", Tools: []string{"gnutls-serv"}, Key: RSA, serve: serveGnuTLS},
		{Name: "nss", Tools: []string{"selfserv", "certutil", "pk12util"}, Key: RSA, serve: serveNSS},
		{Name: "go", Tools: []string{"go"}, Key: EC, OwnTLS13: true, serve: serveGo},
		{Name: "jsse", Tools: []string{"java"}, Key: RSA, serve: serveJSSE},
	}
}

// Serve starts the server for its endpoints and waits until all listen.
func (s Software) Serve(l *Lab, eps []Endpoint) {
	l.T.Helper()
	s.serve(l, eps)
	var ports []int
	for _, e := range eps {
		ports = append(ports, e.Port)
	}
	l.Net.Server.WaitListen(l.T, ports...)
}

// identity returns the certificate of an endpoint.
func (l *Lab) identity(e Endpoint) Identity {
	if e.Key == EC {
		return l.PKI.ServerEC
	}
	return l.PKI.ServerRSA
}

// clientCA returns the file with the authorities that an endpoint names.
func (l *Lab) clientCA(e Endpoint) string {
	if e.TwoCAs {
		return l.PKI.ClientCAs
	}
	return l.PKI.ClientCA
}

// start runs a server in the server's namespace.
func (l *Lab) start(name string, args ...string) *Process {
	l.T.Helper()
	return Start(l.T, l.Net.Server.Command(name, args...))
}

// BulkPage is a file in Dir that nginx hands out, if the test has made it.
const BulkPage = "bulk"

func serveNginx(l *Lab, eps []Endpoint) {
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\n"+
		"events { worker_connections 1024; }\nhttp { access_log off;\n", l.Dir)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/nginx-%s;\n", temp, l.Dir, temp)
	}
	for _, e := range eps {
		ciphers, suites := e.openssl()
		id := l.identity(e)
		fmt.Fprintf(&b, "server { listen %s:%d ssl; ssl_certificate %s; ssl_certificate_key %s;\n"+
			"ssl_protocols %s; ssl_ciphers %s; ssl_conf_command Ciphersuites %s;\n",
			l.Net.Server.Addr, e.Port, id.Cert, id.Key, pick(e.tls13(), "TLSv1.3", "TLSv1.2"), ciphers, suites)
		if e.Mode != NotAsked {
			fmt.Fprintf(&b, "ssl_verify_client %s; ssl_client_certificate %s;\n",
				pick(e.Mode == Required, "on", "optional"), l.clientCA(e))
		}
		b.WriteString("location / { return 200 \"ok\\n\"; } location /" + BulkPage + " { root " + l.Dir + "; } }\n")
	}
	b.WriteString("}\n")
	l.start("nginx", "-p", l.Dir, "-e", l.Dir+"/nginx.log", "-c", l.File("nginx.conf", b.String()))
}

func serveHAProxy(l *Lab, eps []Endpoint) {
	var b strings.Builder
	b.WriteString("global\n maxconn 1000\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n" +
		" timeout client 10s\n timeout server 10s\nfrontend lab\n")
	for _, e := range eps {
		ciphers, suites := e.openssl()
		v := pick(e.tls13(), "TLSv1.3", "TLSv1.2")
		fmt.Fprintf(&b, " bind %s:%d ssl crt %s ssl-min-ver %s ssl-max-ver %s ciphers %s ciphersuites %s",
			l.Net.Server.Addr, e.Port, l.identity(e).Both, v, v, ciphers, suites)
		if e.Mode != NotAsked {
			fmt.Fprintf(&b, " ca-file %s verify %s", l.clientCA(e), e.Mode)
		}
		b.WriteString("\n")
	}
	b.WriteString(" http-request return status 200 content-type text/plain string ok\n")
	l.start("haproxy", "-db", "-f", l.File("haproxy.cfg", b.String()))
}

// apacheBase is what every configuration of httpd begins with; %s is Dir.
const apacheBase = `ServerRoot %[1]s
PidFile %[1]s/apache.pid
ErrorLog %[1]s/apache.log
LogLevel warn
Mutex file:%[1]s
ServerName www.contoso.test
DocumentRoot %[1]s/www
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
SSLSessionCache shmcb:%[1]s/apache-sessions(512000)
`

func serveApache(l *Lab, eps []Endpoint) {
	var b strings.Builder
	fmt.Fprintf(&b, apacheBase, l.Dir)
	for _, e := range eps {
		fmt.Fprintf(&b, "Listen %[1]s:%[2]d\n<VirtualHost %[1]s:%[2]d>\n%[3]s", l.Net.Server.Addr, e.Port, l.apacheTLS(e))
		if e.Mode != NotAsked {
			fmt.Fprintf(&b, "SSLVerifyClient %s\nSSLCACertificateFile %s\n",
				pick(e.Mode == Required, "require", "optional"), l.clientCA(e))
		}
		b.WriteString("</VirtualHost>\n")
	}
	l.startApache(b.String())
}

// apacheTLS returns the directives of an endpoint, its mode left out.
func (l *Lab) apacheTLS(e Endpoint) string {
	ciphers, suites := e.openssl()
	id := l.identity(e)
	return fmt.Sprintf("SSLEngine on\nSSLCertificateFile %s\nSSLCertificateKeyFile %s\n"+
		"SSLProtocol %s\nSSLCipherSuite %s\nSSLCipherSuite TLSv1.3 %s\n",
		id.Cert, id.Key, pick(e.tls13(), "TLSv1.3", "TLSv1.2"), ciphers, suites)
}

// startApache runs httpd as one process on a configuration.
func (l *Lab) startApache(conf string) {
	l.T.Helper()
	l.dir("www")
	l.File("www/index.html", "ok\n")
	// User and group are those of Debian; without them httpd will not run as root.
	l.start("apache2", "-X", "-f", l.File("apache.conf", conf+"User www-data\nGroup www-data\n"))
}

func serveOpenSSL(l *Lab, eps []Endpoint) {
	for _, e := range eps {
		l.sServer(e, "-www")
	}
}

// sServer starts openssl s_server; later arguments overrule earlier ones.
func (l *Lab) sServer(e Endpoint, extra ...string) {
	l.T.Helper()
	ciphers, suites := e.openssl()
	id := l.identity(e)
	args := []string{"s_server", "-accept", l.address(e), "-quiet", "-cert", id.Cert, "-key", id.Key,
		pick(e.tls13(), "-tls1_3", "-tls1_2"), "-cipher", ciphers, "-ciphersuites", suites}
	if e.Mode != NotAsked {
		args = append(args, "-CAfile", l.clientCA(e), pick(e.Mode == Required, "-Verify", "-verify"), "2")
	}
	l.start("openssl", append(args, extra...)...)
}

func serveGnuTLS(l *Lab, eps []Endpoint) {
	for _, e := range eps {
		l.gnutlsServ(e)
	}
}

// gnutlsServ starts gnutls-serv.
func (l *Lab) gnutlsServ(e Endpoint, extra ...string) {
	l.T.Helper()
	id := l.identity(e)
	args := []string{"--http", "--quiet", "--port", fmt.Sprint(e.Port), "--x509certfile", id.Cert, "--x509keyfile", id.Key,
		"--priority", e.gnutls()}
	switch e.Mode {
	case NotAsked:
		args = append(args, "--disable-client-cert")
	case Required:
		args = append(args, "--require-client-cert", "--verify-client-cert")
	}
	if e.Mode != NotAsked {
		args = append(args, "--x509cafile", l.clientCA(e))
	}
	l.start("gnutls-serv", append(args, extra...)...)
}

func serveNSS(l *Lab, eps []Endpoint) {
	// selfserv names every authority its database trusts, so that the number of
	// names is a matter of the database.
	one, two := l.dir("nss-server-1"), l.dir("nss-server-2")
	l.PKI.NSS(l.T, one, []string{l.PKI.ClientCA}, l.PKI.ServerRSA)
	l.PKI.NSS(l.T, two, []string{l.PKI.ClientCA, l.PKI.OtherCA}, l.PKI.ServerRSA)
	for _, e := range eps {
		db := pick(e.TwoCAs, two, one)
		args := append([]string{"-d", "sql:" + db, "-n", l.PKI.ServerRSA.Name, "-p", fmt.Sprint(e.Port), "-u"}, e.nss()...)
		switch e.Mode {
		case Optional:
			args = append(args, "-r")
		case Required:
			args = append(args, "-r", "-r")
		}
		l.start("selfserv", args...)
	}
}

func serveGo(l *Lab, eps []Endpoint) {
	l.drive(l.Net.Server, eps, l.goPeer(), "serve", l.Net.Server.Addr.String(), l.PKI.Dir)
}

func serveJSSE(l *Lab, eps []Endpoint) {
	l.drive(l.Net.Server, eps, "java", append(javaArgs(), "testdata/JsseServer.java",
		l.Net.Server.Addr.String(), l.PKI.Dir, Password)...)
}

// drive starts a server of our own that takes its endpoints as arguments, one
// each: port,version,mode,suite,key,clientCA.
func (l *Lab) drive(ns Namespace, eps []Endpoint, name string, args ...string) {
	l.T.Helper()
	for _, e := range eps {
		args = append(args, strings.Join([]string{fmt.Sprint(e.Port), pick(e.tls13(), "TLSv1.3", "TLSv1.2"),
			string(e.Mode), e.suiteName(), l.identity(e).Name, l.clientCA(e)}, ","))
	}
	Start(l.T, ns.Command(name, args...))
}

// javaArgs keeps a JVM small and quick to start.
func javaArgs() []string {
	return []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
