package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// awkward strings, as a capture may hold them.
var awkward = []string{
	"", "plain", `quote " and \ backslash`, "tab\tand\nline\r", "\x00\x1b[2J\x7f", "caf\u00e9 \u4e16\u754c", "\u202eright to left",
	"\u009b31m", "bad \xff\xfe utf8", "cut \xe4\xb8", "\U0001f600 \U000e0001", "\ufffd itself", "\ue000 private",
}

// FuzzEscape: a line means what encoding/json made of it, and nothing in it is
// unprintable.
func FuzzEscape(f *testing.F) {
	for _, s := range awkward {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var out bytes.Buffer
		w := NewJSON(&out)
		if err := errors.Join(w.Note(capture.Note{Text: s}), w.Close()); err != nil {
			t.Fatal(err)
		}
		checkPrintable(t, strings.TrimSuffix(out.String(), "\n"))
		var back noteLine
		if err := json.Unmarshal(out.Bytes(), &back); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
		if want := string([]rune(s)); back.Text != want {
			t.Errorf("%q comes back as %q", want, back.Text)
		}
	})
}

func FuzzTidy(f *testing.F) {
	for _, s := range awkward {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := tidy(s)
		checkPrintable(t, got)
		if n := len([]rune(got)); n > maxText {
			t.Errorf("%d runes", n)
		}
	})
}

func checkPrintable(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		if !unicode.IsPrint(r) {
			t.Fatalf("%U in %q", r, s)
		}
	}
}

func TestPrintable(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain", "plain"},
		{"a\x1b[2Jb", `a\x1b[2Jb`},
		{"caf\u00e9", "caf\u00e9"},
		{"\xff", `\xff`},
		{"\u202e", `\u202e`},
		{"\U000e0001", `\U000e0001`},
		{"\u009b", `\u009b`},
	} {
		if got := printable(tt.in); got != tt.want {
			t.Errorf("printable(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"host", 4, "host"}, {"hosts", 4, "h..."}, {"m\u00fcnchen", 6, "m\u00fcn..."}, {"hosts", 2, ".."}, {"hosts", 0, ""},
	} {
		if got := clip(tt.in, tt.n); got != tt.want {
			t.Errorf("clip(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		in    string
		width int
		want  string
	}{
		{"", 40, ""},
		{"one two three four five six seven", 24, "one two three four five|six seven"},
		{"exactly-twenty-four-wide next", 24, "exactly-twenty-four-wide|next"},
		{"a word-that-is-far-too-long-for-one-line b", 24, "a|word-that-is-far-too-long-for-one-line|b"},
		{"never narrower than this", 1, "never narrower than this"},
	} {
		if got := strings.Join(wrap(tt.in, tt.width), "|"); got != tt.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
		}
	}
}

func TestStamp(t *testing.T) {
	for _, tt := range []struct {
		name string
		time time.Time
		want string
	}{
		{"nanoseconds", time.Unix(1, 5).In(time.FixedZone("CET", 3600)), "1970-01-01T00:00:01.000000005Z"},
		{"none", time.Time{}, ""},
		{"beyond the calendar", time.Unix(math.MaxInt32*200, 0), ""},
		{"before it", time.Unix(-math.MaxInt32*200, 0), ""},
	} {
		if got := stamp(tt.time); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// typical is what most connections of a capture are like, with fingerprints.
func typical() *attribute.Connection {
	c := conn(0, gateway, contoso, parse.TLS13, finished)
	c.ID = 123456
	c.ClientHello.JA3, c.ClientHello.JA4 = "cd08e31494f9531f560d64c695473da9", "t13d1516h2_8daaf6152771_e5627efa2ab1"
	c.ServerHello.JA3S = "eb1d94daa7e0344597e756a1fb6e7054"
	return c
}

func benchmark(b *testing.B, w Writer) {
	c := typical()
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Connection(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSON(b *testing.B)    { benchmark(b, NewJSON(io.Discard)) }
func BenchmarkLog(b *testing.B)     { benchmark(b, NewLog(io.Discard, LogOptions{})) }
func BenchmarkConsole(b *testing.B) { benchmark(b, NewLog(io.Discard, LogOptions{Console: true})) }
func BenchmarkText(b *testing.B)    { benchmark(b, NewText(io.Discard, TextOptions{Rows: 50})) }

// TestSeconds: a time is written as it would be by hand.
func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		6597 * time.Millisecond: "6.597", 6596999999: "6.597", 0: "0", 70 * time.Hour: "252000", time.Millisecond: "0.001", 1499999: "0.001",
	} {
		if got, err := json.Marshal(seconds(d)); err != nil || string(got) != want {
			t.Errorf("%v: %s, %v; want %s", d, got, err, want)
		}
	}
}
