//go:build linux

package lab

import (
	"fmt"
	"os/exec"
)

// throughVPN are log-ons to OpenVPN: over UDP with tls-auth and TLS 1.3, and over
// TCP without and TLS 1.2.
func throughVPN(l *Lab, next func() int) (all []*spoken, listen []int) {
	l.T.Helper()
	server, id := l.Net.Server.Addr.String(), l.PKI.ServerEC
	shared := l.File("openvpn.key", "")
	if out, err := exec.Command("openvpn", "--genkey", "tls-auth", shared).CombinedOutput(); err != nil {
		l.T.Fatalf("openvpn --genkey: %v\n%s", err, out)
	}
	password := l.File("openvpn.password", "robin\nunused\n")
	for i := range 8 {
		c := &spoken{asks: i&1 != 0, cert: i&2 != 0, by: next(), method: "openvpn"}
		udp := i&4 != 0
		c.sni = fmt.Sprintf("openvpn-%s.c%d", pick(udp, "udp", "tcp"), i)
		common := func(number, proto string, args ...string) []string {
			args = append(args, "--proto", proto, "--verb", "1")
			if udp {
				return append(args, "--tls-version-min", "1.3", "--tls-auth", shared, number)
			}
			return append(args, "--tls-version-max", "1.2")
		}
		l.start("openvpn", common("0", pick(udp, "udp", "tcp-server"), "--mode", "server", "--tls-server", "--dev", "tun", "--topology", "subnet",
			"--ifconfig", "198.18.9.1", "255.255.255.0", "--ifconfig-noexec", "--local", server, "--lport", fmt.Sprint(c.by),
			"--ca", l.PKI.ClientCA, "--cert", id.Cert, "--key", id.Key, "--dh", "none",
			"--verify-client-cert", pick(c.asks, "optional", "none"), "--script-security", "2", "--auth-user-pass-verify", "/bin/true", "via-env")...)
		c.command = append([]string{"openvpn"}, common("1", pick(udp, "udp", "tcp-client"), "--client", "--dev", "null", "--nobind", "--remote", server, fmt.Sprint(c.by),
			"--ca", l.PKI.ServerCA, "--auth-user-pass", password, "--auth-nocache", "--connect-retry-max", "1", "--connect-timeout", "10", "--inactive", "1")...)
		if c.cert {
			c.command = append(c.command, "--cert", l.PKI.ClientEC.Cert, "--key", l.PKI.ClientEC.Key)
		}
		if !udp {
			listen = append(listen, c.by)
		}
		all = append(all, c)
	}
	return all, listen
}
