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
		{"behind the handshake", DeclaredOff, nil, scene{traits(func(t *Traits) { t.Handshake, t.Renegotiation = 0, 4 })}, No, "declared off, asked 4 of 4, each time behind the first handshake: a path or a policy asks, which this setting does not cover"},
		{"passthrough, and it is", DeclaredPassthrough, nil, scene{func(a *Asker) { a.Passes = a.Asked }}, Yes, "declared passthrough, and so it does: who asked is behind it"},
		{"passthrough, seen from outside", DeclaredPassthrough, nil, scene{}, Unknown, "declared passthrough, asked 4 of 4: who asked is behind it; capture there, too"},
		{"passthrough, quiet", DeclaredPassthrough, nil, scene{counts(0, 3, 0)}, Unknown, "declared passthrough: what is seen here is from behind it"},
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

// TestDeclaredOf holds what is declared of single names, of all others, and of
// clients without one.
func TestDeclaredOf(t *testing.T) {
	hop := Hop{
		Name: "edge", Hostnames: []Hostname{"portal.contoso.test", "*.contoso.test"},
		ByName: []NameDeclared{
			{"*.contoso.test", DeclaredOptional}, {"portal.contoso.test", DeclaredOff}, {"*.eu.contoso.test", DeclaredRequired},
		},
		Otherwise: DeclaredOff,
	}
	for name, want := range map[string]string{
		"portal.contoso.test":  "declared off, asked 4 of 4: not propagated yet, or another endpoint answers on this address",
		"Portal.contoso.test.": "declared off, asked 4 of 4: not propagated yet, or another endpoint answers on this address",
		"api.contoso.test":     "declared optional for *.contoso.test, asked 4 of 4, as declared",
		"a.eu.contoso.test":    "declared required for *.eu.contoso.test, asked 4 of 4, as declared",
		"www.fabrikam.test":    "declared off by default, asked 4 of 4: not propagated yet, or another endpoint answers on this address",
		"":                     "declared off by default, asked 4 of 4: not propagated yet, or another endpoint answers on this address",
	} {
		askers := []Asker{scene{sni(name), kind("edge")}.asker()}
		Explain(askers, Hops{hop})
		if got := askers[0].Agreement(); got != want {
			t.Errorf("%q: %q; want %q", name, got, want)
		}
	}
	askers := []Asker{scene{unread, kind("edge")}.asker()}
	Explain(askers, Hops{hop})
	if got := askers[0].Agreement(); got != "" {
		t.Errorf("of a name that is not known, got %q", got)
	}
	hop.Otherwise = NotDeclared
	askers = []Asker{scene{sni("www.fabrikam.test"), kind("edge")}.asker()}
	Explain(askers, Hops{hop})
	if got := askers[0].Agreement(); got != "" {
		t.Errorf("nothing declared by default, got %q", got)
	}
}
