//go:build linux

package lab

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// answered is what whoasked read tells of captures, as far as ways go.
type answered struct {
	// ways are the distinct paths: the chain, and what of it reaches the client.
	ways map[string]int
	// askers maps who is told to have asked to what it passes to, empty where it
	// asked itself.
	askers   map[string]string
	places   map[string]string // of those that asked: "at", "at-or-behind", "behind"
	findings []string          // factors
	text     string            // the lines about them
}

// readPaths runs the program on captures.
func readPaths(t *testing.T, program, config string, files ...string) answered {
	t.Helper()
	args := append([]string{"read", "--quiet", "--format", "json", "--config", config}, files...)
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("whoasked %s: %v", strings.Join(args, " "), err)
	}
	a := answered{ways: map[string]int{}, askers: map[string]string{}, places: map[string]string{}}
	for line := range strings.Lines(string(out)) {
		var v struct {
			Kind, Chain, Factor string
			Place               string
			Asker               string `json:"asker"`
			Reaches             *bool  `json:"reaches_client"`
			AskedBy             string `json:"asked_by"`
			PassesTo            string `json:"passes_to"`
			SNI                 string
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if v.Kind != "connection" {
			a.text += line
		}
		switch v.Kind {
		case "path":
			way := v.Chain
			if v.Reaches != nil {
				way += pick(*v.Reaches, ": reaches the client", ": does not reach the client")
			}
			a.ways[way]++
		case "asker":
			a.askers[v.AskedBy+" "+v.SNI] = v.PassesTo
			a.places[v.AskedBy+" "+v.SNI] = v.Place
		case "finding":
			a.findings = append(a.findings, v.Factor)
		}
	}
	return a
}

// buildProgram builds whoasked for a test.
func buildProgram(t *testing.T, l *Lab) string {
	t.Helper()
	path := filepath.Join(l.Dir, "whoasked-bin")
	if out, err := exec.Command("go", "build", "-o", path, "whoasked/cmd/whoasked").CombinedOutput(); err != nil {
		t.Fatalf("build whoasked: %v\n%s", err, out)
	}
	return path
}

const portalName, shopName = "portal.contoso.test", "shop.contoso.test"

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
}

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
			want: map[string]int{passes + " → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 2},
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
			want: map[string]int{passes + " → 198.18.1.30:443 (ASKED, or behind it)" + reaches: 2},
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
			findings: []string{"backend"},
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

// TestPaths walks every tour with a capture at every point, and reads it from
// all of them, and from all but one: what is missing may cost an answer and
// never make a wrong one.
func TestPaths(t *testing.T) {
	base := New(t, "apache2", "haproxy", "curl", "nft", "go")
	program := buildProgram(t, base)
	nothing := base.File("nothing.yaml", "hops: []\n")
	named := base.File("hops.yaml", "hops:\n- name: edge\n  addresses: [198.18.0.20, 198.18.1.20]\n"+
		"- name: middle\n  addresses: [198.18.1.30, 198.18.2.30]\n")
	all := tours()
	rollOut(&all)
	hidden(&all)
	onPaths(&all)
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			l := base.With(t)
			c := NewChain(t)
			l.Net = &Net{Client: c.Client, Server: c.Edge}
			if s.build != nil {
				s.build(l, c)
			}
			config := pick(s.named, named, nothing)
			name := strings.ReplaceAll(s.name, " ", "-")
			files := c.Record(l, name, func() { s.walk(l, c) })
			got := readPaths(t, program, config, slices.Sorted(maps.Values(files))...)
			s.check(t, got)
			for _, p := range c.Points {
				var some []string
				for at, f := range files {
					if at != p.Name {
						some = append(some, f)
					}
				}
				slices.Sort(some)
				s.degraded(t, "without "+p.Name, readPaths(t, program, config, some...))
			}
		})
	}
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

// walk makes the client's visits, one connection each.
func (s *tour) walk(l *Lab, c *Chain) {
	l.T.Helper()
	for i, sni := range s.visits {
		if step := s.between[i]; step != nil {
			step()
		}
		if s.named && i > 0 {
			time.Sleep(500 * time.Millisecond)
		}
		path := "/"
		if len(s.paths) > 0 {
			path = s.paths[i%len(s.paths)]
		}
		args := []string{"-sSk", "--http1.1", "-o", "/dev/null", "-w", "status %{http_code}", "https://" + sni + path,
			"--resolve", sni + ":443:198.18.0.20"}
		args = append(args, s.extra...)
		if s.proxied {
			args = append(args, "--proxy", "http://198.18.0.20:3128")
		} else {
			args = append(args, "--noproxy", "*")
		}
		if out := l.invoke("", "curl", args...); !strings.HasSuffix(out, "status 200") {
			l.T.Fatalf("visit %d: %s", i, out)
		}
	}
}

// own lists the askers that asked themselves.
func (a answered) own() []string {
	var out []string
	for who, to := range a.askers {
		if to == "" {
			out = append(out, who)
		}
	}
	slices.Sort(out)
	return out
}

func (s *tour) check(t *testing.T, got answered) {
	t.Helper()
	if !maps.Equal(got.ways, s.want) {
		t.Errorf("ways %v, want %v", got.ways, s.want)
	}
	if own := got.own(); !slices.Equal(own, s.askers) {
		t.Errorf("asked: %q, want %q", own, s.askers)
	}
	s.placed(t, "all points", got)
	if !slices.Equal(got.findings, s.findings) {
		t.Errorf("findings about %q, want %q", got.findings, s.findings)
	}
	if t.Failed() {
		t.Log(got.text)
	}
}

// degraded demands that what is told from some of the points is part of the
// truth: the hops of each way are some of a true one's, in order and with the
// same answers, and reaching the client is told of a true one only.
func (s *tour) degraded(t *testing.T, which string, got answered) {
	t.Helper()
	for way := range got.ways {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(s.want)), func(truth string) bool { return within(way, truth) }) {
			t.Errorf("%s: told %q, which is part of none of %v\n%s", which, way, s.want, got.text)
		}
	}
	s.placed(t, which, got)
	for _, f := range got.findings {
		if !slices.Contains(s.findings, f) && !(f == "server" && slices.Contains(s.findings, "backend")) {
			t.Errorf("%s: a finding about %q", which, f)
		}
	}
}

// placed demands that only who asked in truth is told to have asked itself.
func (s *tour) placed(t *testing.T, which string, got answered) {
	t.Helper()
	for who, place := range got.places {
		if place == "at" && !slices.Contains(s.askers, who) {
			t.Errorf("%s: told that %s asked itself; %q did", which, who, s.askers)
		}
	}
}

// within reports whether a way may be told where another is the truth. A hop that
// passes TLS through sends what another asked: where nothing is captured behind it,
// it may be told as who asked or what stands behind it, and never as who asked.
func within(way, truth string) bool {
	chain, claim, _ := strings.Cut(way, ": ")
	whole, fact, _ := strings.Cut(truth, ": ")
	if claim != "" && claim != fact {
		return false
	}
	const itself, orBehind = " (ASKED)", " (ASKED, or behind it)"
	rest := strings.Split(whole, " → ")[1:]
	hops := strings.Split(chain, " → ")[1:]
	asked := strings.HasSuffix(whole, orBehind)
	for n, hop := range hops {
		i := slices.Index(rest, hop)
		if last, open := strings.CutSuffix(hop, orBehind); i < 0 && n == len(hops)-1 && open {
			if i = slices.Index(rest, last+itself); i < 0 && asked {
				i = slices.Index(rest, last+" (passes through)")
			}
		}
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}
