package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata, or rewrites it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./report -update writes it)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; got:\n%s", path, got)
	}
}

func TestText(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			if s.text.Rows == 0 {
				s.text.Rows = 12
			}
			var out bytes.Buffer
			if err := s.play(NewText(&out, s.text)); err != nil {
				t.Fatal(err)
			}
			safe(t, out.String(), s.text.Color)
			golden(t, "text/"+s.name+".txt", out.Bytes())
		})
	}
}

func TestJSON(t *testing.T) {
	schema := compileSchema(t)
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := s.play(NewJSON(&out)); err != nil {
				t.Fatal(err)
			}
			safe(t, out.String(), false)
			schema.validate(t, out.Bytes())
			if len(s.conns) < 100 {
				golden(t, "json/"+s.name+".jsonl", out.Bytes())
			}
		})
	}
}

func TestLog(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scene string
		o     LogOptions
	}{
		{"several.jsonl", "several", LogOptions{}},
		{"confirmed.jsonl", "confirmed", LogOptions{}},
		{"unknown.jsonl", "unknown", LogOptions{}},
		{"cancelled.jsonl", "cancelled", LogOptions{}},
		{"cancelled-warn.jsonl", "cancelled", LogOptions{Level: zerolog.WarnLevel}},
		{"cancelled.txt", "cancelled", LogOptions{Console: true}},
		{"hostile.jsonl", "hostile", LogOptions{}},
		{"hostile.txt", "hostile", LogOptions{Console: true}},
		{"renegotiation-color.txt", "renegotiation", LogOptions{Console: true, Color: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := sceneNamed(t, tt.scene).play(NewLog(&out, tt.o)); err != nil {
				t.Fatal(err)
			}
			safe(t, out.String(), tt.o.Color)
			golden(t, "log/"+tt.name, out.Bytes())
		})
	}
}

func sceneNamed(t testing.TB, name string) scene {
	t.Helper()
	for _, s := range scenes() {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("no scene %q", name)
	return scene{}
}

// safe fails if output could steer a terminal: only line breaks, and the SGR
// sequences of our own where colours are on, may be there.
func safe(t *testing.T, out string, color bool) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Error("not UTF-8")
	}
	if color {
		for _, code := range []string{"0", "1", "1;33", "33", "2", "32", "31", "36", "90"} {
			out = strings.ReplaceAll(out, "\x1b["+code+"m", "")
		}
	}
	for i, r := range out {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("control character %U at byte %d: %.60q", r, i, out[max(i-20, 0):])
		}
	}
}
