package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

const fileName = "whoasked.yaml"

// Load reads the settings: the file, then WHOASKED_* variables, then the flags
// that were given; the later ones win. A variable that is set but empty counts
// as not set. The flags are those of AddFlags, or nil for none.
//
// The error joins one Problem for each mistake found.
func Load(flags *pflag.FlagSet) (*Loaded, error) {
	l := &Loaded{}
	v := viper.New()
	problems := l.readFile(v, flags)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for i := range settings {
		if err := bind(v, &settings[i], flags); err != nil {
			return nil, err
		}
	}
	for i := range settings {
		s := &settings[i]
		d := s.describe()
		var raw any
		raw, d.Origin = l.raw(v, s, flags)
		if err := s.store(&l.Config, raw); err != nil {
			problems = append(problems, badValue(s, raw, d.Origin, err))
		}
		d.Value = s.value(&l.Config)
		l.Settings = append(l.Settings, d)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	l.warn()
	return l, nil
}

// bind tells viper where else a setting may come from.
func bind(v *viper.Viper, s *setting, flags *pflag.FlagSet) error {
	v.SetDefault(s.key, s.def)
	if err := v.BindEnv(append([]string{s.key}, s.envs()...)...); err != nil {
		return err
	}
	if f := s.flagIn(flags); f != nil {
		return v.BindPFlag(s.key, f)
	}
	return nil
}

// flagIn returns the setting's flag, nil if the set has none; a command's own
// flag of that name is another.
func (s *setting) flagIn(flags *pflag.FlagSet) *pflag.Flag {
	if flags == nil {
		return nil
	}
	f := flags.Lookup(s.flag())
	if f == nil {
		return nil
	}
	if _, ours := f.Value.(*text); !ours {
		return nil
	}
	return f
}

// noColor is the variable that programs agree on (https://no-color.org): set to
// anything, it turns colours off.
const noColor = "NO_COLOR"

func (s *setting) envs() []string {
	if s.key == "no-color" {
		return []string{s.env(), noColor}
	}
	return []string{s.env()}
}

// raw returns the value that wins, and where it came from.
func (l *Loaded) raw(v *viper.Viper, s *setting, flags *pflag.FlagSet) (any, string) {
	raw := v.Get(s.key)
	if f := s.flagIn(flags); f != nil && f.Changed {
		// Not what viper makes of it: that takes any word for a yes or a no.
		return f.Value.String(), "flag --" + f.Name
	}
	for _, env := range s.envs() {
		switch {
		case os.Getenv(env) == "":
		case env == noColor:
			return "true", "env " + env
		default:
			return raw, "env " + env
		}
	}
	if v.InConfig(s.key) {
		return raw, "file " + l.File
	}
	return s.def, "default"
}

// readFile reads the file that was asked for or else the first that exists.
func (l *Loaded) readFile(v *viper.Viper, flags *pflag.FlagSet) []error {
	name, origin := chosenFile(flags)
	if name == "" {
		name = defaultFile()
	}
	if name == "" {
		return nil
	}
	v.SetConfigFile(name)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		return []error{fileProblem(name, origin, err)}
	}
	l.File = name
	var problems []error
	known := keys()
	for _, key := range slices.Sorted(slices.Values(v.AllKeys())) {
		if !contains(known, key) {
			problems = append(problems, unknownKey(key, name, known))
		}
	}
	return problems
}

// chosenFile returns the file named by --config or the environment.
func chosenFile(flags *pflag.FlagSet) (name, origin string) {
	if flags != nil {
		if f := flags.Lookup(fileFlag); f != nil && f.Changed {
			return f.Value.String(), "flag --" + fileFlag
		}
	}
	return os.Getenv(fileEnv), "env " + fileEnv
}

const fileEnv = envPrefix + "CONFIG"

// defaultFile returns the first of the usual files that exists, even if it
// cannot be read: passing over it in silence would be worse.
func defaultFile() string {
	names := []string{fileName}
	if dir, err := os.UserConfigDir(); err == nil {
		names = append(names, filepath.Join(dir, "whoasked", fileName))
	}
	for _, name := range names {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
	return ""
}

func keys() []string {
	out := make([]string, len(settings))
	for i := range settings {
		out[i] = settings[i].key
	}
	return out
}

func unknownKey(key, file string, known []string) *Problem {
	p := &Problem{Text: fmt.Sprintf("unknown key %q in %s", key, file)}
	for _, k := range known {
		if strings.HasPrefix(k, key+".") {
			p.hint = fmt.Sprintf("%q is a group; set %s inside it", key, k)
			return p
		}
	}
	if near := Nearest(key, known); near != "" {
		p.hint = fmt.Sprintf("did you mean %q?", near)
	} else {
		p.hint = "known keys are " + strings.Join(known, ", ")
	}
	return p
}

func badValue(s *setting, raw any, origin string, err error) *Problem {
	text, ok := word(raw)
	if !ok {
		return &Problem{Text: fmt.Sprintf("bad value for %s (%s): %v", s.key, origin, err)}
	}
	if _, private := err.(unrepeated); private {
		return &Problem{Text: fmt.Sprintf("bad value for %s (%s): %v", s.key, origin, err)}
	}
	return &Problem{Text: fmt.Sprintf("bad value %q for %s (%s): %v", text, s.key, origin, err)}
}

func fileProblem(name, origin string, err error) *Problem {
	if errors.Is(err, fs.ErrNotExist) {
		return &Problem{Text: fmt.Sprintf("no settings file %s (%s)", name, origin), hint: "leave it out to go without, or write one with: whoasked config > " + name}
	}
	var parse viper.ConfigParseError
	if errors.As(err, &parse) {
		return &Problem{Text: fmt.Sprintf("%s: %v", name, parse.Unwrap()), hint: "the file is YAML; see what it may hold with: whoasked config"}
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &Problem{Text: fmt.Sprintf("cannot read the settings file %s: %v", name, err)}
}

// warn notes what looks like a mistake. An unknown variable is no error: other
// programs set some too, Kubernetes for instance for a service of our name.
func (l *Loaded) warn() {
	known := []string{fileEnv}
	for i := range settings {
		known = append(known, settings[i].env())
	}
	for _, entry := range slices.Sorted(slices.Values(os.Environ())) {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && !contains(known, name) {
			l.Warnings = append(l.Warnings, fmt.Sprintf("the variable %s is not known and has no effect%s", name, didYouMean(name, known)))
		}
	}
	kinds := knownKinds()
	for _, h := range l.Hops {
		near := Nearest(h.Kind, kinds)
		if h.Kind != "" && !contains(kinds, h.Kind) && distance(h.Kind, near) <= 2 {
			l.Warnings = append(l.Warnings, fmt.Sprintf("hop %q is of the kind %q; did you mean %q?", h.Name, h.Kind, near))
		}
	}
}
