//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
	"slices"
)

// tour is one scenario: what stands where, what the client does, what the answer
// has to be from all points.
type tour struct {
	name  string
	build func(l *Lab, c *Chain)
	// visits are the names that the client asks for, in order; between are steps
	// taken before some of them.
	visits  []string
	between map[int]func()
	proxied bool     // through the explicit proxy on the edge
	paths   []string // what to request, in turn; none for /
	extra   []string // arguments for curl
	// named: the addresses of each hop are configured as one; between visits there
	// is a pause, as legs that end TLS are told by when they were open.
	named bool
	// want counts distinct ways, askers are those that ask themselves.
	want     map[string]int
	askers   []string
	findings []string
	// instead are findings that may take their place where a point is missing.
	instead []string
	// signs are told from all points, outside from all but the inner one.
	signs   []sign
	outside sign
	to      string // address to go to, empty for the edge's
}

// sign is one that has to be told of a server: its text contains this one.
type sign struct{ server, kind, text string }

// Signs of a hop by the sequence numbers in front of it and behind it.
var (
	endsTCP  = sign{"198.18.0.20:443", "tcp", "it ends TCP and passes TLS on"}
	endsNone = sign{"198.18.0.20:443", "tcp", "it passes packets on and does not end TCP"}
)

// asking returns the end of a bind line that asks for certificates.
func (l *Lab) asking() string {
	return fmt.Sprintf(" ssl crt %s ca-file %s verify optional\n", l.PKI.ServerEC.Both, l.PKI.ClientCA)
}

func (l *Lab) silent() string { return fmt.Sprintf(" ssl crt %s\n", l.PKI.ServerRSA.Both) }

// page ends a listener that answers by itself.
const page = " mode http\n http-request return status 200 content-type text/plain string ok\n"

// onwards ends a listener that opens TLS sessions of its own.
func onwards(to string) string {
	return fmt.Sprintf(" mode http\n server next %s ssl verify none no-ssl-reuse sni req.hdr(host),field(1,:)\n", to)
}

func gates(l *Lab, c *Chain, first, second string) {
	c.HAProxy(l, c.Middle, "middle", "listen a\n bind 198.18.1.30:443"+first+page+"listen b\n bind 198.18.1.31:443"+second+page, 443)
}

func edge(l *Lab, c *Chain, conf string) {
	c.HAProxy(l, c.Edge, "edge", "listen edge\n bind 198.18.0.20:443"+conf, 443)
}

func repeat(n int, sni ...string) []string { return slices.Repeat(sni, n) }

const (
	passes  = "198.18.0.10 → 198.18.0.20:443 (passes through)"
	reaches = ": reaches the client"
	not     = ": does not reach the client"
)

// tours is the table of scenarios.
func tours() []tour {
	return []tour{
		{
			name:   "direct",
			build:  func(l *Lab, c *Chain) { edge(l, c, l.asking()+page) },
			visits: repeat(2, portalName), askers: []string{"198.18.0.20:443 " + portalName},
		},
		{
			name: "terminating edge asks",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.silent(), l.silent())
				edge(l, c, l.asking()+onwards("198.18.1.30:443"))
			},
			visits: repeat(2, portalName), named: true, askers: []string{"198.18.0.20:443 " + portalName},
			want: map[string]int{"198.18.0.10 → edge (ASKED) → middle (did not ask)" + reaches: 2},
		},
		{
			name: "both ask, and the edge shows a certificate",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				edge(l, c, l.asking()+onwards("198.18.1.30:443 crt "+l.PKI.ClientRSA.Both))
			},
			visits: repeat(2, portalName), named: true, askers: []string{"198.18.0.20:443 " + portalName, "198.18.1.30:443 " + portalName},
			want: map[string]int{"198.18.0.10 → edge (ASKED) → middle (ASKED, or behind it)" + reaches: 2},
		},
		{
			name: "inner hop asks a terminating edge",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				edge(l, c, l.silent()+onwards("198.18.1.30:443"))
			},
			visits: repeat(2, portalName), named: true, askers: []string{"198.18.1.30:443 " + portalName},
			want: map[string]int{"198.18.0.10 → edge (did not ask) → middle (ASKED, or behind it)" + not: 2},
		},
		{
			name: "passthrough edge",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				edge(l, c, "\n server next 198.18.1.30:443\n")
			},
			visits: repeat(2, portalName), askers: []string{"198.18.1.30:443 " + portalName},
			want:  map[string]int{passes + " → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 2},
			signs: []sign{endsTCP},
		},
		{
			name: "passthrough edge with a PROXY header",
			build: func(l *Lab, c *Chain) {
				gates(l, c, " accept-proxy"+l.asking(), l.silent())
				edge(l, c, "\n server next 198.18.1.30:443 send-proxy-v2\n")
			},
			visits: repeat(2, portalName), askers: []string{"198.18.1.30:443 " + portalName},
			want: map[string]int{passes + " → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 2},
		},
		{
			name: "address translation",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				c.Translate(l.T, "198.18.1.30:443")
			},
			visits: repeat(2, portalName), askers: []string{"198.18.1.30:443 " + portalName},
			want:  map[string]int{passes + " → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 2},
			signs: []sign{endsNone},
		},
		{
			name: "two edges, the first passes through",
			build: func(l *Lab, c *Chain) {
				c.HAProxy(l, c.Far, "far", "listen far\n bind 198.18.2.40:443"+l.silent()+page, 443)
				c.HAProxy(l, c.Middle, "middle", "listen a\n bind 198.18.1.30:443"+l.asking()+onwards("198.18.2.40:443"), 443)
				edge(l, c, "\n server next 198.18.1.30:443\n")
			},
			visits: repeat(2, portalName), named: true, askers: []string{"198.18.1.30:443 " + portalName},
			want: map[string]int{"198.18.0.10 → edge (passes through) → middle (ASKED) → 198.18.2.40:443 (did not ask)" + reaches: 2},
		},
		{
			name: "two edges, both pass through",
			build: func(l *Lab, c *Chain) {
				c.HAProxy(l, c.Far, "far", "listen far\n bind 198.18.2.40:443"+l.asking()+page, 443)
				c.HAProxy(l, c.Middle, "middle", "listen a\n bind 198.18.1.30:443\n server next 198.18.2.40:443\n", 443)
				edge(l, c, "\n server next 198.18.1.30:443\n")
			},
			visits: repeat(2, portalName), askers: []string{"198.18.2.40:443 " + portalName},
			want: map[string]int{passes + " → 198.18.1.30:443 (passes through) → 198.18.2.40:443 (ASKED, or behind it)" + reaches: 2},
		},
		{
			name: "a pool of which one asks",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				edge(l, c, "\n balance roundrobin\n server a 198.18.1.30:443\n server b 198.18.1.31:443\n")
			},
			visits: repeat(24, portalName), askers: []string{"198.18.1.30:443 " + portalName},
			want: map[string]int{
				passes + " → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 12, passes + " → 198.18.1.31:443 (did not ask)": 12,
			},
			findings: []string{"backend"}, instead: []string{"server"},
		},
		{
			name: "a pool behind address translation",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				c.Translate(l.T, "198.18.1.30:443", "198.18.1.31:443")
			},
			visits: repeat(24, portalName), extra: []string{"--tls-max", "1.2"}, askers: []string{"198.18.1.30:443 " + portalName},
			want: map[string]int{
				passes + " → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 12, passes + " → 198.18.1.31:443 (did not ask)": 12,
			},
			findings: []string{"backend"}, instead: []string{"server", "certificate"},
			signs: []sign{endsNone}, outside: sign{"198.18.0.20:443", "certificate", "equal ClientHellos of one client were answered with several certificates, in turn"},
		},
		{
			name: "a SYN proxy",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				c.AnswerSYNs(l.T)
			},
			visits: repeat(4, portalName), to: "198.18.1.30", askers: []string{"198.18.1.30:443 " + portalName},
			signs: []sign{
				{"198.18.1.30:443", "tcp", "something there answers SYNs in the server's place"},
				{"198.18.1.30:443", "syn-hop-limit", "in 4 of 4 connections the SYN-ACK and the data behind it came with different hop limits, such as 64 and 63"},
			},
		},
		{
			name: "two names on one address",
			build: func(l *Lab, c *Chain) {
				list := l.File("names", fmt.Sprintf("%s %s\n%s [ca-file %s verify optional] %s\n",
					l.PKI.ServerRSA.Both, shopName, l.PKI.ServerEC.Both, l.PKI.ClientCA, portalName))
				edge(l, c, " ssl crt-list "+list+"\n"+page)
			},
			visits: repeat(8, portalName, shopName), askers: []string{"198.18.0.20:443 " + portalName},
		},
		{
			name:   "explicit proxy",
			build:  func(l *Lab, c *Chain) { gates(l, c, l.asking(), l.silent()); explicit(l, c, "-") },
			visits: repeat(2, portalName), proxied: true, askers: []string{"198.18.1.30:443 " + portalName},
			want: map[string]int{"198.18.0.10 → 198.18.0.20:3128 (passes through) → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 2},
		},
		{
			name: "inspecting proxy",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				explicit(l, c, l.PKI.ServerEC.Name)
			},
			visits: repeat(2, portalName), named: true, proxied: true, askers: []string{"198.18.1.30:443 " + portalName},
			want: map[string]int{"198.18.0.10 → edge (did not ask) → middle (ASKED, or behind it)" + not: 2},
		},
		{
			name: "inspecting proxy with an exception",
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				explicit(l, c, l.PKI.ServerEC.Name, shopName)
			},
			visits: repeat(2, portalName, shopName), named: true, proxied: true,
			askers: []string{"198.18.1.30:443 " + portalName, "198.18.1.30:443 " + shopName},
			want: map[string]int{
				"198.18.0.10 → edge (did not ask) → middle (ASKED, or behind it)" + not:        2,
				"198.18.0.10 → edge (passes through) → middle (ASKED, or behind it)" + reaches: 2,
			},
		},
	}
}

// explicit starts the proxy of gopeer on the edge.
func explicit(l *Lab, c *Chain, identity string, bypassed ...string) {
	Start(l.T, c.Edge.Command(l.goPeer(), append([]string{"proxy", "198.18.0.20:3128", l.PKI.Dir, identity}, bypassed...)...))
	c.Edge.WaitListen(l.T, 3128)
}

// rollOut adds the scenario whose endpoint changes its mind midway.
func rollOut(all *[]tour) {
	var before *Process
	var again func()
	visits := repeat(24, portalName)
	*all = append(*all, tour{
		name: "a roll-out midway",
		build: func(l *Lab, c *Chain) {
			before = c.HAProxy(l, c.Edge, "edge-before", "listen edge\n bind 198.18.0.20:443"+l.silent()+page, 443)
			again = func() {
				before.Stop()
				edge(l, c, l.asking()+page)
			}
		},
		visits: visits, between: map[int]func(){12: func() { again() }},
		askers: []string{"198.18.0.20:443 " + portalName}, findings: []string{"time"},
	})
}

// hidden adds scenarios in which each visit comes back and resumes its session,
// which is not asked then.
func hidden(all *[]tour) {
	for _, max := range []string{"1.2", "1.3"} {
		*all = append(*all, tour{
			name: "resumption hides it in TLS " + max,
			build: func(l *Lab, c *Chain) {
				gates(l, c, l.asking(), l.silent())
				edge(l, c, "\n server next 198.18.1.30:443\n")
			},
			visits: repeat(2, portalName), extra: []string{"--tls-max", max, "-H", "Connection: close", "https://" + portalName + "/"},
			askers: []string{"198.18.1.30:443 " + portalName}, findings: []string{"resumption"},
			want: map[string]int{passes + " → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 2, passes + " → 198.18.1.30:443 (did not ask)": 2},
		})
	}
}

// onPaths adds scenarios of an httpd that asks on some paths only, behind an
// edge that passes TLS through: by renegotiation, or after the handshake.
func onPaths(all *[]tour) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		at := fmt.Sprintf("198.18.1.30:%d", byPath(version).Port)
		*all = append(*all, tour{
			name: pick(version == tls.VersionTLS12, "renegotiation on a path", "post-handshake on a path"),
			build: func(l *Lab, c *Chain) {
				l.Net = &Net{Client: c.Client, Server: c.Middle}
				serveByPath(l)
				edge(l, c, "\n server next "+at+"\n")
			},
			visits: repeat(4, portalName), paths: []string{pathFree, pathMaybe},
			askers: []string{at + " " + portalName}, findings: []string{"path"},
			want: map[string]int{passes + " → " + at + " (ASKED, or behind it)" + reaches: 2, passes + " → " + at + " (did not ask)": 2},
		})
	}
}
