//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// speaker is one row of the table of servers that speak a protocol in front of
// TLS.
type speaker struct {
	name  string
	tools []string
	// protocols are names of preambles, each with a port of its own.
	protocols []string
	// serve starts the server, for two sets of ports: one does not ask, the other
	// does. ports[asks][i] is the port of protocols[i].
	serve func(l *Lab, ports [2][]int)
}

func speakers() []speaker {
	return []speaker{
		{"postfix", []string{"postfix"}, []string{"smtp"}, servePostfix},
		{"dovecot", []string{"dovecot"}, []string{"imap", "pop3", "lmtp", "sieve"}, serveDovecot},
		{"vsftpd", []string{"vsftpd"}, []string{"ftp"}, serveVsftpd},
		{"slapd", []string{"slapd"}, []string{"ldap"}, serveSlapd},
		{"prosody", []string{"prosody"}, []string{"xmpp", "xmpp-server"}, serveProsody},
		{"postgresql", []string{"runuser"}, []string{"postgresql"}, servePostgres},
		{"mariadb", []string{"mariadbd"}, []string{"mysql"}, serveMariaDB},
		{"cyrus", []string{"cyrmaster"}, []string{"nntp"}, serveCyrus},
		{"inspircd", []string{"inspircd"}, []string{"irc"}, serveInspIRCd},
	}
}

// startTLS is how openssl s_client calls a preamble.
func startTLS(preamble string) string {
	if name := map[string]string{"postgresql": "postgres"}[preamble]; name != "" {
		return name
	}
	return preamble
}

// servePostfix runs one postfix with a queue of its own and two smtpd.
func servePostfix(l *Lab, ports [2][]int) {
	conf, queue, data := l.dir("postfix"), l.dir("postfix-queue"), l.dir("postfix-data")
	l.own("postfix", data)
	id := l.PKI.ServerRSA
	l.File("postfix/main.cf", fmt.Sprintf("compatibility_level = 3.6\nqueue_directory = %s\ndata_directory = %s\n"+
		"myhostname = www.contoso.test\nmydestination =\nalias_maps =\nalias_database =\ninet_protocols = ipv4\ninet_interfaces = %s\n"+
		"maillog_file = %s/postfix.log\nmaillog_file_prefixes = /\nsmtpd_tls_security_level = may\nsmtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\n"+
		"smtpd_tls_CAfile = %s\nsmtpd_relay_restrictions = reject\nmynetworks = 127.0.0.0/8\nsmtp_dns_support_level = disabled\n",
		queue, data, l.Net.Server.Addr, l.Dir, id.Cert, id.Key, l.PKI.ClientCA))
	l.File("postfix/master.cf", fmt.Sprintf("%d inet n - n - - smtpd\n%d inet n - n - - smtpd\n -o smtpd_tls_ask_ccert=yes\n"+
		"pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\n"+
		"rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\nproxymap unix - - n - - proxymap\n"+
		"anvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n", ports[0][0], ports[1][0]))
	l.start("postfix", "-c", conf, "start-fg")
	l.T.Cleanup(func() { _ = l.Net.Server.Command("postfix", "-c", conf, "abort").Run() })
}

// serveDovecot runs two dovecots: whether it asks is a matter of the whole.
func serveDovecot(l *Lab, ports [2][]int) {
	id := l.PKI.ServerRSA
	for asks, p := range ports {
		base := l.dir(fmt.Sprintf("dovecot-%d", asks))
		var b strings.Builder
		fmt.Fprintf(&b, "base_dir = %[1]s/run\nlog_path = %[1]s/log\nstate_dir = %[1]s\nprotocols = imap pop3 lmtp sieve\nlisten = %[2]s\n"+
			"ssl = yes\nssl_cert = <%[3]s\nssl_key = <%[4]s\nssl_ca = <%[5]s\nssl_require_crl = no\nssl_verify_client_cert = %[6]s\n"+
			"passdb {\n driver = static\n args = password=unused\n}\nuserdb {\n driver = static\n args = uid=nobody gid=nogroup home=%[1]s\n}\n",
			base, l.Net.Server.Addr, id.Cert, id.Key, l.PKI.ClientCA, pick(asks == 1, "yes", "no"))
		for i, service := range []struct{ service, listener, tls string }{
			{"imap-login", "imap", "imaps"}, {"pop3-login", "pop3", "pop3s"}, {"lmtp", "lmtp", ""}, {"managesieve-login", "sieve", ""},
		} {
			fmt.Fprintf(&b, "service %s {\n inet_listener %s {\n port = %d\n }\n", service.service, service.listener, p[i])
			if service.tls != "" {
				fmt.Fprintf(&b, " inet_listener %s {\n port = 0\n }\n", service.tls)
			}
			b.WriteString("}\n")
		}
		l.start("dovecot", "-F", "-c", l.File(fmt.Sprintf("dovecot-%d.conf", asks), b.String()))
	}
}

func serveVsftpd(l *Lab, ports [2][]int) {
	empty := l.dir("vsftpd")
	for asks, p := range ports {
		conf := l.File(fmt.Sprintf("vsftpd-%d.conf", asks), fmt.Sprintf("listen=YES\nlisten_ipv6=NO\nlisten_address=%s\nlisten_port=%d\nbackground=NO\n"+
			"anonymous_enable=YES\nsecure_chroot_dir=%s\nssl_enable=YES\nallow_anon_ssl=YES\nssl_tlsv1=YES\nrsa_cert_file=%s\nrsa_private_key_file=%s\n"+
			"ca_certs_file=%s\nssl_request_cert=%s\nssl_ciphers=HIGH\nseccomp_sandbox=NO\n",
			l.Net.Server.Addr, p[0], empty, l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key, l.PKI.ClientCA, pick(asks == 1, "YES", "NO")))
		l.start("vsftpd", conf)
	}
}

func serveSlapd(l *Lab, ports [2][]int) {
	for asks, p := range ports {
		conf := l.File(fmt.Sprintf("slapd-%d.conf", asks), fmt.Sprintf("pidfile %s/slapd-%d.pid\nTLSCertificateFile %s\nTLSCertificateKeyFile %s\n"+
			"TLSCACertificateFile %s\nTLSVerifyClient %s\n", l.Dir, asks, l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key, l.PKI.ClientCA, pick(asks == 1, "allow", "never")))
		l.start("slapd", "-h", fmt.Sprintf("ldap://%s:%d", l.Net.Server.Addr, p[0]), "-f", conf, "-d", "0")
	}
}

func serveProsody(l *Lab, ports [2][]int) {
	for asks, p := range ports {
		data := l.dir(fmt.Sprintf("prosody-%d", asks))
		conf := l.File(fmt.Sprintf("prosody-%d.cfg.lua", asks), fmt.Sprintf("run_as_root = true\npidfile = %[1]q\ndata_path = %[2]q\n"+
			"modules_enabled = { \"saslauth\", \"tls\" }\ninterfaces = { %[3]q }\nc2s_ports = { %[4]d }\ns2s_ports = { %[9]d }\n"+
			"c2s_require_encryption = true\ns2s_require_encryption = true\nlog = { warn = \"*console\" }\n"+
			"ssl = { certificate = %[5]q, key = %[6]q, cafile = %[7]q, verify = %[8]s }\ns2s_ssl = { verify = %[8]s }\nVirtualHost \"www.contoso.test\"\n",
			data+"/pid", data, l.Net.Server.Addr, p[0], l.PKI.ServerRSA.Cert, l.PKI.ServerRSA.Key, l.PKI.ClientCA, pick(asks == 1, `{ "peer", "client_once" }`, `{ "none" }`), p[1]))
		l.start("prosody", "-F", "--config", conf)
	}
}

// servePostgres runs two servers; naming an authority is what makes one ask.
func servePostgres(l *Lab, ports [2][]int) {
	id := l.PKI.ServerRSA
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // not on the path in Debian
	if len(bins) == 0 {
		unavailable(l.T, "not installed: postgresql (see lab/packages.txt)")
	}
	bin := bins[len(bins)-1]
	for asks, p := range ports {
		data := l.dir(fmt.Sprintf("postgres-%d", asks))
		l.own("postgres", data)
		key := filepath.Join(data, "..", fmt.Sprintf("postgres-%d.key", asks))
		l.copyFor("postgres", id.Key, key)
		l.run("runuser", "-u", "postgres", "--", bin+"/initdb", "-D", data, "-A", "trust", "--no-sync", "--locale", "C")
		args := []string{"-u", "postgres", "--", bin + "/postgres", "-D", data, "-p", fmt.Sprint(p[0]), "-h", l.Net.Server.Addr.String(), "-k", "",
			"-c", "ssl=on", "-c", "ssl_cert_file=" + id.Cert, "-c", "ssl_key_file=" + key}
		if asks == 1 {
			args = append(args, "-c", "ssl_ca_file="+l.PKI.ClientCA)
		}
		l.start("runuser", args...)
	}
}

// serveMariaDB runs a server without tables. It asks, and MariaDB 10.11 has no
// setting against that; what does not ask is a proxy in front of it that ends
// TLS.
func serveMariaDB(l *Lab, ports [2][]int) {
	id, data, server := l.PKI.ServerRSA, l.dir("mariadb"), l.Net.Server.Addr.String()
	l.start("mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--skip-grant-tables", "--skip-networking=0", "--port="+fmt.Sprint(ports[1][0]),
		"--bind-address="+server, "--socket="+data+"/s", "--pid-file="+data+"/pid",
		"--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--ssl-cert="+id.Cert, "--ssl-key="+id.Key, "--ssl-ca="+l.PKI.ClientCA)
	l.start(l.goPeer(), "mysql", fmt.Sprintf("%s:%d", server, ports[0][0]), fmt.Sprintf("%s:%d", server, ports[1][0]), l.PKI.Dir, id.Name)
}

// serveCyrus runs one master with two news services.
func serveCyrus(l *Lab, ports [2][]int) {
	base := l.dir("cyrus")
	l.own("cyrus", base)
	l.copyFor("cyrus", l.PKI.ServerRSA.Key, filepath.Join(base, "key"))
	var services, first strings.Builder
	for asks, p := range ports {
		conf := l.File(fmt.Sprintf("cyrus-%d.conf", asks), fmt.Sprintf("configdirectory: %[1]s\ndefaultpartition: default\npartition-default: %[1]s\nallowanonymouslogin: yes\n"+
			"tls_server_cert: %[2]s\ntls_server_key: %[1]s/key\ntls_client_ca_file: %[3]s\ntls_client_certs: %[4]s\n",
			base, l.PKI.ServerRSA.Cert, l.PKI.ClientCA, pick(asks == 1, "optional", "off")))
		fmt.Fprintf(&services, " nntp%d cmd=\"nntpd -C %s\" listen=\"%s:%d\" prefork=0\n", asks, conf, l.Net.Server.Addr, p[0])
		if asks == 0 {
			fmt.Fprintf(&first, " recover cmd=\"ctl_cyrusdb -C %s -r\"\n", conf)
		}
	}
	for _, sub := range []string{"db", "socket", "proc", "log", "msg"} {
		l.own("cyrus", l.dir("cyrus/"+sub))
	}
	l.start("cyrmaster", "-D", "-C", filepath.Join(l.Dir, "cyrus-0.conf"), "-p", base+"/pid",
		"-M", l.File("cyrus.conf", fmt.Sprintf("START {\n%s}\nSERVICES {\n%s}\nEVENTS {\n}\n", first.String(), services.String())))
}

func serveInspIRCd(l *Lab, ports [2][]int) {
	id := l.PKI.ServerRSA
	modules, _ := filepath.Glob("/usr/lib/*/inspircd/modules")
	modules = append(modules, "/usr/lib/inspircd/modules")
	for asks, p := range ports {
		conf := l.File(fmt.Sprintf("inspircd-%d.conf", asks), fmt.Sprintf("<server name=\"www.contoso.test\" description=\"lab\" network=\"lab\" id=\"00A\">\n"+
			"<admin name=\"lab\" nick=\"lab\" email=\"lab@contoso.test\">\n<path configdir=\"%[1]s\" datadir=\"%[1]s\" logdir=\"%[1]s\" runtimedir=\"%[1]s\" moduledir=\"%[2]s\">\n"+
			"<bind address=\"%[3]s\" port=\"%[4]d\" type=\"clients\">\n<module name=\"ssl_gnutls\">\n<module name=\"starttls\">\n<starttls provider=\"lab\">\n"+
			"<sslprofile name=\"lab\" provider=\"gnutls\" certfile=\"%[5]s\" keyfile=\"%[6]s\" cafile=\"%[7]s\" requestclientcert=\"%[8]s\">\n"+
			"<connect name=\"all\" allow=\"*\" localmax=\"50\" globalmax=\"50\" resolvehostnames=\"no\">\n",
			l.Dir, modules[0], l.Net.Server.Addr, p[0], id.Cert, id.Key, l.PKI.ClientCA, pick(asks == 1, "yes", "no")))
		l.start("inspircd", "--runasroot", "--nofork", "--nopid", "--config", conf)
	}
}

// own gives a file or directory to a user.
func (l *Lab) own(user, path string) {
	l.T.Helper()
	l.run("chown", user, path)
}

// copyFor copies a file for a user alone.
func (l *Lab) copyFor(user, from, to string) {
	l.T.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		l.T.Fatal(err)
	}
	l.own(user, to)
}

// run runs a command to its end, outside the namespaces.
func (l *Lab) run(name string, args ...string) {
	l.T.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = l.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		l.T.Fatalf("%s: %v\n%s", name, err, out)
	}
}
