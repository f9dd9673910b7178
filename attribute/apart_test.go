package attribute

import (
	"strings"
	"testing"
	"time"
)

// TestApart: captures under the same names of which nothing was joined are told,
// with the reason; those that have anything in common are not.
func TestApart(t *testing.T) {
	outer := legSpec{capture: "a", client: legPerson, server: legEdge, sni: legPortal, random: 1, answer: 2, length: time.Second, delay: 20 * ms, asked: No, up: 500, down: 9000}
	inner := legSpec{capture: "b", client: legEdgeOut, server: legGate, sni: legPortal, random: 3, answer: 4, start: ms, length: time.Second, delay: 15 * ms, asked: Yes, up: 500, down: 9000}
	with := func(s legSpec, f func(*legSpec)) legSpec { f(&s); return s }
	for _, tt := range []struct {
		name string
		legs []legSpec
		want string // in the reason; empty for no pair
	}{
		{"joined", []legSpec{outer, inner}, ""},
		{"passed through", []legSpec{outer, with(inner, func(s *legSpec) { s.random, s.answer, s.client = 1, 2, "198.18.1.20:41000" })}, ""},
		{"the same connection", []legSpec{outer, with(outer, func(s *legSpec) { s.capture = "b" })}, ""},
		{"one capture", []legSpec{outer, with(inner, func(s *legSpec) { s.capture, s.client = "a", "198.18.1.20:41000" })}, ""},
		{"other names", []legSpec{outer, with(inner, func(s *legSpec) { s.sni, s.client = "api.contoso.test", "198.18.1.20:41000" })}, ""},
		{"before the same hop", []legSpec{outer, with(outer, func(s *legSpec) { s.capture, s.random, s.answer = "b", 8, 9 })}, ""},
		{"another address", []legSpec{outer, with(inner, func(s *legSpec) { s.client = "198.18.1.20:41000" })}, "no server of the one is a client"},
		{"other volumes", []legSpec{outer, with(inner, func(s *legSpec) { s.down = 90000 })}, "none fits another"},
		{"several fit", []legSpec{
			outer, with(outer, func(s *legSpec) { s.client, s.random, s.answer = "198.18.0.11:50000", 8, 9 }), inner,
		}, "several others equally well"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := joinSpecs(tt.legs).Apart
			if tt.want == "" {
				if len(got) > 0 {
					t.Errorf("%+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Sessions != 1 || got[0].Captures != [2]string{"a", "b"} || !strings.Contains(got[0].Reason, tt.want) || got[0].Hint == "" {
				t.Errorf("%+v, want one with %q", got, tt.want)
			}
		})
	}
}
