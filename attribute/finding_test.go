package attribute

import (
	"fmt"
	"math/rand/v2"
	"slices"
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
			ja4:     []string{"t13d1516h2_8daaf6152771_e5627efa2ab1", "t12d190800_d83cc789557e_7af1ed941c26", ""}[rng.IntN(3)],
			ja3s:    []string{"eb1d94daa7e0344597e756a1fb6e7054", "15af977ce25de452b96affa2addb1036"}[rng.IntN(2)],
			cert:    byte(rng.IntN(3)), // 0: sealed
			clock:   uint32(rng.IntN(2)),
			ttl:     uint8(62 + rng.IntN(2)),
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
		{"one of two servers", pool(60, func(_ int, s *legSpec) Answer { return yesIf(s.server == legGate) }), "server", "198.18.1.30:443 in 32 of 32, 198.18.1.31:443 in 0 of 28"},
		{"one version", pool(60, func(_ int, s *legSpec) Answer { return yesIf(s.version == parse.TLS12) }), "version", "TLS 1.2 in"},
		{"one protocol", pool(60, func(_ int, s *legSpec) Answer { return yesIf(s.alpn == "h2") }), "alpn", "h2 in"},
		{"one client", pool(80, func(_ int, s *legSpec) Answer { return yesIf(strings.HasPrefix(s.client, "198.18.0.12:")) }), "client", "198.18.0.12 in"},
		{"one clock at one address", pool(60, func(i int, s *legSpec) Answer {
			s.server, s.client = legGate, fmt.Sprintf("198.18.0.10:%d", 40000+i)
			return yesIf(s.clock == 1)
		}), "clock", "the server's TCP timestamp clock tells who is asked: clock "},
		{"one hop limit", pool(60, func(_ int, s *legSpec) Answer { return yesIf(s.ttl == 62) }), "hop-limit", "62 in"},
		{"one certificate", pool(60, func(_ int, s *legSpec) Answer { s.cert = byte(1 + s.random/2%2); return yesIf(s.cert == 1) }), "certificate", "0100000000000000… in 30 of 30"},
		{"one kind of client", pool(60, func(_ int, s *legSpec) Answer {
			s.ja4 = oneOf(s, "t13d1516h2_a", "t12d1908h1_b")
			return yesIf(s.ja4 == "t13d1516h2_a")
		}), "ja4", "t13d1516h2_a in 30 of 30"},
		{"one kind of server", pool(60, func(_ int, s *legSpec) Answer { return yesIf(strings.HasPrefix(s.ja3s, "eb1d")) }), "ja3s", "eb1d94daa7e0344597e756a1fb6e7054 in"},
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

// oneOf gives every other connection the one value and the rest the other.
func oneOf(s *legSpec, a, b string) string {
	if s.random/2%2 == 0 {
		return a
	}
	return b
}

// TestFindingNot: what only seems to tell asked from not asked is not told.
func TestFindingNot(t *testing.T) {
	noisy := func(tells func(s *legSpec) bool) []legSpec {
		rng := rand.New(rand.NewPCG(9, 9))
		return pool(60, func(_ int, s *legSpec) Answer { return yesIf(tells(s) != (rng.IntN(10) < 4)) })
	}
	for name, tells := range map[string]func(s *legSpec) bool{
		"server":      func(s *legSpec) bool { return s.server == legGate },
		"capture":     func(s *legSpec) bool { s.capture = oneOf(s, "site-a", "site-b"); return s.capture == "site-a" },
		"certificate": func(s *legSpec) bool { return s.cert == 1 },
		"alpn":        func(s *legSpec) bool { return s.alpn == "h2" },
		"version":     func(s *legSpec) bool { return s.version == parse.TLS12 },
		"client":      func(s *legSpec) bool { return strings.HasPrefix(s.client, "198.18.0.12:") },
		"ja4":         func(s *legSpec) bool { return s.ja4 == "" },
		"ja3s":        func(s *legSpec) bool { return strings.HasPrefix(s.ja3s, "eb1d") },
		"clock":       func(s *legSpec) bool { return s.clock == 1 },
		"hop-limit":   func(s *legSpec) bool { return s.ttl == 62 },
		"time":        func(s *legSpec) bool { return s.start < 25*time.Second },
	} {
		if f := joinSpecs(noisy(tells)).Findings; len(f) > 0 {
			t.Errorf("%s: found %+v", name, f)
		}
	}
	// A certificate is read in TLS 1.2 alone: that it is known is no value of it.
	f := joinSpecs(pool(60, func(_ int, s *legSpec) Answer {
		if s.cert = 0; s.version == parse.TLS12 {
			s.cert = byte(1 + s.random/2%2)
		}
		return yesIf(s.version == parse.TLS12)
	})).Findings
	if len(f) != 1 || f[0].Factor != "version" || len(f[0].Also) > 0 {
		t.Errorf("%+v", f)
	}
	// Two captures, one after the other, may be of two places.
	f = joinSpecs(pool(60, func(i int, s *legSpec) Answer {
		if s.capture = "site-a"; i >= 25 {
			s.capture = "site-b"
		}
		return yesIf(i < 25)
	})).Findings
	if len(f) != 1 || f[0].Factor != "time" || !slices.Equal(f[0].Also, []string{"capture"}) {
		t.Errorf("%+v", f)
	}
	// At the same time they are.
	f = joinSpecs(pool(60, func(_ int, s *legSpec) Answer {
		s.capture = oneOf(s, "site-a", "site-b")
		return yesIf(s.capture == "site-a")
	})).Findings
	if len(f) != 1 || f[0].Factor != "capture" || !strings.Contains(f[0].Text, "the capture tells who is asked: site-a in 30 of 30, site-b in 0 of 30") {
		t.Errorf("%+v", f)
	}
	// Nobody comes twice: that each client differs is no explanation.
	f = joinSpecs(pool(60, func(i int, s *legSpec) Answer {
		s.client = fmt.Sprintf("198.18.7.%d:40000", i)
		return yesIf((s.server == legGate) != (i%12 == 0))
	})).Findings
	if len(f) != 1 || f[0].Factor != "server" || len(f[0].Also) > 0 {
		t.Errorf("%+v", f)
	}
}

// TestFindingBoth: where two explain as much both are told, and one that follows
// from the other is not.
func TestFindingBoth(t *testing.T) {
	both := func(exception int) []legSpec {
		return pool(60, func(i int, s *legSpec) Answer {
			s.client = oneOf(s, "198.18.0.10:", "198.18.0.11:") + fmt.Sprint(40000+i)
			s.server = oneOf(s, legGate, legOther)
			s.cert, s.ja3s = 1, "a"
			if s.server == legOther {
				s.cert, s.ja3s = 2, "b"
			}
			if i == exception {
				s.client = oneOf(s, "198.18.0.11:", "198.18.0.10:") + fmt.Sprint(40000+i)
			}
			return yesIf(s.server == legGate)
		})
	}
	f := joinSpecs(both(-1)).Findings
	if len(f) != 1 || f[0].Factor != "server" || !slices.Equal(f[0].Also, []string{"client"}) ||
		!strings.Contains(f[0].Text, "; as much is told by the client, and which of them decides, these connections do not show; no client came to both sides, which may as well be two legs of one way, or two places") {
		t.Errorf("%+v", f)
	}
	if f := joinSpecs(both(7)).Findings; len(f) != 1 || f[0].Factor != "server" || len(f[0].Also) > 0 {
		t.Errorf("with an exception: %+v", f)
	}
	// A change that came with another certificate.
	f = joinSpecs(pool(60, func(i int, s *legSpec) Answer {
		if s.cert = 1; i >= 25 {
			s.cert = 2
		}
		return yesIf(i < 25)
	})).Findings
	if len(f) != 1 || f[0].Factor != "certificate" || !slices.Equal(f[0].Also, []string{"time"}) || !strings.Contains(f[0].Text, "the time, with a change at 14:13:45 UTC") {
		t.Errorf("%+v", f)
	}
}

// TestFindingPath: who asks behind the first handshake asks by what is requested.
func TestFindingPath(t *testing.T) {
	specs := pool(12, func(i int, s *legSpec) Answer {
		if i%3 == 0 {
			s.when = InRenegotiation
			return Yes
		}
		return No
	})
	f := joinSpecs(specs).Findings
	if len(f) != 1 || f[0].Factor != "path" || f[0].Explains != 1 || !strings.Contains(f[0].Text, "on 4 connections (4 in a renegotiation), and not at all on 8 others") {
		t.Errorf("%+v", f)
	}
	for i := range specs {
		specs[i].asked, specs[i].when = Yes, InRenegotiation
	}
	if f := joinSpecs(specs).Findings; len(f) > 0 { // all were asked
		t.Errorf("%+v", f)
	}
	for i := range specs {
		specs[i].asked, specs[i].when = yesIf(i%3 == 0), InHandshake
	}
	if f := joinSpecs(specs).Findings; len(f) > 0 {
		t.Errorf("%+v", f)
	}
}

// TestFindingName: clients without a server name are asked, and those with one are
// not.
func TestFindingName(t *testing.T) {
	nameless := func(asked func(s *legSpec, i int) bool) []Finding {
		return joinSpecs(pool(60, func(i int, s *legSpec) Answer {
			s.server, s.sni = legGate, oneOf(s, "", legPortal)
			return yesIf(asked(s, i))
		})).Findings
	}
	f := nameless(func(s *legSpec, _ int) bool { return s.sni == "" })
	if len(f) != 1 || f[0].Factor != "sni" || f[0].Explains != 1 || f[0].Server.String() != legGate || f[0].SNI != "" ||
		f[0].Text != legGate+": clients that send no server name (SNI) are asked in 30 of 30, and those that send one in 0 of 30" {
		t.Errorf("%+v", f)
	}
	if f := nameless(func(*legSpec, int) bool { return true }); len(f) > 0 { // all are asked
		t.Errorf("%+v", f)
	}
	unread := func(s *legSpec, _ int) bool {
		if s.sni == "" {
			s.random = 0
		}
		return s.random == 0
	}
	if f := nameless(unread); len(f) > 0 { // whether they send a name is not known
		t.Errorf("%+v", f)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	if f := nameless(func(s *legSpec, _ int) bool { return (s.sni == "") != (rng.IntN(10) < 4) }); len(f) > 0 {
		t.Errorf("%+v", f)
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
// has a finding, whatever is looked at.
func TestFindingChance(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for i := range 1000 {
		n := 8 + rng.IntN(60)
		share := 0.1 + 0.8*rng.Float64()
		nameless := rng.IntN(2) == 0
		j := joinSpecs(pool(n, func(_ int, s *legSpec) Answer {
			if nameless && rng.IntN(2) == 0 {
				s.sni = ""
			}
			s.capture = []string{"site-a", "site-b", "site-c"}[rng.IntN(3)]
			return yesIf(rng.Float64() < share)
		}))
		if len(j.Findings) > 0 {
			t.Errorf("shuffle %d of %d connections: %s", i, n, j.Findings[0].Text)
		}
	}
}
