package attribute

import (
	"net/netip"
	"testing"
)

// TestPlace: who asked is told to be at an address only where something shows
// that it ends TLS.
func TestPlace(t *testing.T) {
	outer := legSpec{capture: "a", client: legPerson, server: legEdge, sni: legPortal, random: 1, answer: 2, length: 1000 * ms, delay: 20 * ms, asked: Yes, up: 500, down: 9000}
	passed := legSpec{capture: "a", client: legEdgeOut, server: legGate, sni: legPortal, random: 1, answer: 2, start: ms, length: 1000 * ms, delay: 15 * ms, asked: Yes, up: 500, down: 9000, hop: "gate"}
	own := passed
	own.random, own.answer, own.asked = 3, 4, No
	gate := func(f func(*Hop)) Hops {
		h := Hop{Name: "gate", Addresses: []Range{{Prefix: netip.MustParsePrefix("198.18.1.30/32")}}}
		f(&h)
		return Hops{h}
	}
	kind := func(k string) Hops { return gate(func(h *Hop) { h.Kind = k }) }
	declared := func(d Declared) Hops { return gate(func(h *Hop) { h.Declared = d }) }
	for _, tt := range []struct {
		name  string
		legs  []legSpec
		hops  Hops
		place Place
		chain string // of its last two hops
		conf  string
	}{
		{"nothing known", []legSpec{outer, passed}, nil, AtOrBehind, " (passes through) → gate (ASKED, or behind it)", "likely"},
		{"of a kind that ends TLS", []legSpec{outer, passed}, kind("apim"), At, " (passes through) → gate (ASKED)", "certain"},
		{"of a kind that may pass it through", []legSpec{outer, passed}, kind("appgw"), AtOrBehind, " (passes through) → gate (ASKED, or behind it)", "likely"},
		{"declared to ask", []legSpec{outer, passed}, declared(DeclaredOptional), At, " (passes through) → gate (ASKED)", "certain"},
		{"declared not to ask", []legSpec{outer, passed}, declared(DeclaredOff), AtOrBehind, " (passes through) → gate (ASKED, or behind it)", "likely"},
		{"declared to ask under another name", []legSpec{outer, passed}, gate(func(h *Hop) {
			h.ByName = []NameDeclared{{Name: "api.contoso.test", Declared: DeclaredRequired}}
		}), AtOrBehind, " (passes through) → gate (ASKED, or behind it)", "likely"},
		{"declared to pass through", []legSpec{outer, passed}, declared(DeclaredPassthrough), Behind, " (passes through) → gate (declared to pass through; ASKED behind it)", "certain"},
		{"opened the next leg itself", []legSpec{outer, own}, nil, At, " (ASKED) → gate (did not ask)", "likely"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l Legs
			l.Configured = tt.hops
			for i, s := range tt.legs {
				l.Add(s.connection(uint64(i + 1)))
			}
			j := l.Join()
			if len(j.Paths) != 1 {
				t.Fatalf("ways %+v", j.Paths)
			}
			p := &j.Paths[0]
			if got := p.Chain(); got != "198.18.0.10 → 198.18.0.20:443"+tt.chain {
				t.Errorf("way %q", got)
			}
			if p.Place != tt.place || p.Confidence != tt.conf || (p.PlaceBecause == "") != (tt.place == AtOrBehind) {
				t.Errorf("place %v because %q, confidence %s; want %v, %s", p.Place, p.PlaceBecause, p.Confidence, tt.place, tt.conf)
			}
			askers := []Asker{{Addr: p.Asker, Hop: p.AskerName, SNI: legPortal, Asked: 1, Full: 1}}
			j.Mark(askers)
			Explain(askers, tt.hops)
			if a := askers[0]; a.Place != tt.place || (a.PlaceBecause == "") != (tt.place == AtOrBehind) || !a.Several {
				t.Errorf("asker: place %v because %q, several %v; want %v", a.Place, a.PlaceBecause, a.Several, tt.place)
			}
		})
	}
}

// TestPlaceAlone: of one capture with nothing configured, the address is told
// without a word about what may stand behind it.
func TestPlaceAlone(t *testing.T) {
	alone := legSpec{capture: "a", client: legPerson, server: legEdge, sni: legPortal, random: 1, answer: 2, asked: Yes}
	for _, tt := range []struct {
		hops    Hops
		several bool
	}{{nil, false}, {Hops{{Name: "a"}}, false}, {Hops{{Name: "a"}, {Name: "b"}}, true}} {
		askers := []Asker{{Addr: netip.MustParseAddrPort(legEdge), SNI: legPortal, Asked: 1, Full: 1}}
		joinSpecs([]legSpec{alone}).Mark(askers)
		Explain(askers, tt.hops)
		if a := askers[0]; a.Several != tt.several || a.Place != AtOrBehind {
			t.Errorf("%d hops: place %v, several %v", len(tt.hops), a.Place, a.Several)
		}
	}
}
