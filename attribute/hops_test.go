package attribute_test

import (
	"net/netip"
	"testing"

	"whoasked/attribute"
)

func ranges(t *testing.T, texts ...string) []attribute.Range {
	t.Helper()
	var out []attribute.Range
	for _, s := range texts {
		r, err := attribute.ParseRange(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestHopsName(t *testing.T) {
	leaf := [32]byte{7}
	hops := attribute.Hops{
		{Name: "net", Addresses: ranges(t, "198.18.0.0/24")},
		{Name: "edge", Addresses: ranges(t, "198.18.0.20")},
		{Name: "edge-admin", Addresses: ranges(t, "198.18.0.20:8443")},
		{Name: "edge-again", Addresses: ranges(t, "198.18.0.20")},
		{Name: "shop", Addresses: ranges(t, "198.18.1.30:443"), Hostnames: []attribute.Hostname{"shop.contoso.test"}},
		{Name: "api", Addresses: ranges(t, "198.18.1.30:443"), Hostnames: []attribute.Hostname{"*.contoso.test"}},
		{Name: "pinned", Addresses: ranges(t, "198.18.1.30:443"), Certificates: [][32]byte{leaf}},
		{Name: "six", Addresses: ranges(t, "[2001:db8::1]:443")},
		{Name: "anywhere", Hostnames: []attribute.Hostname{"*.fabrikam.test"}},
		{Name: "letter", Hostnames: []attribute.Hostname{"x.fabrikam.test"}},
		{Name: "deeper", Hostnames: []attribute.Hostname{"*.b.fabrikam.test"}},
		{Name: "exact", Hostnames: []attribute.Hostname{"www.fabrikam.test"}},
		{Name: "holder", Certificates: [][32]byte{{9}}},
	}
	for _, tc := range []struct {
		server, sni string
		leaf        *[32]byte
		want        string
	}{
		{server: "198.18.0.9:443", want: "net"},
		{server: "198.18.0.20:443", want: "edge"},
		{server: "198.18.0.20:8443", want: "edge-admin"},
		{server: "198.18.1.30:443", sni: "shop.contoso.test", want: "shop"},
		{server: "198.18.1.30:443", sni: "SHOP.contoso.test.", want: "shop"},
		{server: "198.18.1.30:443", sni: "v1.api.contoso.test", want: "api"},
		{server: "198.18.1.30:443", sni: "contoso.test", want: "shop"}, // no name fits: the first of the address
		{server: "198.18.1.30:443", sni: "shop.contoso.test", leaf: &leaf, want: "pinned"},
		{server: "198.18.1.30:444", sni: "shop.contoso.test", leaf: &leaf, want: ""}, // addresses decide
		{server: "[2001:db8::1]:443", want: "six"},
		{server: "127.0.0.1:443", sni: "www.fabrikam.test", want: "exact"},
		{server: "127.0.0.1:443", sni: "x.fabrikam.test", want: "letter"},
		{server: "127.0.0.1:443", sni: "a.b.fabrikam.test", want: "deeper"},
		{server: "127.0.0.1:443", sni: "a.c.fabrikam.test", want: "anywhere"},
		{server: "127.0.0.1:443", sni: "fabrikam.test", want: ""},
		{server: "127.0.0.1:443", sni: "notfabrikam.test", want: ""},
		{server: "127.0.0.1:443", sni: "www.fabrikam.test", leaf: &[32]byte{9}, want: "holder"},
		{server: "198.18.0.9:443", sni: "www.fabrikam.test", leaf: &[32]byte{9}, want: "net"},
		{server: "127.0.0.1:443", want: ""},
	} {
		if got := hops.Name(netip.MustParseAddrPort(tc.server), tc.sni, tc.leaf); got != tc.want {
			t.Errorf("%s %q, certificate %v: got %q, want %q", tc.server, tc.sni, tc.leaf != nil, got, tc.want)
		}
	}
}

func TestParseRange(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"198.18.0.1", "198.18.0.1"},
		{"198.18.0.1:443", "198.18.0.1:443"},
		{"198.18.0.77/24", "198.18.0.0/24"},
		{"198.18.0.77/24:443", "198.18.0.0/24:443"},
		{"2001:db8::1", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"[2001:db8::/32]:443", "[2001:db8::/32]:443"},
		{"::ffff:198.18.0.1", "198.18.0.1"},
	} {
		r, err := attribute.ParseRange(tc.in)
		if err != nil || r.String() != tc.want {
			t.Errorf("%s: got %v, %v, want %s", tc.in, r, err, tc.want)
		}
	}
	for _, in := range []string{
		"", "contoso.test", "198.18.0.1:", "198.18.0.1:0", "198.18.0.1:65536", "198.18.0.1:-1", "198.18.0.0/33",
		"[2001:db8::1", "[2001:db8::1]443", "[2001:db8::1]:", "fe80::1%eth0", "::ffff:198.18.0.0/120", "198.18.0.1:443:443",
	} {
		if r, err := attribute.ParseRange(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, r)
		}
	}
}
