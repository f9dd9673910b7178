package declared_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

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
		{"nginx.txt", ""}, {"nginx.txt", "198.18.0.20"}, {"nginx-sockets.txt", "198.18.0.20 2001:db8::20"}, {"haproxy.cfg", ""},
	} {
		var machine []netip.Addr
		golden := strings.TrimSuffix(c.name, filepath.Ext(c.name)) + ".yaml"
		for _, a := range strings.Fields(c.machine) {
			machine = append(machine, netip.MustParseAddr(a))
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

// TestEncodings: Windows PowerShell writes UTF-16, other programs a byte order mark.
func TestEncodings(t *testing.T) {
	data, err := os.ReadFile("testdata/apim-internal-az.json")
	if err != nil {
		t.Fatal(err)
	}
	wide := func(order binary.AppendByteOrder) []byte {
		var out []byte
		for _, u := range utf16.Encode([]rune("\ufeff" + string(data))) {
			out = order.AppendUint16(out, u)
		}
		return out
	}
	want, err := declared.Read("x", data, nil)
	if err != nil || len(want.Hops) == 0 {
		t.Fatal(err, want)
	}
	for name, data := range map[string][]byte{
		"UTF-8 with a mark": append([]byte("\xef\xbb\xbf"), data...),
		"UTF-16LE":          wide(binary.LittleEndian), "UTF-16BE": wide(binary.BigEndian),
	} {
		if got, err := declared.Read("x", data, nil); err != nil || told(got) != told(want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestWrongTypes puts a value of another type into each place of the exports in JSON:
// what then comes out differently is told in a note, and nothing is cut off in silence.
func TestWrongTypes(t *testing.T) {
	for _, name := range []string{"apim-internal-az.json", "apim-list-arm.json", "appgw-az.json", "appgw-list-arm.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := declared.Read(name, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(bytes.TrimSpace(data)) {
			if e, err := declared.Read(name, data[:n], nil); err == nil {
				t.Fatalf("%s, cut at %d, is read: %s", name, n, told(e))
			}
		}
		var root any
		if err := json.Unmarshal(data, &root); err != nil {
			t.Fatal(err)
		}
		each(root, func(place string, value any, put func(any)) {
			for _, other := range []any{7.5, "", true, []any{}, map[string]any{}} {
				if reflect.TypeOf(other) == reflect.TypeOf(value) {
					continue
				}
				put(other)
				changed, _ := json.Marshal(root)
				put(value)
				e, err := declared.Read(name, changed, nil)
				if err == nil && !reflect.DeepEqual(e.Hops, whole.Hops) && reflect.DeepEqual(e.Notes, whole.Notes) {
					t.Errorf("%s: %v in the place of %s %v is not told of:\n%s", name, other, place, value, told(e))
				}
			}
		})
	}
}

// each calls f for every value in a document, with what puts another in its place.
func each(v any, f func(place string, value any, put func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			f(key, inner, func(other any) { v[key] = other })
			each(inner, f)
		}
	case []any:
		for i, inner := range v {
			f(fmt.Sprint(i), inner, func(other any) { v[i] = other })
			each(inner, f)
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
		{"\xff\xfe{", "nothing in it"},
		{"\xff\xfeh\x00i\x00", "neither JSON"},
		{"global\n.if defined(X)\nfrontend a\n bind 198.18.0.20:443 ssl crt x\n.endif\n", ":2: conditional: what stands under it is read as if it held"},
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
