package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"whoasked/config"
)

// load reads the settings in an empty directory, with only the given file,
// environment and arguments.
func load(t *testing.T, file string, env, args []string) (*config.Loaded, error) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData"} {
		t.Setenv(name, filepath.Join(dir, "home"))
	}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "WHOASKED_") || name == "NO_COLOR" {
			t.Setenv(name, "") // so that it is restored
			os.Unsetenv(name)
		}
	}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	if file != "" {
		if err := os.WriteFile("whoasked.yaml", []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flags := pflag.NewFlagSet("whoasked", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(flags)
}

func find(t *testing.T, l *config.Loaded, key string) config.Setting {
	t.Helper()
	for _, s := range l.Settings {
		if s.Key == key {
			return s
		}
	}
	t.Fatalf("no setting %s", key)
	return config.Setting{}
}

func TestPrecedence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		file   string
		env    []string
		args   []string
		key    string
		value  any
		origin string
	}{
		{name: "default", key: "rows", value: 50, origin: "default"},
		{name: "file", file: "rows: 1", key: "rows", value: 1, origin: "file whoasked.yaml"},
		{name: "environment over file", file: "rows: 1", env: []string{"WHOASKED_ROWS=2"}, key: "rows", value: 2, origin: "env WHOASKED_ROWS"},
		{name: "flag over both", file: "rows: 1", env: []string{"WHOASKED_ROWS=2"}, args: []string{"--rows=3"}, key: "rows", value: 3, origin: "flag --rows"},
		{name: "flag equal to the default", env: []string{"WHOASKED_ROWS=2"}, args: []string{"--rows=50"}, key: "rows", value: 50, origin: "flag --rows"},
		{name: "empty variable", file: "rows: 1", env: []string{"WHOASKED_ROWS="}, key: "rows", value: 1, origin: "file whoasked.yaml"},
		{name: "empty key", file: "rows:", key: "rows", value: 50, origin: "default"},
		{name: "group", file: "limits:\n  idle: 90s", key: "limits.idle", value: 90 * time.Second, origin: "file whoasked.yaml"},
		{name: "group with a dot", file: "limits.idle: 90s", key: "limits.idle", value: 90 * time.Second, origin: "file whoasked.yaml"},
		{name: "group from environment", env: []string{"WHOASKED_LIMITS_FLOW_BYTES=8KiB"}, key: "limits.flow-bytes", value: config.Bytes(8192), origin: "env WHOASKED_LIMITS_FLOW_BYTES"},
		{name: "neighbour in a group", file: "limits: {idle: 90s}", args: []string{"--limits-flows=7"}, key: "limits.idle", value: 90 * time.Second, origin: "file whoasked.yaml"},
		{name: "upper case key", file: "Rows: 1", key: "rows", value: 1, origin: "file whoasked.yaml"},
		{name: "flag alone", args: []string{"-q"}, key: "quiet", value: true, origin: "flag --quiet"},
		{name: "flag turned off", env: []string{"WHOASKED_QUIET=yes"}, args: []string{"--quiet=no"}, key: "quiet", value: false, origin: "flag --quiet"},
		{name: "repeated flag", file: "sni: [a]", args: []string{"--sni=B", "--sni=c,d"}, key: "sni", value: []string{"b", "c", "d"}, origin: "flag --sni"},
		{name: "list in a variable", env: []string{"WHOASKED_SNI=a, b"}, key: "sni", value: []string{"a", "b"}, origin: "env WHOASKED_SNI"},
		{name: "list in the file", file: "sni:\n- a\n- b", key: "sni", value: []string{"a", "b"}, origin: "file whoasked.yaml"},
		{name: "NO_COLOR", env: []string{"NO_COLOR=0"}, key: "no-color", value: true, origin: "env NO_COLOR"},
		{name: "own variable over NO_COLOR", env: []string{"NO_COLOR=1", "WHOASKED_NO_COLOR=false"}, key: "no-color", value: false, origin: "env WHOASKED_NO_COLOR"},
		{name: "NO_COLOR over file", file: "no-color: false", env: []string{"NO_COLOR=1"}, key: "no-color", value: true, origin: "env NO_COLOR"},
		{name: "flag over NO_COLOR", env: []string{"NO_COLOR=1"}, args: []string{"--no-color=false"}, key: "no-color", value: false, origin: "flag --no-color"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := load(t, tc.file, tc.env, tc.args)
			if err != nil {
				t.Fatal(err)
			}
			s := find(t, l, tc.key)
			if !reflect.DeepEqual(s.Value, tc.value) || s.Origin != tc.origin {
				t.Errorf("got %v from %s, want %v from %s", s.Value, s.Origin, tc.value, tc.origin)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	for _, tc := range []struct {
		name string
		file string
		env  []string
		args []string
		want []string // each in the message or its hint
	}{
		{name: "unknown key", file: "formt: json", want: []string{`unknown key "formt" in whoasked.yaml`, `did you mean "format"?`}},
		{name: "swapped letters", file: "limits: {folws: 1}", want: []string{`"limits.folws"`, `"limits.flows"`}},
		{name: "key without its group", file: "idle: 5m", want: []string{`"limits.idle"`}},
		{name: "underscore", file: "exit_code: true", want: []string{`"exit-code"`}},
		{name: "nothing near", file: "zzzzzzzzzz: 1", want: []string{"known keys are format, output"}},
		{name: "value for a group", file: "limits: 5", want: []string{`"limits" is a group`, "limits.flows"}},
		{name: "two mistakes", file: "formt: json\nrosw: 1", want: []string{`"formt"`, `"rosw"`}},
		{name: "no YAML", file: "format: [", want: []string{"whoasked.yaml", "line 1", "the file is YAML"}},
		{name: "twice", file: "rows: 1\nrows: 2", want: []string{"whoasked.yaml", "already defined"}},
		{name: "bad word", args: []string{"--format=xml"}, want: []string{`bad value "xml" for format (flag --format): want text, json or log`}},
		{name: "bad number", env: []string{"WHOASKED_ROWS=many"}, want: []string{`bad value "many" for rows (env WHOASKED_ROWS): want a whole number from 0 to 100000`}},
		{name: "number too large", file: "rows: 100001", want: []string{`"100001" for rows (file whoasked.yaml)`}},
		{name: "fraction", file: "rows: 1.5", want: []string{`"1.5" for rows`}},
		{name: "bad switch", args: []string{"--quiet=maybe"}, want: []string{`"maybe" for quiet (flag --quiet): want true or false`}},
		{name: "bad size", file: "limits: {total-bytes: 5 parsecs}", want: []string{`"5 parsecs" for limits.total-bytes`, "from 64KiB to 1GiB"}},
		{name: "size too large to count", args: []string{"--limits-flow-bytes=99999999999GiB"}, want: []string{`want a size`}},
		{name: "port beyond the last", args: []string{"--decode-vxlan-ports=4789,70000"}, want: []string{`"70000" is not a port`}},
		{name: "time without a unit", file: "limits: {idle: 300}", want: []string{`"300" for limits.idle`, "such as 90s"}},
		{name: "bad address", args: []string{"--server=198.18.0.0/24", "--server=contoso.test"}, want: []string{"for server (flag --server)", `"contoso.test" is not an IP address`}},
		{name: "bad port", args: []string{"--client=[2001:db8::1]:70000"}, want: []string{`"70000" is not a port`}},
		{name: "bad pattern", args: []string{"--sni=[a"}, want: []string{`"[a" is not a pattern`}},
		{name: "list for a word", file: "format: [text]", want: []string{"bad value for format (file whoasked.yaml): want text, json or log"}},
		{name: "map for a list", file: "sni: {a: 1}", want: []string{`unknown key "sni.a"`}},
		{name: "both mistakes in values", args: []string{"--format=xml", "--rows=-1"}, want: []string{`"xml" for format`, `"-1" for rows`}},
		{name: "missing file", args: []string{"--config=other.yaml"}, want: []string{"no settings file other.yaml (flag --config)"}},
		{name: "missing file by variable", env: []string{"WHOASKED_CONFIG=other.yaml"}, want: []string{"other.yaml (env WHOASKED_CONFIG)"}},
		{name: "file is a directory", args: []string{"--config=."}, want: []string{"cannot read the settings file ."}},
		{name: "hop without a name", file: "hops: [{addresses: 198.18.0.1}]", want: []string{"hops (file whoasked.yaml): item 1: a hop without a name"}},
		{name: "hop with nothing else", file: "hops: [{name: a}]", want: []string{`"a" has nothing to tell it by`}},
		{name: "hop with an unknown key", file: "hops: [{name: a, adresses: 198.18.0.1}]", want: []string{`item 1: unknown key "adresses"; did you mean "addresses"?`}},
		{name: "hop with a bad address", file: "hops: [{name: a, addresses: [198.18.0.300]}]", want: []string{`addresses of "a": "198.18.0.300" is not an IP address`}},
		{name: "hop with a bad host name", file: "hops: [{name: a, hostnames: ['a.*.contoso.test']}]", want: []string{`hostnames of "a": "a.*.contoso.test" is not a host name`}},
		{name: "hop with a short fingerprint", file: "hops: [{name: a, certificates: [abcd]}]", want: []string{`certificates of "a": "abcd" is not a SHA-256 fingerprint`}},
		{name: "hop twice", file: "hops: [{name: a, hostnames: a}, {name: a, hostnames: b}]", want: []string{`item 2: the name "a" is taken`}},
		{name: "hop that is a word", file: "hops: [a]", want: []string{"item 1: want a hop"}},
		{name: "hop with a map for a name", file: "hops: [{name: {a: b}}]", want: []string{"want one word for name"}},
		{name: "hop with a control character", file: `hops: [{name: "a\e[1m", hostnames: a}]`, want: []string{"holds a control character"}},
		{name: "pair without a name", args: []string{"--hops=198.18.0.1"}, want: []string{`hops (flag --hops)`, `"198.18.0.1" is not a pair`}},
		{name: "pair of nonsense", args: []string{"--hops=a=!"}, want: []string{`"!" is neither an address`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(t, tc.file, tc.env, tc.args)
			if err == nil {
				t.Fatal("no error")
			}
			message := err.Error()
			for _, e := range flatten(err) {
				p, ok := e.(*config.Problem)
				if !ok {
					t.Fatalf("%v is no Problem", e)
				}
				message += "\n" + p.Hint()
			}
			for _, want := range tc.want {
				if !strings.Contains(message, want) {
					t.Errorf("%q is not in:\n%s", want, message)
				}
			}
		})
	}
}

func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func TestWarnings(t *testing.T) {
	for _, tc := range []struct {
		file string
		env  []string
		want []string
	}{
		{want: nil},
		{env: []string{"WHOASKED_FORMATS=json"}, want: []string{`the variable WHOASKED_FORMATS is not known and has no effect; did you mean "WHOASKED_FORMAT"?`}},
		{env: []string{"WHOASKED_CONFIG="}, want: nil},
		{file: "hops: [{name: a, kind: appwg, hostnames: a}]", want: []string{`hop "a" is of the kind "appwg"; did you mean "appgw"?`}},
		{file: "hops: [{name: a, kind: mainframe, hostnames: a}]", want: nil},
		{file: "hops: [{name: a, kind: alb, hostnames: a}]", want: nil},
	} {
		l, err := load(t, tc.file, tc.env, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(l.Warnings, tc.want) {
			t.Errorf("%s %v: got %q, want %q", tc.file, tc.env, l.Warnings, tc.want)
		}
	}
}

func TestFileOfTheUser(t *testing.T) {
	_, err := load(t, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		t.Skip("no directory for settings of the user:", err)
	}
	name := filepath.Join(dir, "whoasked", "whoasked.yaml")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("rows: 9"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := config.Load(nil)
	if err != nil || l.Rows != 9 || find(t, l, "rows").Origin != "file "+name {
		t.Errorf("got %d from %s, %v", l.Rows, find(t, l, "rows").Origin, err)
	}
	if err := os.WriteFile("whoasked.yaml", []byte("only: asked"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err = config.Load(nil); err != nil || l.Only != "asked" || l.Rows != 50 {
		t.Errorf("the file in the working directory stands alone: got %q, %d, %v", l.Only, l.Rows, err)
	}
}
