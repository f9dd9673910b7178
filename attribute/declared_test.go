package attribute

import "testing"

// TestDeclared holds what is declared against what was seen.
func TestDeclared(t *testing.T) {
	for _, c := range []struct {
		name     string
		declared Declared
		hosts    []Hostname
		scene    scene
		agrees   Answer
		text     string
	}{
		{"off but asked", DeclaredOff, nil, scene{counts(12, 0, 0)}, No, "declared off, asked 12 of 12: not propagated yet, or another endpoint answers on this address"},
		{"off, asked in part", DeclaredOff, nil, scene{counts(5, 7, 0)}, No, "declared off, asked 5 of 12: still being rolled out, or several machines answer on this address"},
		{"off and quiet", DeclaredOff, nil, scene{counts(0, 3, 0)}, Yes, "declared off, asked 0 of 3, as declared"},
		{"required and asked", DeclaredRequired, nil, scene{}, Yes, "declared required, asked 4 of 4, as declared"},
		{"required but quiet", DeclaredRequired, nil, scene{counts(0, 3, 0)}, No, "declared required, asked 0 of 3: not propagated yet, or another endpoint answers on this address"},
		{"optional, but TLS insists", DeclaredOptional, nil, scene{traits(func(t *Traits) { t.Refused = 2 })}, No, "declared optional, asked 4 of 4, and ended by TLS 2 times for want of a certificate: it is required"},
		{"only resumed", DeclaredOff, nil, scene{counts(0, 0, 3)}, Unknown, "declared off; what was captured cannot tell"},
		{"its name", DeclaredOff, []Hostname{"portal.contoso.test"}, scene{}, No, "declared off, asked 4 of 4: not propagated yet, or another endpoint answers on this address"},
		{"another name", DeclaredOff, []Hostname{"api.contoso.test"}, scene{}, Unknown, ""},
		{"no name", DeclaredOff, []Hostname{"portal.contoso.test"}, scene{sni("")}, Unknown, ""},
		{"passed through", DeclaredOff, nil, scene{func(a *Asker) { a.Passes = a.Asked }}, Unknown, ""},
	} {
		a := append(c.scene, kind("edge")).asker()
		askers := []Asker{a}
		Explain(askers, Hops{{Name: "edge", Hostnames: c.hosts, Declared: c.declared}})
		if got := askers[0]; got.Agrees != c.agrees || got.Agreement() != c.text {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, got.Agrees, got.Agreement(), c.agrees, c.text)
		}
	}
}
