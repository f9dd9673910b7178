package parse

import (
	"net/netip"
	"testing"
)

// TestCommunityID uses the TCP baseline of the specification, and for equal
// addresses values that follow from its ordering rule.
func TestCommunityID(t *testing.T) {
	for _, tt := range []struct {
		a, b         string
		seed0, seed1 string
	}{
		{"128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
		{"[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943", "[2607:f8b0:400c:c03::1a]:25",
			"1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=", "1:eJYTW6AOzFLlSUoESovMjnu7rMw="},
		{"1.2.3.4:1122", "5.6.7.8:3344", "1:wCb3OG7yAFWelaUydu0D+125CLM=", ""},
	} {
		a, b := netip.MustParseAddrPort(tt.a), netip.MustParseAddrPort(tt.b)
		for _, f := range []Flow{{Addrs: [2]netip.AddrPort{a, b}}, {Addrs: [2]netip.AddrPort{b, a}, Via: "vlan 12"}} {
			if got := f.CommunityID(0); got != tt.seed0 {
				t.Errorf("%v: %s, want %s", f, got, tt.seed0)
			}
			if got := f.CommunityID(1); tt.seed1 != "" && got != tt.seed1 {
				t.Errorf("%v, seed 1: %s, want %s", f, got, tt.seed1)
			}
		}
	}
	x, y := netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("127.0.0.1:40000")
	there, back := Flow{Addrs: [2]netip.AddrPort{x, y}}, Flow{Addrs: [2]netip.AddrPort{y, x}}
	if there.CommunityID(0) != back.CommunityID(0) {
		t.Error("the ports decide nothing where the addresses are equal")
	}
	v6 := netip.MustParseAddrPort("[::1]:80")
	for _, f := range []Flow{{}, {Addrs: [2]netip.AddrPort{x, {}}}, {Addrs: [2]netip.AddrPort{x, v6}}} {
		if got := f.CommunityID(0); got != "" {
			t.Errorf("%v: %s", f, got)
		}
	}
}
