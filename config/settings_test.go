package config_test

import (
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"whoasked/attribute"
	"whoasked/config"
)

func TestEverySettingIsComplete(t *testing.T) {
	flags := pflag.NewFlagSet("whoasked", pflag.ContinueOnError)
	config.AddFlags(flags, config.Groups()...)
	l, err := load(t, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var listing strings.Builder
	if err := l.Write(&listing); err != nil {
		t.Fatal(err)
	}
	all := config.All()
	if len(all) == 0 || len(l.Settings) != len(all) {
		t.Fatalf("%d settings described, %d loaded", len(all), len(l.Settings))
	}
	for _, s := range all {
		if f := flags.Lookup(s.Flag); f == nil || f.Usage == "" {
			t.Errorf("%s has no flag, or it has no help", s.Key)
		}
		if !strings.HasPrefix(s.Env, "WHOASKED_") || s.Env != strings.ToUpper(s.Env) || s.Help == "" {
			t.Errorf("%s: environment %q, help %q", s.Key, s.Env, s.Help)
		}
		name := s.Key[strings.LastIndexByte(s.Key, '.')+1:]
		if !strings.Contains(listing.String(), name+":") {
			t.Errorf("%s is not listed", s.Key)
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		key := strings.ToLower(field.Name)
		found := false
		for _, s := range all {
			group, _, _ := strings.Cut(s.Key, ".")
			found = found || strings.ReplaceAll(group, "-", "") == key
		}
		if !found {
			t.Errorf("no row of the table fills Config.%s", field.Name)
		}
	}
}

const sample = `
format: json
output: "a: b"
sni: ["*.contoso.test"]
client: 198.18.0.0/24
server: ["[2001:db8::1]:443", 198.18.0.20:443]
quiet: yes
limits:
  flows: 1000
  flow-bytes: 64KiB
  idle: 1h
log: {level: warn}
watch:
  interfaces: [eth0, eth1]
  ring: 64MiB
  host: [198.18.0.20, 2001:db8::1]
  net: 198.18.1.0/24
  port: [443, 8443]
  not: ["[2001:db8::2]:443"]
  collapse: 0s
hops:
  - name: Front Door
    kind: appgw
    addresses: [198.18.0.20, 198.18.2.0/24:8443, "[2001:db8::1]:443"]
    hostnames: [WWW.contoso.test, "*.fabrikam.test"]
    certificates: ["AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89"]
  - name: apim
    addresses: 198.18.1.30
relay:
  listen: [127.0.0.1:8443, "[::1]:3128"]
  to: ["www.contoso.test:443", connect]
  targets: [198.18.0.0/24:443, "*.contoso.test", "www.fabrikam.test:443", "[2001:db8::1]:443"]
  resolver: 198.18.0.53
`

// TestListingReadsBack holds "whoasked config" to its promise of being a file.
func TestListingReadsBack(t *testing.T) {
	for _, file := range []string{"", sample} {
		first, err := load(t, file, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var listing strings.Builder
		if err := first.Write(&listing); err != nil {
			t.Fatal(err)
		}
		second, err := load(t, listing.String(), nil, nil)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, listing.String())
		}
		if !reflect.DeepEqual(first.Config, second.Config) {
			t.Errorf("got %+v\nwant %+v\nfrom:\n%s", second.Config, first.Config, listing.String())
		}
	}
}

func TestHops(t *testing.T) {
	digest := [32]byte{0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89}
	for i := range 24 {
		digest[8+i] = digest[i]
	}
	l, err := load(t, sample, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	single := netip.MustParsePrefix("198.18.0.20/32")
	want := attribute.Hops{
		{
			Name: "Front Door", Kind: "appgw",
			Addresses: []attribute.Range{
				{Prefix: single},
				{Prefix: netip.MustParsePrefix("198.18.2.0/24"), Port: 8443},
				{Prefix: netip.MustParsePrefix("2001:db8::1/128"), Port: 443},
			},
			Hostnames:    []attribute.Hostname{"www.contoso.test", "*.fabrikam.test"},
			Certificates: [][32]byte{digest},
		},
		{Name: "apim", Addresses: []attribute.Range{{Prefix: netip.MustParsePrefix("198.18.1.30/32")}}},
	}
	if !reflect.DeepEqual(l.Hops, want) {
		t.Errorf("got %+v\nwant %+v", l.Hops, want)
	}

	l, err = load(t, sample, []string{"WHOASKED_HOPS=edge=198.18.0.20, edge=www.contoso.test,gw=" + strings.Repeat("0", 64)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want = attribute.Hops{
		{Name: "edge", Addresses: []attribute.Range{{Prefix: single}}, Hostnames: []attribute.Hostname{"www.contoso.test"}},
		{Name: "gw", Certificates: [][32]byte{{}}},
	}
	if !reflect.DeepEqual(l.Hops, want) {
		t.Errorf("short form: got %+v\nwant %+v", l.Hops, want)
	}
}

func TestMissingFileOnceWrittenIsFound(t *testing.T) {
	if _, err := load(t, "", []string{"WHOASKED_CONFIG=mine.yaml"}, nil); err == nil {
		t.Fatal("no error for a file that does not exist")
	}
	if err := os.WriteFile("mine.yaml", []byte("only: unknown"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := config.Load(nil)
	if err != nil || l.Only != "unknown" || l.File != "mine.yaml" {
		t.Errorf("got %+v, %v", l, err)
	}
}
