//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// variant is something that changes the records of a handshake without
// changing who asks for what.
type variant struct {
	name     string
	versions []uint16
	cipher   Cipher
	clients  []string
	server   []string // extra arguments
	client   []string
	// earlyData: the second of two connections resumes with 0-RTT data.
	earlyData bool
	serve     func(l *Lab, e Endpoint, extra ...string)
	software  string // of the server; "" is openssl
	unknown   string // why there may be no answer
}

func variants() []variant {
	v12, v13 := []uint16{tls.VersionTLS12}, []uint16{tls.VersionTLS13}
	all := []string{"curl", "openssl", "gnutls", "nss", "go", "java", "node"}
	openssl := []string{"openssl"}
	sServer := func(l *Lab, e Endpoint, extra ...string) { l.sServer(e, append([]string{"-www"}, extra...)...) }
	return []variant{
		{name: "hello-retry", versions: v13, clients: all, serve: sServer, server: []string{"-groups", "P-384"}},
		{name: "fragments", versions: append(v12, v13...), clients: openssl, serve: sServer, client: []string{"-maxfraglen", "512"}},
		{name: "padded-server", versions: v13, clients: openssl, serve: sServer, server: []string{"-record_padding", "256"}},
		{name: "padded-client", versions: v13, clients: openssl, serve: sServer, client: []string{"-record_padding", "256"},
			unknown: "padding hides what is in the client's records"},
		{name: "no-tickets", versions: v13, clients: all, serve: sServer, server: []string{"-num_tickets", "0"}},
		{name: "short-tag", versions: v13, clients: openssl, serve: sServer, server: []string{"-ciphersuites", "TLS_AES_128_CCM_8_SHA256"},
			client: []string{"-ciphersuites", "TLS_AES_128_CCM_8_SHA256"}},
		{name: "cbc", versions: v12, clients: all, serve: sServer, server: []string{"-cipher", "ECDHE-RSA-AES128-SHA"}},
		{name: "rsa-key-exchange", versions: v12, clients: []string{"curl", "openssl", "gnutls", "nss", "java", "node"}, serve: sServer,
			server: []string{"-cipher", "AES128-GCM-SHA256"}},
		{name: "early-data", versions: v13, clients: []string{"gnutls"}, earlyData: true, cipher: AES128,
			software: "gnutls", serve: (*Lab).gnutlsServ, server: []string{"--earlydata"}},
	}
}

// endpoints returns one for every version and mode, on ports from first.
func (v variant) endpoints(first int) []Endpoint {
	software := pick(v.software == "", "openssl", v.software)
	return everyMode(Endpoint{Server: software, Port: first, Cipher: v.cipher, Key: RSA}, v.versions...)
}

func (v variant) job(l *Lab, e Endpoint, client string, cert Key) Job {
	j := Job{SNI: fmt.Sprintf("%s-%s-%d%s.contoso.test", v.name, client, e.Port, cert), Endpoint: e, Cert: cert, Extra: v.client}
	if v.earlyData {
		j.Resume = cert != "" || e.Mode != Required
		j.Extra = []string{"--earlydata", l.File("early.txt", "GET / HTTP/1.0\r\n")}
	}
	return j
}

// TestVariants captures handshakes off the beaten track.
func TestVariants(t *testing.T) {
	tools := []string{"tshark", "gnutls-serv"}
	for _, c := range Clients() {
		tools = append(tools, c.Tools...)
	}
	l := New(t, tools...)
	var ports []int
	jobs := map[string][]Job{}
	unknown := map[string]string{}
	for _, v := range variants() {
		for _, e := range v.endpoints(firstPort + len(ports)) {
			v.serve(l, e, v.server...)
			ports = append(ports, e.Port)
			for _, client := range v.clients {
				for _, cert := range []Key{"", RSA, EC} {
					j := v.job(l, e, client, cert)
					jobs[client] = append(jobs[client], j)
					unknown[j.SNI] = v.unknown
				}
			}
		}
	}
	l.Net.Server.WaitListen(t, ports...)
	pcap := filepath.Join(l.Dir, "variants.pcap")
	capture := StartCapture(t, l.Net.Client, Device, pcap)
	var truth []Truth
	for _, c := range Clients() {
		truth = append(truth, clientTruth(t, c.Name, jobs[c.Name], c.Run(l, jobs[c.Name]))...)
	}
	for i := range truth {
		truth[i].Unknown = unknown[truth[i].SNI]
	}
	l.Net.Client.WaitQuiet(t, 5*time.Second)
	capture.Stop(t)
	l.Keep(t, "variants", pcap, truth)
	t.Run("truth", func(t *testing.T) {
		checkClients(t, truth)
		checkTruth(t, l, pcap, truth)
	})
	t.Run("verdicts", func(t *testing.T) { checkVerdicts(t, l, pcap, truth) })
	t.Run("unsealed", func(t *testing.T) { checkUnsealed(t, l, pcap, truth) })
}
