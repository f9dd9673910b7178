package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "whoasked"

// arrows says what each package of the module may import directly: packages of
// the module and of others. The standard library is free but for what closed
// lists.
var arrows = map[string]struct {
	own, foreign []string
	closed       []string
}{
	"parse": {
		foreign: []string{"golang.org/x/crypto"},
		closed:  []string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "crypto/tls", "log", "sync", "context"},
	},
	"attribute":    {own: []string{"parse"}, closed: []string{"net", "os", "crypto/tls", "log"}},
	"capture":      {own: []string{"parse"}, foreign: []string{"github.com/google/gopacket"}, closed: []string{"os", "crypto/tls"}},
	"capture/file": {own: []string{"parse", "capture"}, foreign: []string{"github.com/klauspost/compress"}},
	"capture/relay": {
		own:     []string{"parse", "capture", "capture/relay/inspect"},
		foreign: []string{"golang.org/x/sys/unix", "github.com/miekg/dns"},
		closed:  []string{"log"},
	},
	"capture/relay/inspect": {own: []string{"parse"}, closed: []string{"log"}},
	"capture/probe": {
		own:     []string{"parse"},
		foreign: []string{"github.com/refraction-networking/utls", "golang.org/x/net", "software.sslmate.com/src/go-pkcs12"},
	},
	"capture/trace":   {foreign: []string{"golang.org/x/sys"}, closed: []string{"crypto/tls", "log"}},
	"capture/live":    {own: []string{"parse", "capture"}, foreign: []string{"github.com/cilium/ebpf", "golang.org/x/net", "golang.org/x/sys"}},
	"report":          {own: []string{"parse", "attribute", "capture"}, foreign: []string{"github.com/rs/zerolog"}, closed: []string{"os", "net/http"}},
	"report/evidence": {own: []string{"parse", "capture"}, closed: []string{"net", "crypto/tls", "log"}},
	"service": {foreign: []string{
		"github.com/coreos/go-systemd", "github.com/elastic/go-seccomp-bpf", "github.com/landlock-lsm/go-landlock", "golang.org/x/sys",
	}},
	"service/metrics": {foreign: []string{"github.com/prometheus/client_golang", "golang.org/x/net"}},
	"config":          {own: []string{"attribute"}, foreign: []string{"github.com/spf13/viper", "github.com/spf13/pflag", "go.yaml.in/yaml/v3"}},
	"declared":        {own: []string{"attribute"}, closed: []string{"net", "net/http", "os", "os/exec", "crypto/tls", "log", "sync", "context"}},
	"offer": {
		own: []string{"parse", "attribute"}, foreign: []string{"software.sslmate.com/src/go-pkcs12"},
		closed: []string{"net", "os", "crypto/tls", "log", "sync", "context"},
	},
	"cmd/whoasked": {
		own: []string{"parse", "attribute", "offer", "capture", "capture/file", "capture/live", "capture/probe", "capture/relay", "capture/relay/inspect", "capture/trace", "report", "report/evidence", "service", "service/metrics", "config", "declared"},
		foreign: []string{
			"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/rs/zerolog",
			"golang.org/x/term", "github.com/DeRuina/timberjack",
		},
	},
}

// goFile is a parsed source file of the module.
type goFile struct {
	dir, name string
	*ast.File
}

func (f goFile) test() bool { return strings.HasSuffix(f.name, "_test.go") }

func goFiles(t *testing.T) []goFile {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []goFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || name != root && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(name))
		out = append(out, goFile{filepath.ToSlash(dir), d.Name(), f})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (f goFile) imports() []string {
	var out []string
	for _, spec := range f.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		out = append(out, name)
	}
	return out
}

// TestLayering holds the arrows of CONTRIBUTING.md.
func TestLayering(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range goFiles(t) {
		lab := f.dir == "lab" || strings.HasPrefix(f.dir, "lab/")
		if f.test() || lab {
			continue // tests may use anything, and lab is for tests
		}
		seen[f.dir] = true
		rule, known := arrows[f.dir]
		if !known {
			t.Errorf("%s is in no row: say what it may import", f.dir)
			continue
		}
		for _, name := range f.imports() {
			if !allowed(name, rule.own, rule.foreign, rule.closed) {
				t.Errorf("%s/%s imports %s", f.dir, f.name, name)
			}
		}
	}
	for dir := range arrows {
		if !seen[dir] {
			t.Errorf("nothing was found in %s", dir)
		}
	}
}

func allowed(name string, own, foreign, closed []string) bool {
	if rest, ok := strings.CutPrefix(name, module+"/"); ok {
		return slices.Contains(own, rest)
	}
	if strings.Contains(strings.SplitN(name, "/", 2)[0], ".") {
		return slices.ContainsFunc(foreign, func(f string) bool { return name == f || strings.HasPrefix(name, f+"/") })
	}
	return !slices.Contains(closed, name)
}

// TestAllowed shows that the rule can say no.
func TestAllowed(t *testing.T) {
	r := arrows["parse"]
	for name, want := range map[string]bool{
		"net/netip": true, "golang.org/x/crypto/cryptobyte": true, "golang.org/x/crypto": true, "time": true,
		"net": false, "crypto/tls": false, "github.com/spf13/viper": false, "golang.org/x/cryptography": false,
		path.Join(module, "capture"): false,
	} {
		if got := allowed(name, r.own, r.foreign, r.closed); got != want {
			t.Errorf("parse importing %s: %v, want %v", name, got, want)
		}
	}
}

// TestNoInit: what runs before main cannot be followed by reading main.
func TestNoInit(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s/%s has an init function", f.dir, f.name)
			}
		}
	}
}
