package declared_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"whoasked/config"
	"whoasked/declared"
)

var update = flag.Bool("update", false, "write what comes out of the exports in testdata")

// told writes what was read of an export.
func told(e *declared.Export) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", e.Kind)
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "# note: %s: %s\n", n.Place, n.Text)
	}
	var hops []config.Import
	for _, h := range e.Hops {
		hops = append(hops, config.Import{Hop: h.Hop, From: h.From})
	}
	return b.String() + config.HopsFile(hops)
}

// TestExports reads the exports of testdata; see its README for their sources.
func TestExports(t *testing.T) {
	for _, c := range []struct{ name, machine string }{
		{"apim-internal-az.json", ""}, {"apim-list-arm.json", ""}, {"appgw-az.json", ""}, {"appgw-list-arm.json", ""},
		{"nginx.txt", ""}, {"nginx.txt", "198.18.0.20"}, {"haproxy.cfg", ""},
	} {
		var machine []netip.Addr
		golden := strings.TrimSuffix(c.name, filepath.Ext(c.name)) + ".yaml"
		if c.machine != "" {
			machine = append(machine, netip.MustParseAddr(c.machine))
			golden = strings.TrimSuffix(c.name, filepath.Ext(c.name)) + "-address.yaml"
		}
		data, err := os.ReadFile(filepath.Join("testdata", c.name))
		if err != nil {
			t.Fatal(err)
		}
		e, err := declared.Read(c.name, data, machine)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := told(e)
		if *update {
			if err := os.WriteFile(filepath.Join("testdata", golden), []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(filepath.Join("testdata", golden))
		if err != nil || got != string(want) {
			t.Errorf("%s differs from %s (%v); got:\n%s", c.name, golden, err, got)
		}
	}
}

// TestUnreadable are exports that are refused as a whole, or of which a note tells
// what is wrong.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"", "nothing in it"},
		{" \n", "nothing in it"},
		{"hello", "neither JSON"},
		{"{", "not whole JSON"},
		{`{"hostnameConfigurations": [`, "not whole JSON"},
		{`{"a": 1}`, "neither of API Management nor of Application Gateway"},
		{`[]`, "neither of API Management"},
		{strings.Repeat("[", 20000), "neither JSON"},
		{`{"hostnameConfigurations": []}`, "missing or empty"},
		{`{"hostnameConfigurations": {"hostName": 7}, "name": 5}`, "no name"},
		{`{"httpListeners": null, "type": "Microsoft.Network/applicationGateways"}`, "missing or empty"},
		{`{"httpListeners": [{"protocol": "Https"}]}`, "no frontendPort"},
		{"http { server { listen 443 ssl;", "a block is not closed"},
		{"http { } }", "a closing brace too many"},
		{"http { server_name \"a; }", "a quote is not closed"},
		{strings.Repeat("http { ", 100), "nested too deeply"},
		{"http { include /a; }", "includes \"/a\", which is not in the export"},
		{"# configuration file /a:\nhttp { include /a; include /a; }\n", "too long"},
		{"frontend a\n bind\n", "bind without an address"},
		{"frontend a\n bind :443 ssl crt x\n", "under no name"},
	} {
		e, err := declared.Read("x", []byte(c.data), nil)
		got := fmt.Sprint(err)
		if err == nil {
			got = told(e)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%.40q: %.300s; want %q", c.data, got, c.want)
		}
	}
	if _, err := declared.Read("x", make([]byte, declared.MaxBytes+1), nil); err == nil || !strings.Contains(err.Error(), "16 MiB") {
		t.Errorf("too long an export: %v", err)
	}
}

// FuzzRead: whatever is read gives a file of settings that reads back.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.*")
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil && filepath.Ext(name) != ".yaml" {
			f.Add(data)
		}
	}
	f.Add([]byte("http { server { listen [::1]:443 ssl; server_name .a.b *.c.d; } }"))
	f.Add([]byte("listen x\n mode tcp\n bind a:1,:::2\n server s 198.18.0.1:443 send-proxy\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := declared.Read("fuzzed", data, []netip.Addr{netip.MustParseAddr("198.18.0.20")})
		if err != nil {
			return
		}
		var hops []config.Import
		for _, h := range e.Hops {
			hops = append(hops, config.Import{Hop: h.Hop, From: h.From})
		}
		text := config.HopsFile(hops)
		again, _, err := config.MergeHops("fuzzed.yaml", []byte(text), hops)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if _, _, err := config.MergeHops("fuzzed.yaml", []byte(again), nil); err != nil {
			t.Fatalf("merged: %v in\n%s", err, again)
		}
	})
}
