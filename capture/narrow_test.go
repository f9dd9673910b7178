package capture

import (
	"net/netip"
	"testing"
)

func TestNarrow(t *testing.T) {
	tuple := tupleOf(netip.MustParseAddrPort("198.18.0.1:50000"), netip.MustParseAddrPort("[2001:db8::1]:443"))
	net := netip.MustParsePrefix
	for _, c := range []struct {
		name string
		n    Narrow
		want bool
	}{
		{"all", Narrow{}, true},
		{"net of the source", Narrow{Nets: []netip.Prefix{net("198.18.0.0/24")}}, true},
		{"net of the destination", Narrow{Nets: []netip.Prefix{net("2001:db8::/32")}}, true},
		{"other net", Narrow{Nets: []netip.Prefix{net("198.18.1.0/24"), net("2001:db9::/32")}}, false},
		{"port", Narrow{Ports: []uint16{8443, 443}}, true},
		{"other port", Narrow{Ports: []uint16{8443}}, false},
		{"net and other port", Narrow{Nets: []netip.Prefix{net("198.18.0.0/24")}, Ports: []uint16{8443}}, false},
		{"not the net", Narrow{Not: []End{{Net: net("198.18.0.1/32")}}}, false},
		{"not the port", Narrow{Not: []End{{Port: 443}}}, false},
		{"not the end", Narrow{Not: []End{{Net: net("2001:db8::1/128"), Port: 443}}}, false},
		{"not that port there", Narrow{Not: []End{{Net: net("2001:db8::1/128"), Port: 50000}}}, true},
	} {
		if got := c.n.Keeps(&tuple); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if back := tuple.Reverse(); c.n.Keeps(&back) != c.want {
			t.Errorf("%s, the other direction: not %v", c.name, c.want)
		}
	}
}
