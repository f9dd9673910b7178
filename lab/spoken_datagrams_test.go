//go:build linux

package lab

import "fmt"

// overDatagrams are connections of QUIC, with ngtcp2 or quic-go at both ends, and
// of DTLS, with OpenSSL and GnuTLS at either.
func overDatagrams(l *Lab, next func() int) (all []*spoken) {
	server := l.Net.Server.Addr.String()
	id, client := l.PKI.ServerEC, l.PKI.ClientEC
	for i := range 4 { // QUIC is TLS 1.3 alone
		c := &spoken{sni: fmt.Sprintf("quic-ngtcp2.c%d", i), asks: i&1 != 0, cert: i&2 != 0, by: next(), sealed: true}
		args := []string{"--quiet"}
		if c.asks {
			args = append(args, "--verify-client")
		}
		l.start("gtlsserver", append(args, server, fmt.Sprint(c.by), id.Key, id.Cert)...)
		c.command = []string{"gtlsclient", "--quiet", "--exit-on-all-streams-close", "--timeout=5s"}
		if c.cert {
			c.command = append(c.command, "--key="+client.Key, "--cert="+client.Cert)
		}
		c.command = append(c.command, server, fmt.Sprint(c.by), fmt.Sprintf("https://%s:%d/", server, c.by))
		all = append(all, c)
	}
	for i := range 8 {
		c := &spoken{sni: fmt.Sprintf("quic-go.c%d.contoso.test", i), asks: i&1 != 0, cert: i&2 != 0, by: next(), sealed: true}
		at, version, identity := fmt.Sprintf("%s:%d", server, c.by), pick(i&4 == 0, "v1", "v2"), "-"
		mode := pick(c.asks, pick(c.cert, "required", "optional"), "none") + pick(c.cert != c.asks, "+retry", "")
		l.start(l.goPeer(), "quic-serve", at, l.PKI.Dir, id.Name, l.PKI.ClientCA, version, mode)
		if c.cert {
			identity = client.Name
		}
		c.command = []string{l.goPeer(), "quic-dial", at, l.PKI.Dir, identity, l.KeyLog(), c.sni, version}
		all = append(all, c)
	}
	for i := range 8 {
		c := &spoken{asks: i&1 != 0, cert: i&2 != 0, by: next()}
		if i&4 == 0 {
			c.sni = fmt.Sprintf("dtls-openssl.c%d", i)
			args := []string{"s_server", "-dtls1_2", "-accept", fmt.Sprintf("%s:%d", server, c.by), "-quiet", "-cert", id.Cert, "-key", id.Key}
			if c.asks {
				args = append(args, "-CAfile", l.PKI.ClientCA, "-verify", "2")
			}
			l.start("openssl", args...)
		} else {
			c.sni = fmt.Sprintf("dtls-gnutls.c%d", i)
			args := []string{"--udp", "--quiet", "--echo", "--port", fmt.Sprint(c.by), "--x509certfile", id.Cert, "--x509keyfile", id.Key}
			if c.asks {
				args = append(args, "--x509cafile", l.PKI.ClientCA)
			} else {
				args = append(args, "--disable-client-cert")
			}
			l.start("gnutls-serv", args...)
		}
		c.command = []string{"openssl", "s_client", "-dtls1_2", "-connect", fmt.Sprintf("%s:%d", server, c.by)}
		if c.cert {
			c.command = append(c.command, "-cert", client.Cert, "-key", client.Key)
		}
		all = append(all, c)
	}
	return all
}
