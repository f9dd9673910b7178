package config

import (
	"net/netip"
	"strings"
	"testing"

	"whoasked/attribute"
)

func imported(name string, addr string, d attribute.Declared, names ...attribute.Hostname) Import {
	in := Import{Hop: attribute.Hop{Name: name, Kind: "apim", Hostnames: names, Declared: d}, From: []string{"apim.json: of " + name}}
	if addr != "" {
		in.Addresses = []attribute.Range{{Prefix: netip.MustParsePrefix(addr + "/32"), Port: 443}}
	}
	return in
}

// TestMergeHops puts imports into files of settings.
func TestMergeHops(t *testing.T) {
	const file = `# mine
rows: 7
hops:
  # the one in front
  - name: gateway # a name of ours
    addresses: [198.18.0.20, 198.18.0.0/24]
    certificates: ["` + "aa" + `"]
    declared: required
  - name: other
    hostnames: [www.contoso.test]
`
	old := strings.Replace(file, `["aa"]`, `["`+strings.Repeat("ab", 32)+`"]`, 1)
	for _, c := range []struct {
		name string
		in   []Import
		want []string
		not  string
	}{
		{"by its address, under the name it has", []Import{imported("contoso", "198.18.0.20", attribute.DeclaredOff, "api.contoso.test")},
			[]string{"# mine\nrows: 7\n", "# the one in front\n  - name: gateway # a name of ours\n    addresses: [198.18.0.20, 198.18.0.0/24]\n",
				strings.Repeat("ab", 32), "hostnames: [\"api.contoso.test\"]", "# apim.json: of contoso\n    declared: \"off\"", "kind: apim"}, "contoso\n"},
		{"by its name", []Import{imported("other", "198.18.0.9", attribute.DeclaredOff)},
			[]string{"name: other\n    hostnames: [www.contoso.test]\n", "addresses: [\"198.18.0.9:443\"]"}, "other-2"},
		{"by a host name", []Import{imported("contoso", "", attribute.DeclaredOff, "www.contoso.test")},
			[]string{"name: other\n    hostnames: [www.contoso.test]", "declared: \"off\""}, "contoso\n"},
		{"new", []Import{imported("contoso", "198.18.9.9", attribute.DeclaredOff)},
			[]string{"declared: required", "# apim.json: of contoso\n  - name: contoso\n    kind: apim\n    addresses: [\"198.18.9.9:443\"]\n    declared: \"off\""}, ""},
		{"two at one address", []Import{imported("a", "198.18.0.20", attribute.DeclaredOff), imported("gateway", "198.18.0.20", attribute.DeclaredOptional)},
			[]string{"name: gateway # a name of ours", "name: \"gateway-2\""}, ""},
	} {
		got, changes, err := MergeHops("whoasked.yaml", []byte(old), c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is not in\n%s%q", c.name, w, got, changes)
			}
		}
		if c.not != "" && strings.Contains(got, "name: "+c.not) {
			t.Errorf("%s: %q is in\n%s", c.name, c.not, got)
		}
		if len(c.in) > 1 {
			continue // which is which is told by the order
		}
		again, changes, err := MergeHops("whoasked.yaml", []byte(got), c.in)
		if err != nil || again != got || !strings.HasPrefix(changes[0], "unchanged") {
			t.Errorf("%s: a second time: %v %q\n%s", c.name, err, changes, again)
		}
	}
	for _, bad := range []string{"hops: {a: b}", "- a", "hops: [", "hops: [{name: x}]", "hops: [a=198.18.0.1]"} {
		if out, _, err := MergeHops("whoasked.yaml", []byte(bad), nil); err == nil {
			t.Errorf("%q was taken: %s", bad, out)
		}
	}
	for _, empty := range []string{"", "# nothing\n", "hops:\n", "hops: []\n", "rows: 3\n"} {
		got, _, err := MergeHops("whoasked.yaml", []byte(empty), []Import{imported("contoso", "198.18.9.9", attribute.DeclaredOff)})
		if err != nil || !strings.Contains(got, "- name: contoso\n") {
			t.Errorf("%q: %v\n%s", empty, err, got)
		}
	}
}

// TestDeclare: names that an import is silent about keep what the file has.
func TestDeclare(t *testing.T) {
	old := attribute.Hop{
		Hostnames: []attribute.Hostname{"a.test", "b.test"},
		ByName:    []attribute.NameDeclared{{Name: "a.test", Declared: attribute.DeclaredRequired}, {Name: "b.test", Declared: attribute.DeclaredOff}},
		Otherwise: attribute.DeclaredOptional,
	}
	in := imported("x", "", attribute.DeclaredOff, "a.test").Hop
	declare(&old, &in)
	var b strings.Builder
	writeDeclared(&b, &old)
	if got, want := b.String(), "    declared:\n      \"a.test\": \"off\"\n      \"b.test\": \"off\"\n      default: optional\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
