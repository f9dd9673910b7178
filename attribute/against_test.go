package attribute

import (
	"net/netip"
	"strings"
	"testing"
)

// was makes what equal probes found.
func was(server, sni, version, alpn string, asked, not int, d Demand) *Probed {
	return &Probed{
		Server: netip.MustParseAddrPort(server), SNI: sni, Version: version, ALPN: alpn, Hello: "go",
		Sent: asked + not, Asked: asked, NotAsked: not, Demand: d,
	}
}

func TestCompare(t *testing.T) {
	const (
		a, b   = "198.18.0.20:443", "198.18.1.30:443"
		portal = "portal.contoso.test"
		o, no  = DemandOptional, DemandNone
	)
	type run = []*Probed
	for _, tt := range []struct {
		name                     string
		then, now                run
		compared, differ, untold int
		single                   int
		want                     []string // in each finding, in order
	}{
		{
			name: "nothing differs", then: run{was(a, portal, "TLS 1.2", "h2", 3, 0, o)}, now: run{was(a, portal, "TLS 1.2", "h2", 1, 0, o)}, compared: 1,
		}, {
			name:     "no longer asked, whatever was offered",
			then:     run{was(a, portal, "TLS 1.2", "h2", 3, 0, o), was(a, portal, "TLS 1.3", "h2", 3, 0, o)},
			now:      run{was(a, portal, "TLS 1.2", "h2", 0, 3, no), was(a, portal, "TLS 1.3", "h2", 0, 3, no)},
			compared: 2, differ: 2,
			want: []string{portal + " at " + a + ": asked in 6 of 6 (optional) then, asked in 0 of 6 now"},
		}, {
			name:     "only with one version",
			then:     run{was(a, portal, "TLS 1.2", "h2", 3, 0, o), was(a, portal, "TLS 1.3", "h2", 3, 0, o)},
			now:      run{was(a, portal, "TLS 1.2", "h2", 3, 0, o), was(a, portal, "TLS 1.3", "h2", 0, 3, no)},
			compared: 2, differ: 1,
			want: []string{"with TLS 1.3 h2: asked in 3 of 3 (optional) then, asked in 0 of 3 now; more connections"},
		}, {
			name: "from optional to required", then: run{was(a, portal, "TLS 1.2", "", 1, 0, o)}, now: run{was(a, portal, "TLS 1.2", "", 1, 0, DemandTLS)},
			compared: 1, differ: 1, want: []string{"asked in 1 of 1 (optional) then, asked in 1 of 1 (required-by-tls) now"},
		}, {
			name: "a demand that could not be told is no other", then: run{was(a, portal, "TLS 1.2", "", 1, 0, o)}, now: run{was(a, portal, "TLS 1.2", "", 1, 0, DemandUnknown)}, compared: 1,
		}, {
			name: "the share of a pool, by chance", then: run{was(a, portal, "TLS 1.2", "", 5, 15, o)}, now: run{was(a, portal, "TLS 1.2", "", 0, 3, no)}, compared: 1,
		}, {
			name: "the share of a pool, beyond chance", then: run{was(a, portal, "TLS 1.2", "", 10, 10, o)}, now: run{was(a, portal, "TLS 1.2", "", 0, 30, no)},
			compared: 1, differ: 1, want: []string{"asked in 10 of 20 then, asked in 0 of 30 now"},
		}, {
			name: "no answer any more", then: run{was(a, portal, "TLS 1.2", "", 1, 0, o)}, now: run{was(a, portal, "TLS 1.2", "", 0, 0, DemandUnknown)},
			untold: 1, want: []string{"asked in 1 of 1 (optional) then, not told now"},
		}, {
			name: "another name", then: run{was(a, portal, "TLS 1.2", "", 1, 0, o)}, now: run{was(a, "", "TLS 1.2", "", 1, 0, o)}, single: 2,
			want: []string{portal + " at " + a + ": asked in 1 of 1 (optional) then, not probed now", "no name at " + a + ": not probed then"},
		}, {
			name: "one address more", then: run{was(a, portal, "TLS 1.2", "", 1, 0, o)}, now: run{was(a, portal, "TLS 1.2", "", 1, 0, o), was(b, portal, "TLS 1.2", "", 0, 1, no)},
			compared: 1, single: 1, want: []string{b + ": not probed then, asked in 0 of 1 now"},
		}, {
			name: "another place, another address", then: run{was(a, portal, "TLS 1.2", "", 2, 0, o)}, now: run{was(b, portal, "TLS 1.2", "", 0, 2, no)},
			single: 2, want: []string{"leads to other addresses: to " + a + " then, asked in 2 of 2, and to " + b + " now, in 0 of 2"},
		}, {
			name: "a version that was not tried", then: run{was(a, portal, "TLS 1.2", "", 1, 0, o)}, now: run{was(a, portal, "TLS 1.2", "", 1, 0, o), was(a, portal, "TLS 1.3", "", 1, 0, o)},
			compared: 1, single: 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			then, now := NewRun(), NewRun()
			for _, p := range tt.then {
				then.Add(p)
				resumed := *p // tells nothing
				resumed.Resume, resumed.Asked, resumed.NotAsked = true, 0, 0
				then.Add(&resumed)
			}
			for _, p := range tt.now {
				now.Add(p)
			}
			c := Compare(then, now)
			if c.Compared != tt.compared || c.Differ != tt.differ || c.Untold != tt.untold || c.Single != tt.single || len(c.Findings) != len(tt.want) {
				t.Fatalf("%+v", c)
			}
			for i, want := range tt.want {
				if f := c.Findings[i]; !strings.Contains(f.Text, want) || f.Explains < 0 || f.Explains > 1 || f.Factor != "run" {
					t.Errorf("%+v, want %s", f, want)
				}
			}
		})
	}
}

// TestCompareBounded: findings beyond the bound are counted, and so are kinds.
func TestCompareBounded(t *testing.T) {
	then, now := NewRun(), NewRun()
	for i := range maxOffers + 3 {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), uint16(1+i>>16)).String()
		then.Add(was(addr, "portal.contoso.test", "TLS 1.2", "", 1, 0, DemandOptional))
		now.Add(was(addr, "portal.contoso.test", "TLS 1.2", "", 0, 1, DemandNone))
	}
	c := Compare(then, now)
	if c.Left != 6 || len(c.Findings) != maxDifferences || c.More != maxOffers-maxDifferences || c.Differ != maxOffers {
		t.Errorf("left %d, findings %d, more %d, differ %d", c.Left, len(c.Findings), c.More, c.Differ)
	}
}
