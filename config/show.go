package config

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"whoasked/attribute"
)

// Write prints the settings as a file that Load reads back to the same values,
// each with a comment that says where it came from.
func (l *Loaded) Write(w io.Writer) error {
	var b strings.Builder
	group := ""
	for _, s := range l.Settings {
		name, indent := s.Key, ""
		if prefix, rest, nested := strings.Cut(s.Key, "."); nested {
			if prefix != group {
				fmt.Fprintf(&b, "%s:\n", prefix)
			}
			group, name, indent = prefix, rest, "  "
		} else {
			group = ""
		}
		if hops, ok := s.Value.(attribute.Hops); ok && len(hops) > 0 {
			fmt.Fprintf(&b, "%-40s # %s\n", indent+name+":", s.Origin)
			writeHops(&b, hops)
			continue
		}
		fmt.Fprintf(&b, "%-40s # %s\n", indent+name+": "+plain(s.Value), s.Origin)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// plain writes a value on one line of YAML.
func plain(value any) string {
	switch v := value.(type) {
	case string:
		return quote(v)
	case Via:
		return quote(v.String())
	case Bytes:
		return formatSize(v)
	case time.Duration:
		return formatPeriod(v)
	case []string:
		return flow(v, func(s string) string { return s })
	case []attribute.Range:
		return flow(v, attribute.Range.String)
	case []uint16:
		return flow(v, func(n uint16) string { return strconv.Itoa(int(n)) })
	case []Target:
		return flow(v, Target.String)
	case []netip.Prefix:
		return flow(v, plainPrefix)
	case attribute.Hops:
		return "[]"
	}
	return fmt.Sprint(value)
}

// plainPrefix writes a single address without its length, which its setting does
// not take.
func plainPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// quote leaves only words bare that YAML cannot take for anything else.
func quote(s string) string {
	bare := s != ""
	for _, c := range s {
		bare = bare && ('a' <= c && c <= 'z')
	}
	switch s {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		bare = false
	}
	if bare {
		return s
	}
	return strconv.Quote(s)
}

func flow[T any](items []T, text func(T) string) string {
	words := make([]string, len(items))
	for i, item := range items {
		words[i] = quote(text(item))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// formatPeriod is Duration.String without the zero parts: "15m" for "15m0s".
func formatPeriod(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// writeDeclared writes one word, or one for each name.
func writeDeclared(b *strings.Builder, h *attribute.Hop) {
	if len(h.ByName) == 0 && h.Otherwise == attribute.NotDeclared {
		if h.Declared != attribute.NotDeclared {
			fmt.Fprintf(b, "    declared: %s\n", quote(h.Declared.String()))
		}
		return
	}
	b.WriteString("    declared:\n")
	for _, n := range h.ByName {
		fmt.Fprintf(b, "      %s: %s\n", quote(string(n.Name)), quote(n.Declared.String()))
	}
	if h.Otherwise != attribute.NotDeclared {
		fmt.Fprintf(b, "      %s: %s\n", attribute.DefaultName, quote(h.Otherwise.String()))
	}
}

func writeHops(b *strings.Builder, hops attribute.Hops) {
	for _, h := range hops {
		fmt.Fprintf(b, "  - name: %s\n", quote(h.Name))
		if h.Kind != "" {
			fmt.Fprintf(b, "    kind: %s\n", quote(h.Kind))
		}
		if len(h.Addresses) > 0 {
			fmt.Fprintf(b, "    addresses: %s\n", flow(h.Addresses, attribute.Range.String))
		}
		if len(h.Hostnames) > 0 {
			fmt.Fprintf(b, "    hostnames: %s\n", flow(h.Hostnames, func(n attribute.Hostname) string { return string(n) }))
		}
		if len(h.Certificates) > 0 {
			fmt.Fprintf(b, "    certificates: %s\n", flow(h.Certificates, func(d [32]byte) string { return hex.EncodeToString(d[:]) }))
		}
		writeDeclared(b, &h)
	}
}
