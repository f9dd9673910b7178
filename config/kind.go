package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"whoasked/attribute"
)

// timeSpan shortens the table.
type timeSpan = time.Duration

// kind reads one sort of value. Errors say what is allowed.
type kind[T any] struct {
	choices []string
	toggle  bool
	list    bool
	read    func(raw any) (T, error)
}

// scalar makes a kind of values that are written as one word.
func scalar[T any](want string, parse func(string) (T, bool)) kind[T] {
	return kind[T]{read: func(raw any) (T, error) {
		if s, ok := word(raw); ok {
			if v, ok := parse(s); ok {
				return v, nil
			}
		}
		var none T
		return none, errors.New("want " + want)
	}}
}

// word returns a raw value as text; lists and maps are none.
func word(raw any) (string, bool) {
	switch v := raw.(type) {
	case string:
		return v, true
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v), true
	}
	return "", false
}

// listOf makes a kind of lists: separated by commas in a flag or variable, a
// list or the same text in a file.
func listOf[T any](parse func(string) (T, error)) kind[[]T] {
	return kind[[]T]{list: true, read: func(raw any) ([]T, error) {
		items, err := words(raw)
		if err != nil {
			return nil, err
		}
		var out []T
		for _, item := range items {
			v, err := parse(item)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}}
}

// words returns a raw list of words; empty ones are left out.
func words(raw any) ([]string, error) {
	var out []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	if items, ok := raw.([]any); ok {
		for _, item := range items {
			s, ok := word(item)
			if !ok {
				return nil, errors.New("want a list of words")
			}
			add(s)
		}
		return out, nil
	}
	s, ok := word(raw)
	if !ok {
		return nil, errors.New("want a list of words")
	}
	for item := range strings.SplitSeq(s, ",") {
		add(item)
	}
	return out, nil
}

var anything = scalar("text", func(s string) (string, bool) { return s, true })

var yesNo = kind[bool]{toggle: true, read: scalar("true or false", func(s string) (bool, bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	return false, false
}).read}

func oneOf(choices ...string) kind[string] {
	last := len(choices) - 1
	want := strings.Join(choices[:last], ", ") + " or " + choices[last]
	k := scalar(want, func(s string) (string, bool) {
		s = strings.ToLower(s)
		return s, slices.Contains(choices, s)
	})
	k.choices = choices
	return k
}

func whole(from, to int) kind[int] {
	want := fmt.Sprintf("a whole number from %d to %d", from, to)
	return scalar(want, func(s string) (int, bool) {
		n, err := strconv.Atoi(s)
		return n, err == nil && from <= n && n <= to
	})
}

// units are the suffixes of sizes, largest first, as the printer needs them.
var units = []struct {
	suffix string
	bytes  Bytes
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

func size(from, to Bytes) kind[Bytes] {
	want := fmt.Sprintf("a size from %s to %s, such as 512KiB or 16MiB", formatSize(from), formatSize(to))
	return scalar(want, func(s string) (Bytes, bool) {
		n, ok := parseSize(s)
		return n, ok && from <= n && n <= to
	})
}

func parseSize(s string) (Bytes, bool) {
	factor := Bytes(1)
	for _, u := range units {
		if rest, cut := cutSuffixFold(s, u.suffix); cut {
			s, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > math.MaxInt/int(factor) {
		return 0, false
	}
	return Bytes(n) * factor, true
}

func cutSuffixFold(s, suffix string) (string, bool) {
	at := len(s) - len(suffix)
	if at < 0 || !strings.EqualFold(s[at:], suffix) {
		return s, false
	}
	return s[:at], true
}

func formatSize(n Bytes) string {
	for _, u := range units[:3] {
		if n > 0 && n%u.bytes == 0 {
			return strconv.Itoa(int(n/u.bytes)) + u.suffix
		}
	}
	return strconv.Itoa(int(n))
}

var period = scalar("a time from 1s to 24h, such as 90s or 15m", func(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil && time.Second <= d && d <= 24*time.Hour
})

// asIs takes the name of a file; that there is such a file shows when it is
// opened.
func asIs(s string) (string, error) { return s, nil }

// between makes a kind of times.
func between(from, to time.Duration) kind[time.Duration] {
	want := fmt.Sprintf("a time from %s to %s, such as 90s or 24h", formatPeriod(from), formatPeriod(to))
	return scalar(want, func(s string) (time.Duration, bool) {
		d, err := time.ParseDuration(s)
		return d, err == nil && from <= d && d <= to
	})
}

func address(s string) (netip.Prefix, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an IP address", s)
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
}

func prefix(s string) (netip.Prefix, error) {
	if p, err := address(s); err == nil {
		return p, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network such as 198.18.0.0/24", s)
	}
	return p.Masked(), nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port from 1 to 65535", s)
	}
	return uint16(n), nil
}

// glob reads a pattern for host names.
func glob(s string) (string, error) {
	if _, err := path.Match(s, ""); err != nil {
		return "", fmt.Errorf("%q is not a pattern such as *.contoso.test", s)
	}
	return strings.ToLower(s), nil
}

func portNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port from 1 to 65535", s)
	}
	return uint16(n), nil
}

func addressRange(s string) (attribute.Range, error) {
	r, err := attribute.ParseRange(s)
	if err != nil {
		return r, fmt.Errorf("%w; want an IP address or prefix, with or without a port, such as 198.18.0.0/24:443 or [2001:db8::1]:443", err)
	}
	return r, nil
}
