package attribute

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"whoasked/parse"
)

// pool is connections to one name that differ in everything a factor looks at;
// asked decides by number and circumstances.
func pool(n int, asked func(i int, s *legSpec) Answer) []legSpec {
	rng := rand.New(rand.NewPCG(3, 3))
	var out []legSpec
	for i := range n {
		s := legSpec{
			client:  fmt.Sprintf("198.18.0.%d:%d", 10+rng.IntN(5), 40000+i),
			server:  []string{legGate, legOther}[rng.IntN(2)],
			sni:     legPortal,
			random:  uint32(2*i + 1),
			answer:  uint32(2*i + 1),
			start:   time.Duration(i) * time.Second,
			length:  100 * ms,
			alpn:    []string{"h2", "http/1.1"}[rng.IntN(2)],
			version: []parse.Version{parse.TLS12, parse.TLS13}[rng.IntN(2)],
		}
		s.asked = asked(i, &s)
		out = append(out, s)
	}
	return out
}

func yesIf(b bool) Answer {
	if b {
		return Yes
	}
	return No
}

func TestFinding(t *testing.T) {
	for _, tt := range []struct {
		name   string
		specs  []legSpec
		factor string
		text   string
	}{
		{"always asked", pool(60, func(int, *legSpec) Answer { return Yes }), "", ""},
		{"never asked", pool(60, func(int, *legSpec) Answer { return No }), "", ""},
		{"one of two servers", pool(60, func(_ int, s *legSpec) Answer { return yesIf(s.server == legGate) }), "server", "198.18.1.30:443 in 30 of 30, 198.18.1.31:443 in 0 of 30"},
		{"one version", pool(60, func(_ int, s *legSpec) Answer { return yesIf(s.version == parse.TLS12) }), "version", "TLS 1.2 in"},
		{"one protocol", pool(60, func(_ int, s *legSpec) Answer { return yesIf(s.alpn == "h2") }), "alpn", "h2 in"},
		{"one client", pool(80, func(_ int, s *legSpec) Answer { return yesIf(strings.HasPrefix(s.client, "198.18.0.12:")) }), "client", "198.18.0.12 in"},
		{"rolled out", pool(60, func(i int, _ *legSpec) Answer { return yesIf(i < 25) }), "time", "changed at 14:13:45 UTC: asked in 25 of 25 before, in 0 of 35"},
		{"mostly one server", pool(90, func(i int, s *legSpec) Answer { return yesIf((s.server == legGate) != (i%10 == 0)) }), "server", ""},
		{"too few to tell", pool(6, func(i int, s *legSpec) Answer { return yesIf(s.server == legGate) }), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := joinSpecs(tt.specs)
			if tt.factor == "" {
				if len(j.Findings) > 0 {
					t.Fatalf("found %+v", j.Findings)
				}
				return
			}
			if len(j.Findings) != 1 {
				t.Fatalf("found %+v, want one", j.Findings)
			}
			f := j.Findings[0]
			if f.Factor != tt.factor || !strings.Contains(f.Text, tt.text) || f.Explains < leastShare || f.Explains > 1 {
				t.Errorf("%+v, want %s %q", f, tt.factor, tt.text)
			}
		})
	}
}

func TestFindingResumption(t *testing.T) {
	j := joinSpecs(pool(12, func(i int, s *legSpec) Answer {
		s.resumed = i%3 == 0
		return yesIf(!s.resumed)
	}))
	if len(j.Findings) != 1 || j.Findings[0].Factor != "resumption" || j.Findings[0].Explains != 1 ||
		!strings.Contains(j.Findings[0].Text, "all 4 connections") {
		t.Errorf("%+v", j.Findings)
	}
}

// TestFindingResumptionElsewhere: resuming at an endpoint that never asks is not why
// another one asks only sometimes.
func TestFindingResumptionElsewhere(t *testing.T) {
	j := joinSpecs(pool(12, func(_ int, s *legSpec) Answer {
		s.resumed = s.server == legOther
		return yesIf(s.server == legGate)
	}))
	if len(j.Findings) != 0 {
		t.Errorf("%+v", j.Findings)
	}
}

// TestFindingBackend: behind one address that passes TLS through, one of two
// endpoints asks.
func TestFindingBackend(t *testing.T) {
	var specs []legSpec
	for i, s := range pool(60, func(_ int, s *legSpec) Answer { return yesIf(s.server == legGate) }) {
		behind := s
		behind.client, behind.start = fmt.Sprintf("198.18.0.20:%d", 40000+i), s.start+ms
		s.server = legEdge
		specs = append(specs, s, behind)
	}
	j := joinSpecs(specs)
	if len(j.Findings) != 1 || j.Findings[0].Factor != "backend" || j.Findings[0].Explains != 1 {
		t.Errorf("%+v", j.Findings)
	}
}

// TestFindingChance: of a thousand captures in which chance alone decides, none
// has a finding.
func TestFindingChance(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range 1000 {
		n := 8 + rng.IntN(60)
		share := 0.1 + 0.8*rng.Float64()
		j := joinSpecs(pool(n, func(int, *legSpec) Answer { return yesIf(rng.Float64() < share) }))
		if len(j.Findings) > 0 {
			t.Errorf("shuffle %d of %d connections: %s", i, n, j.Findings[0].Text)
		}
	}
}
