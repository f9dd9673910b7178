//go:build linux

package lab

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// spoken is one connection to make, and what is right to say about it.
type spoken struct {
	sni      string
	preamble string
	method   string // that TLS runs in
	target   string // asked for at a proxy
	proxied  bool   // a PROXY header names another client
	tunnel   string // asked for at a proxy inside of TLS, so that keys tell of it
	sealed   bool   // an answer takes keys
	inside   bool   // it is in such a tunnel, and there is nothing of it without keys
	asks     bool
	cert     bool
	by       int // port of the asker
	command  []string
}

// row names what the counts are kept by.
func (s *spoken) row() string { return strings.Split(s.sni, ".")[0] }

// key finds the connection: by its name or, where the client sends none of our
// choice, by the port of a server that has no other.
func (s *spoken) key() string {
	if strings.HasSuffix(s.sni, ".test") {
		return s.sni
	}
	return fmt.Sprint(s.by)
}

// spokenConns judges the capture, by key.
func spokenConns(t *testing.T, pcap string, keys *parse.Keys) map[string]judged {
	t.Helper()
	all := map[string]judged{}
	for k, j := range judgeAll(t, pcap, keys) {
		if k.sni == "" || k.sni == "localhost" {
			k.sni = fmt.Sprint(j.Flow.Addrs[parse.Accepter].Port())
		}
		if all[k.sni].Handshake != nil {
			t.Errorf("%s: two connections", k.sni)
		}
		all[k.sni] = j
	}
	return all
}

// client adds what s_client is told for every connection.
func (s *spoken) client(l *Lab, tls13 bool, args ...string) {
	s.command = append([]string{"openssl", "s_client", "-servername", s.sni, "-keylogfile", l.KeyLog(), pick(tls13, "-tls1_3", "-tls1_2")}, args...)
	if s.cert {
		s.command = append(s.command, "-cert", l.PKI.ClientRSA.Cert, "-key", l.PKI.ClientRSA.Key)
	}
}

// cases are the ways one endpoint is connected to.
func cases(name string, each func(s *spoken, asks, tls13 bool)) (all []*spoken) {
	for i := range 8 {
		s := &spoken{asks: i&1 != 0, cert: i&2 != 0}
		s.sni = fmt.Sprintf("%s.c%d.contoso.test", name, i)
		each(s, s.asks, i&4 != 0)
		all = append(all, s)
	}
	return all
}

// TestSpoken has real servers and clients speak in front of TLS, and over
// datagrams: what comes before it, the name, and whether a certificate is asked
// for, against what the servers were told to do.
func TestSpoken(t *testing.T) {
	rows := speakers()
	tools := []string{"gtlsserver", "gtlsclient", "gnutls-serv", "gnutls-cli", "haproxy", "nginx", "curl", "tinyproxy", "microsocks", "danted", "openvpn", "squid", "/usr/sbin/sshd", "ssh", "ssh-keygen"}
	for _, s := range rows {
		tools = append(tools, s.tools...)
	}
	l := New(t, tools...)
	port := firstPort
	var todo []*spoken
	var listen []int
	next := func() int {
		port++
		return port
	}
	for _, s := range rows {
		var ports [2][]int
		for i := range ports {
			for range s.protocols {
				ports[i] = append(ports[i], next())
			}
			listen = append(listen, ports[i]...)
		}
		s.serve(l, ports)
		for i, p := range s.protocols {
			todo = append(todo, cases(p, func(c *spoken, asks, tls13 bool) {
				c.preamble, c.by = p, ports[btoi(asks)][i]
				c.client(l, tls13, "-connect", fmt.Sprintf("%s:%d", l.Net.Server.Addr, c.by), "-starttls", startTLS(p), "-name", "www.contoso.test")
			})...)
		}
	}
	more, ports := throughProxies(l, next)
	todo, listen = append(todo, more...), append(listen, ports...)
	vpns, ports := throughVPN(l, next)
	listen = append(listen, ports...)
	grams := overDatagrams(l, next)
	for _, s := range vpns {
		if !slices.Contains(ports, s.by) {
			grams = append(grams, s)
		} else {
			todo = append(todo, s)
		}
	}
	todo = append(todo, grams...)
	l.Net.Server.WaitListen(t, listen...)
	for _, s := range grams {
		l.Net.Server.WaitBound(t, s.by)
	}
	pcap := filepath.Join(l.Dir, "spoken.pcap")
	capture := startCapture(t, l.Net.Client, Device, pcap, "tcp or udp", "--immediate-mode")
	said := speakAll(l, todo)
	l.Net.Client.WaitQuiet(t, 2*time.Second)
	capture.Stop(t)
	l.Keep(t, "spoken", pcap, nil)
	clear, keyed := spokenConns(t, pcap, nil), spokenConns(t, pcap, labKeys(t, l))
	right := map[string]int{}
	for i, s := range todo {
		problems := s.problems(l, clear[s.key()], keyed[s.key()])
		if len(problems) > 0 {
			t.Errorf("%s: %s\n%.1500s", s.sni, strings.Join(problems, "; "), said[i])
			continue
		}
		right[s.row()]++
	}
	total := 0
	var words []string
	for _, s := range todo {
		if word := fmt.Sprintf("%s %d", s.row(), right[s.row()]); !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	for _, n := range right {
		total += n
	}
	t.Logf("%d of %d right: %s", total, len(todo), strings.Join(words, ", "))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// speakAll runs the clients, some at a time, and returns what they printed.
func speakAll(l *Lab, todo []*spoken) []string {
	said := make([]string, len(todo))
	slots := make(chan struct{}, 6)
	var all sync.WaitGroup
	for i, s := range todo {
		if s.command == nil { // that of another makes it
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			said[i] = l.invoke("Q\n", s.command[0], s.command[1:]...)
		})
	}
	all.Wait()
	return said
}

// problems compares the product's answers, in the clear and with keys.
func (s *spoken) problems(l *Lab, clear, keyed judged) (out []string) {
	if s.inside && clear.Handshake != nil {
		return []string{"read without keys"}
	}
	for _, withKeys := range []bool{false, true} {
		j := clear
		if withKeys {
			j = keyed
		} else if s.inside {
			continue
		}
		if j.Handshake == nil {
			return []string{fmt.Sprintf("not in the capture (keys %t)", withKeys)}
		}
		expect := func(what string, got, want any) {
			if got != want {
				out = append(out, fmt.Sprintf("%s is %v, want %v (keys %t)", what, got, want, withKeys))
			}
		}
		expect("preamble", j.Preamble, s.preamble)
		expect("method", j.Method, s.method)
		expect("target", j.Target, s.target)
		expect("tunnel", j.Tunnel, pick(withKeys, s.tunnel, ""))
		expect("proxied", j.Proxied != nil, s.proxied)
		if j.Proxied != nil {
			expect("client", j.Proxied.Source.Addr().String(), "127.0.0.1")
		}
		want, reply := attribute.No, attribute.NoReply
		if s.asks {
			want, reply = attribute.Yes, attribute.ReplyEmpty
			if s.cert {
				reply = attribute.ReplyCert
			}
		}
		if s.sealed && !withKeys {
			want, reply = attribute.Unknown, attribute.NoReply
		}
		expect("asked", j.Asked, want)
		expect("reply", j.Reply, reply)
		if j.Asked == attribute.Yes {
			expect("by", int(j.By.Port()), s.by)
			expect("asker", j.By.Addr(), l.Net.Server.Addr)
		}
		if len(out) > 0 {
			out = append(out, fmt.Sprintf("evidence %v reason %q %s", j.Evidence, j.Reason, tapes(j.Handshake)))
		}
	}
	return out
}
