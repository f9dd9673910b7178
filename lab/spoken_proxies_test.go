//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// targets starts servers of TLS alone, one that does not ask and one that does.
func targets(l *Lab, next func() int) (ports [2]int) {
	for i, mode := range []Mode{NotAsked, Optional} {
		ports[i] = next()
		id := l.PKI.ServerRSA
		args := []string{"s_server", "-accept", fmt.Sprintf("%s:%d", l.Net.Server.Addr, ports[i]), "-quiet", "-cert", id.Cert, "-key", id.Key}
		if mode != NotAsked {
			args = append(args, "-CAfile", l.PKI.ClientCA, "-verify", "2")
		}
		l.start("openssl", args...)
	}
	return ports
}

// throughProxies are connections through HTTP and SOCKS proxies at the server's
// address, and behind a load balancer that tells whom it stands for.
func throughProxies(l *Lab, next func() int) (all []*spoken, listen []int) {
	target := targets(l, next)
	server := l.Net.Server.Addr.String()
	http, socks, locked, dante := next(), next(), next(), next()
	listen = append(listen, target[0], target[1], http, socks, locked, dante)
	l.start("tinyproxy", "-d", "-c", l.File("tinyproxy.conf", fmt.Sprintf("Port %d\nListen %s\nTimeout 20\nMaxClients 50\nLogLevel Critical\n", http, server)))
	l.start("microsocks", "-i", server, "-p", fmt.Sprint(socks))
	l.start("microsocks", "-i", server, "-p", fmt.Sprint(locked), "-u", "robin", "-P", "unused")
	l.start("danted", "-f", l.File("dante.conf", fmt.Sprintf("logoutput: stderr\ninternal: %s port = %d\nexternal: %s\nclientmethod: none\nsocksmethod: none\n"+
		"user.privileged: root\nuser.unprivileged: nobody\n"+
		"client pass {\n from: 0/0 to: 0/0\n}\nsocks pass {\n from: 0/0 to: 0/0\n}\n", server, dante, server)))
	ssh := overSSH(l, next)
	listen = append(listen, ssh)
	all = cases("connect-tinyproxy", func(c *spoken, asks, tls13 bool) {
		c.preamble, c.target, c.by = "http-connect", fmt.Sprintf("%s:%d", server, target[btoi(asks)]), http
		c.client(l, tls13, "-proxy", fmt.Sprintf("%s:%d", server, http), "-connect", c.target)
	})
	for _, way := range []struct {
		name, preamble string
		port           int
		args           []string
	}{
		{"socks5-microsocks", "socks5", socks, []string{"-x", "socks5://"}},
		{"socks5-password", "socks5", locked, []string{"--proxy-user", "robin:unused", "-x", "socks5://"}},
		{"socks5-dante", "socks5", dante, []string{"-x", "socks5://"}},
		{"socks4-dante", "socks4", dante, []string{"-x", "socks4://"}},
		{"socks4a-ssh", "socks4a", ssh, []string{"-x", "socks4a://"}}, // the target is an address, said as a name
	} {
		all = append(all, cases(way.name, func(c *spoken, asks, tls13 bool) {
			to := target[btoi(asks)]
			c.preamble, c.target, c.by = way.preamble, fmt.Sprintf("%s:%d", server, to), way.port
			c.command = append([]string{"curl", "-sSk", "-m", "10", "--http1.1", "--tls-max", pick(tls13, "1.3", "1.2"), "--connect-to", fmt.Sprintf("%s:%d:%s", c.sni, to, c.target),
				fmt.Sprintf("https://%s:%d/", c.sni, to)}, way.args...)
			c.command[len(c.command)-1] += fmt.Sprintf("%s:%d", server, way.port)
			if c.cert {
				c.command = append(c.command, "--cert", l.PKI.ClientRSA.Cert, "--key", l.PKI.ClientRSA.Key)
			}
		})...)
	}
	challenged, port := throughChallenge(l, next, target)
	all, listen = append(all, challenged...), append(listen, port)
	sealed, proxies := throughTLS(l, next, target)
	all, listen = append(all, sealed...), append(listen, proxies[:]...)
	balanced, ports := throughBalancer(l, next)
	return append(all, balanced...), append(listen, ports...)
}

// overSSH starts OpenSSH as the SOCKS proxy that ssh -D is, and returns its port.
func overSSH(l *Lab, next func() int) int {
	server, at, port := l.Net.Server.Addr.String(), next(), next()
	keys := l.dir("ssh")
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(keys, name)).CombinedOutput(); err != nil {
			l.T.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // what it gives up its rights in
		l.T.Fatal(err)
	}
	l.start("/usr/sbin/sshd", "-D", "-e", "-f", l.File("ssh/config", fmt.Sprintf("Port %d\nListenAddress %s\nHostKey %[3]s/host\nAuthorizedKeysFile %[3]s/user.pub\n"+
		"StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n", at, server, keys)))
	l.Net.Server.WaitListen(l.T, at)
	l.start("ssh", "-F", "none", "-N", "-D", fmt.Sprintf("%s:%d", server, port), "-i", keys+"/user", "-p", fmt.Sprint(at),
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "root@"+server)
	return port
}

// throughTLS are connections through a Squid that is spoken to by TLS, each of
// which is two: one with the proxy, and inside of it one with the target. Where
// the one asks, the other does not.
func throughTLS(l *Lab, next func() int, target [2]int) (all []*spoken, proxies [2]int) {
	server, own, id := l.Net.Server.Addr.String(), l.dir("squid-tls"), l.PKI.ServerRSA
	l.own("proxy", own)
	var ports strings.Builder
	for asks := range proxies {
		proxies[asks] = next()
		fmt.Fprintf(&ports, "https_port %s:%d tls-cert=%s tls-key=%s%s\n", server, proxies[asks], id.Cert, id.Key,
			pick(asks == 1, " clientca="+l.PKI.ClientCA+" sslflags=CONDITIONAL_AUTH", ""))
	}
	l.start("squid", "-N", "-f", l.File("squid-tls/squid.conf", fmt.Sprintf("%[1]svisible_hostname www.contoso.test\npid_filename %[2]s/pid\n"+
		"cache_log %[2]s/log\naccess_log none\ncache deny all\ncoredump_dir %[2]s\nshutdown_lifetime 0 seconds\nhttp_access allow all\n", ports.String(), own)))
	for _, inner := range cases("inside-squid", func(*spoken, bool, bool) {}) {
		outer := &spoken{sni: strings.Replace(inner.sni, "inside-", "https-", 1), asks: !inner.asks, cert: inner.cert, by: proxies[btoi(!inner.asks)]}
		tls13, to := len(all)/2 >= 4, target[btoi(inner.asks)]
		inner.inside, inner.preamble, inner.by = true, "http-connect", outer.by
		inner.target = fmt.Sprintf("%s:%d", server, to)
		outer.tunnel = inner.target
		outer.command = []string{"curl", "-sSk", "-m", "10", "--http1.1", "--tls-max", pick(tls13, "1.3", "1.2"), "--proxy-insecure",
			"--proxy", fmt.Sprintf("https://%s:%d", outer.sni, outer.by), "--resolve", fmt.Sprintf("%s:%d:%s", outer.sni, outer.by, server),
			"--connect-to", fmt.Sprintf("%s:%d:%s", inner.sni, to, inner.target), fmt.Sprintf("https://%s:%d/", inner.sni, to)}
		if inner.cert {
			outer.command = append(outer.command, "--cert", l.PKI.ClientRSA.Cert, "--key", l.PKI.ClientRSA.Key,
				"--proxy-cert", l.PKI.ClientRSA.Cert, "--proxy-key", l.PKI.ClientRSA.Key)
		}
		all = append(all, outer, inner)
	}
	return all, proxies
}

// throughChallenge are connections through a Squid that answers the first CONNECT
// of each with 407, and is asked again with a password.
func throughChallenge(l *Lab, next func() int, target [2]int) (all []*spoken, port int) {
	port = next()
	server, own := l.Net.Server.Addr.String(), l.dir("squid")
	l.own("proxy", own)
	l.start("squid", "-N", "-f", l.File("squid/squid.conf", fmt.Sprintf("http_port %s:%d\nvisible_hostname www.contoso.test\npid_filename %[3]s/pid\n"+
		"cache_log %[3]s/log\naccess_log none\ncache deny all\ncoredump_dir %[3]s\nshutdown_lifetime 0 seconds\n"+
		"auth_param basic program /bin/sh %[4]s\nauth_param basic children 2 startup=1\nauth_param basic realm contoso\n"+
		"acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n",
		server, port, own, l.File("squid/check", "while read -r line; do echo OK; done\n"))))
	all = cases("connect-squid", func(c *spoken, asks, tls13 bool) {
		to := target[btoi(asks)]
		c.preamble, c.target, c.by = "http-connect", fmt.Sprintf("%s:%d", server, to), port
		c.command = []string{"curl", "-sSk", "-m", "10", "--http1.1", "--tls-max", pick(tls13, "1.3", "1.2"), "--connect-to", fmt.Sprintf("%s:%d:%s:%d", c.sni, to, server, to),
			"-x", fmt.Sprintf("http://%s:%d", server, port), "--proxy-anyauth", "--proxy-user", "robin:unused", fmt.Sprintf("https://%s:%d/", c.sni, to)}
		if c.cert {
			c.command = append(c.command, "--cert", l.PKI.ClientRSA.Cert, "--key", l.PKI.ClientRSA.Key)
		}
	})
	return all, port
}

// throughBalancer are connections that an HAProxy beside the client passes on to
// an nginx, with a PROXY header in front. Only the leg between the two is
// captured.
func throughBalancer(l *Lab, next func() int) (all []*spoken, listen []int) {
	id := l.PKI.ServerRSA
	behind := [2]int{next(), next()}
	var web, balance strings.Builder
	fmt.Fprintf(&web, "daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;\nevents {}\nhttp { access_log off;\n", l.Dir)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&web, "%s_temp_path %s/nginx-%s;\n", temp, l.Dir, temp)
	}
	for asks, port := range behind {
		fmt.Fprintf(&web, "server { listen %s:%d ssl proxy_protocol; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2 TLSv1.3;\n",
			l.Net.Server.Addr, port, id.Cert, id.Key)
		if asks == 1 {
			fmt.Fprintf(&web, "ssl_verify_client optional; ssl_client_certificate %s;\n", l.PKI.ClientCA)
		}
		web.WriteString("location / { return 200 ok; } }\n")
	}
	web.WriteString("}\n")
	l.start("nginx", "-p", l.Dir, "-e", l.Dir+"/nginx.log", "-c", l.File("nginx.conf", web.String()))
	balance.WriteString("defaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n")
	var fronts []int
	for _, version := range []struct{ name, word string }{{"proxy-v1", "send-proxy"}, {"proxy-v2", "send-proxy-v2"}} {
		front := [2]int{next(), next()}
		for asks, port := range front {
			fmt.Fprintf(&balance, "listen l%d\n bind 127.0.0.1:%d\n server s %s:%d %s\n", port, port, l.Net.Server.Addr, behind[asks], version.word)
		}
		fronts = append(fronts, front[:]...)
		all = append(all, cases(version.name, func(c *spoken, asks, tls13 bool) {
			c.preamble, c.proxied, c.by = version.name, true, behind[btoi(asks)]
			c.client(l, tls13, "-connect", fmt.Sprintf("127.0.0.1:%d", front[btoi(asks)]))
		})...)
	}
	Start(l.T, l.Net.Client.Command("haproxy", "-db", "-f", l.File("haproxy.cfg", balance.String())))
	l.Net.Client.WaitListen(l.T, fronts...)
	return all, behind[:]
}
