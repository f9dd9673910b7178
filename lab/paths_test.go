//go:build linux

package lab

import (
	"cmp"
	"encoding/json"
	"maps"
	"os/exec"
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
	// signs are by server, each "kind: text", of askers and of hops.
	signs map[string][]string
	text  string // the lines about them
}

// signMember is a sign in JSON.
type signMember struct{ Sign, Text string }

func (a *answered) sign(server string, all []signMember) {
	for _, s := range all {
		if text := s.Sign + ": " + s.Text; !slices.Contains(a.signs[server], text) {
			a.signs[server] = append(a.signs[server], text)
		}
	}
}

// readPaths runs the program on captures.
func readPaths(t *testing.T, program, config string, files ...string) answered {
	t.Helper()
	args := append([]string{"read", "--quiet", "--format", "json", "--config", config}, files...)
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("whoasked %s: %v", strings.Join(args, " "), err)
	}
	a := answered{ways: map[string]int{}, askers: map[string]string{}, places: map[string]string{}, signs: map[string][]string{}}
	for line := range strings.Lines(string(out)) {
		var v struct {
			Kind, Chain, Factor string
			Place               string
			Asker               string `json:"asker"`
			Reaches             *bool  `json:"reaches_client"`
			AskedBy             string `json:"asked_by"`
			PassesTo            string `json:"passes_to"`
			SNI                 string
			Signs               []signMember
			Hops                []struct {
				Server string
				Signs  []signMember
			}
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
			for _, h := range v.Hops {
				a.sign(h.Server, h.Signs)
			}
		case "asker":
			a.askers[v.AskedBy+" "+v.SNI] = v.PassesTo
			a.places[v.AskedBy+" "+v.SNI] = v.Place
			a.sign(v.AskedBy, v.Signs)
		case "finding":
			a.findings = append(a.findings, v.Factor)
		}
	}
	return a
}

const portalName, shopName = "portal.contoso.test", "shop.contoso.test"

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
			"--resolve", sni + ":443:" + cmp.Or(s.to, "198.18.0.20")}
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
	for _, want := range s.signs {
		s.signed(t, "all points", want, got)
	}
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
	if which == "without inner" && s.outside != (sign{}) {
		s.signed(t, which, s.outside, got)
	}
	for _, f := range got.findings {
		if !slices.Contains(s.findings, f) && !slices.Contains(s.instead, f) {
			t.Errorf("%s: a finding about %q", which, f)
		}
	}
}

// signed demands that a sign is told.
func (s *tour) signed(t *testing.T, which string, want sign, got answered) {
	t.Helper()
	if !slices.ContainsFunc(got.signs[want.server], func(text string) bool {
		return strings.HasPrefix(text, want.kind+": ") && strings.Contains(text, want.text)
	}) {
		t.Errorf("%s: no sign of %s with %q at %s, but %q\n%s", which, want.kind, want.text, want.server, got.signs[want.server], got.text)
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
