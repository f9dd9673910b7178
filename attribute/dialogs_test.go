package attribute

import (
	"net/netip"
	"testing"
	"time"
)

// TestDialogs: one dialog seen in front of and behind a hop that passes TLS
// through is one of the client in front, asked for by who is behind.
func TestDialogs(t *testing.T) {
	person, other, hop := netip.MustParseAddrPort("198.18.0.10:50000"), netip.MustParseAddrPort("198.18.0.11:50000"), netip.MustParseAddr("198.18.1.20")
	front, back := netip.MustParseAddrPort("198.18.0.20:443"), netip.MustParseAddrPort("198.18.1.30:443")
	path := func(client netip.AddrPort, outer, inner uint64, passes bool) Path {
		return Path{Client: client, Hops: []PathHop{{Connection: outer, Server: front, Passes: passes}, {Connection: inner, Server: back}}}
	}
	prompt := func(by netip.AddrPort, client netip.Addr, ids ...uint64) Prompt {
		return Prompt{AskedBy: by, SNI: "a.contoso.test", Client: client, Opened: time.Unix(0, 0), Outcome: OutcomeCancelled, Connections: ids}
	}
	opened := prompt(back, hop, 11, 12)
	opened.Outcome = OutcomeOpen
	doubtful := path(person, 1, 11, true)
	doubtful.Doubt = "which is nearer cannot be told"
	for _, c := range []struct {
		name     string
		paths    []Path
		prompts  []Prompt
		want     []netip.Addr // clients of what is told
		inFront  int          // dialogs that remain the front's
		fromBack bool
	}{
		{"both seen", []Path{path(person, 1, 11, true), path(person, 2, 12, true)},
			[]Prompt{prompt(front, person.Addr(), 1, 2), prompt(back, hop, 11, 12)}, []netip.Addr{person.Addr()}, 0, true},
		{"front only", nil, []Prompt{prompt(front, person.Addr(), 1, 2)}, []netip.Addr{person.Addr()}, 1, false},
		{"back only", nil, []Prompt{prompt(back, hop, 11, 12)}, []netip.Addr{hop}, 1, true},
		{"one leg not joined", []Path{path(person, 1, 11, true)},
			[]Prompt{prompt(front, person.Addr(), 1, 2), prompt(back, hop, 11, 12)}, []netip.Addr{person.Addr(), hop}, 1, false},
		{"two persons behind one address", []Path{path(person, 1, 11, true), path(other, 2, 12, true)},
			[]Prompt{prompt(front, person.Addr(), 1), prompt(front, other.Addr(), 2), prompt(back, hop, 11, 12)},
			[]netip.Addr{person.Addr(), other.Addr()}, 0, true},
		{"two persons, and one more that was captured behind alone", []Path{path(person, 1, 11, true), path(other, 2, 12, true)},
			[]Prompt{prompt(front, person.Addr(), 1), prompt(front, other.Addr(), 2), prompt(back, hop, 11, 12, 13)},
			[]netip.Addr{person.Addr(), other.Addr(), hop}, 1, false},
		{"a part of what one person saw", []Path{path(person, 1, 11, true), path(person, 2, 12, true)},
			[]Prompt{prompt(front, person.Addr(), 1, 2), prompt(back, hop, 12)}, []netip.Addr{person.Addr()}, 0, true},
		{"the hop ends TLS", []Path{path(person, 1, 11, false), path(person, 2, 12, false)},
			[]Prompt{prompt(front, person.Addr(), 1, 2), prompt(back, hop, 11, 12)}, []netip.Addr{person.Addr(), hop}, 1, false},
		{"ended otherwise", []Path{path(person, 1, 11, true), path(person, 2, 12, true)},
			[]Prompt{prompt(front, person.Addr(), 1, 2), opened}, []netip.Addr{person.Addr(), person.Addr()}, 1, false},
		{"doubtful", []Path{doubtful}, []Prompt{prompt(front, person.Addr(), 1), prompt(back, hop, 11)}, []netip.Addr{person.Addr(), hop}, 1, false},
	} {
		askers := []Asker{{Addr: front, SNI: "a.contoso.test", Prompts: 1}}
		got := (&Joined{Paths: c.paths}).Dialogs(c.prompts, askers)
		if len(got) != len(c.want) {
			t.Errorf("%s: %d dialogs, want %d: %+v", c.name, len(got), len(c.want), got)
			continue
		}
		for i := range got {
			if got[i].Client != c.want[i] {
				t.Errorf("%s: dialog %d is of %v, want %v", c.name, i, got[i].Client, c.want[i])
			}
		}
		if c.fromBack && got[0].AskedBy != back || askers[0].Prompts != c.inFront {
			t.Errorf("%s: asked by %v, %d left in front", c.name, got[0].AskedBy, askers[0].Prompts)
		}
	}
}
