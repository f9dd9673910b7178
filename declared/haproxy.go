package declared

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"whoasked/attribute"
)

var haproxySection = regexp.MustCompile(`(?m)^\s*(global|defaults|frontend|backend|listen)(\s|$)`)

func looksLikeHAProxy(data []byte) bool { return haproxySection.Match(data) }

// section is a part of a configuration that has listeners or servers.
type section struct {
	kind, name string
	mode       string
	binds      []line
	names      []attribute.Hostname // that its rules tell apart
	goes       []string             // backends
	servers    []line
	serverTLS  bool // its default-server has ssl
}

// line is one with its words.
type line struct {
	words []string
	at    int
}

// haproxySections begin a section; what else stands alone at the beginning of a
// line does too, and is not looked at.
var haproxySections = []string{
	"global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "userlist", "mailers", "program",
	"http-errors", "ring", "log-forward", "cache", "fcgi-app", "crt-store", "traces", "acme",
}

// haproxy reads a configuration.
func (r *reader) haproxy(data []byte) error {
	sections := r.sections(string(data))
	backends := make(map[string]*section)
	for _, s := range sections {
		if s.kind == "backend" || s.kind == "listen" {
			backends[s.name] = s
		}
	}
	for _, s := range sections {
		if s.kind != "frontend" && s.kind != "listen" {
			continue
		}
		for _, b := range s.binds {
			r.bind(s, b, backends)
		}
	}
	for _, s := range sections {
		if s.kind == "backend" || s.kind == "listen" {
			r.servers(s)
		}
	}
	return nil
}

// sections reads the lines of a configuration.
func (r *reader) sections(text string) []*section {
	var out []*section
	defaults := map[string]string{} // mode of each named defaults; "" is the latest
	var cur *section
	n := 0
	for raw := range strings.Lines(text) {
		if n++; n > maxPieces {
			r.note(r.name, "too long; the rest is left out")
			break
		}
		w := haproxyWords(raw)
		if len(w) == 0 {
			continue
		}
		if w[0] == ".if" || w[0] == ".elif" || w[0] == ".else" {
			r.note(fmt.Sprintf("%s:%d", r.name, n), "conditional: what stands under it is read as if it held")
			continue
		}
		if slices.Contains(haproxySections, w[0]) {
			cur = &section{kind: w[0], mode: defaults[""]}
			if len(w) > 1 {
				cur.name = w[1]
			}
			if i := slices.Index(w, "from"); i > 0 && i+1 < len(w) {
				cur.mode = defaults[w[i+1]]
			}
			if w[0] == "defaults" {
				if len(w) < 3 { // it follows no other
					cur.mode = ""
				}
				defaults[""], defaults[cur.name] = cur.mode, cur.mode
			}
			out = append(out, cur)
			continue
		}
		if cur == nil {
			continue
		}
		cur.take(r, line{w, n})
		if cur.kind == "defaults" {
			defaults[""], defaults[cur.name] = cur.mode, cur.mode
		}
	}
	return out
}

// take reads a line of a section.
func (s *section) take(r *reader, l line) {
	switch w := l.words; w[0] {
	case "mode":
		if len(w) > 1 {
			s.mode = w[1]
		}
	case "bind":
		s.binds = append(s.binds, l)
	case "acl", "use_backend", "http-request", "tcp-request":
		s.names = append(s.names, sniNames(w)...)
		if w[0] == "use_backend" && len(w) > 1 {
			s.goes = append(s.goes, w[1])
		}
	case "default_backend":
		if len(w) > 1 {
			s.goes = append(s.goes, w[1])
		}
	case "server":
		s.servers = append(s.servers, l)
	case "default-server":
		s.serverTLS = s.serverTLS || slices.Contains(w, "ssl")
	}
}

// sniNames finds the literal names that a rule compares a server name or Host with.
func sniNames(w []string) []attribute.Hostname {
	var out []attribute.Hostname
	for i, word := range w {
		fetch, _, _ := strings.Cut(word, ",")
		suffix := strings.Contains(fetch, "_end")
		switch strings.Replace(fetch, "_end", "", 1) {
		case "ssl_fc_sni", "req.ssl_sni", "req_ssl_sni", "hdr(host)", "req.hdr(host)":
		default:
			continue
		}
		rest := w[i+1:]
		for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
			if rest[0] == "-m" && len(rest) > 1 {
				if rest[1] == "end" {
					suffix = true
				} else if rest[1] != "str" {
					return out // another way to compare
				}
				rest = rest[1:]
			}
			rest = rest[1:]
		}
		for _, s := range rest {
			if s == "}" || s == "||" || s == "or" {
				break
			}
			if suffix {
				s = "*." + strings.TrimPrefix(s, ".")
			}
			if n, err := attribute.ParseHostname(s); err == nil && strings.Contains(string(n), ".") && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// bind reads a bind line: its addresses, and what it does with TLS.
func (r *reader) bind(s *section, b line, backends map[string]*section) {
	place := fmt.Sprintf("%s:%d", r.name, b.at)
	if len(b.words) < 2 {
		r.note(place, "bind without an address; it is left out")
		return
	}
	l := listener{hop: s.name, kind: "haproxy", names: s.names, alike: true, fallback: true, from: fmt.Sprintf("%s: %s %s", r.name, s.kind, s.name)}
	if l.hop == "" {
		l.hop = "haproxy"
	}
	params := b.words[2:]
	switch {
	case slices.Contains(params, "ssl"):
		l.declared = r.verify(place, params)
	case s.mode == "http" || s.opensTLS(backends):
		return // no TLS here
	default:
		l.declared, l.kind, l.names = attribute.DeclaredPassthrough, "lb", nil
	}
	for addr := range strings.SplitSeq(b.words[1], ",") {
		at, ok := r.bindAddress(place, addr, l)
		if ok {
			r.listeners = append(r.listeners, at)
		}
	}
}

// opensTLS reports whether the servers behind are reached by TLS of its own, so
// that what comes in front is none.
func (s *section) opensTLS(backends map[string]*section) bool {
	all := []*section{s}
	for _, name := range s.goes {
		if b := backends[name]; b != nil {
			all = append(all, b)
		}
	}
	servers, opened := 0, 0
	for _, b := range all {
		for _, l := range b.servers {
			servers++
			if b.serverTLS || slices.Contains(l.words, "ssl") {
				opened++
			}
		}
	}
	return servers > 0 && opened == servers
}

// verify reads whether a bind line with ssl asks. Its list of certificates, which is
// a file of its own, may say otherwise for single names.
func (r *reader) verify(place string, params []string) attribute.Declared {
	if i := slices.Index(params, "crt-list"); i >= 0 && i+1 < len(params) {
		r.note(place, "crt-list %.200q is not in the export, and may ask for single names; nothing is declared", params[i+1])
		return attribute.NotDeclared
	}
	i := slices.Index(params, "verify")
	if i < 0 || i+1 >= len(params) {
		return attribute.DeclaredOff
	}
	switch params[i+1] {
	case "none":
		return attribute.DeclaredOff
	case "optional":
		return attribute.DeclaredOptional
	case "required":
		return attribute.DeclaredRequired
	}
	r.note(place, "verify %.40q is not none, optional or required; whether it asks is not told", params[i+1])
	return attribute.NotDeclared
}

// bindAddress reads one address of a bind line.
func (r *reader) bindAddress(place, s string, l listener) (listener, bool) {
	for _, family := range []string{"ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@"} {
		s = strings.TrimPrefix(s, family)
	}
	i := strings.LastIndexByte(s, ':')
	if strings.ContainsAny(s, "/@") || i < 0 {
		return l, false // a socket in the file system, a descriptor, QUIC
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 {
		r.note(place, "bind %.80q has no single port; it is left out", s)
		return l, false
	}
	l.port = uint16(n)
	host := strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]")
	if host == "" || host == "*" {
		return l, true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		r.note(place, "bind %.80q names no address; it counts as every address", s)
		return l, true
	}
	if !a.IsUnspecified() {
		l.addrs = []netip.Addr{a.Unmap()}
	}
	return l, true
}

// servers adds the servers of a section that TLS goes to.
func (r *reader) servers(s *section) {
	b := behind{hop: s.name, from: fmt.Sprintf("%s: servers of %s %s", r.name, s.kind, s.name)}
	if s.kind == "listen" {
		b.hop += "-servers"
	}
	for _, l := range s.servers {
		if len(l.words) < 3 || s.mode == "http" && !s.serverTLS && !slices.Contains(l.words, "ssl") {
			continue
		}
		if slices.Contains(l.words, "send-proxy") || slices.Contains(l.words, "send-proxy-v2") {
			b.from = fmt.Sprintf("%s: servers of %s %s, which get PROXY headers", r.name, s.kind, s.name)
		}
		if a, err := attribute.ParseRange(l.words[2]); err == nil && a.Prefix.IsSingleIP() {
			b.addrs = append(b.addrs, a)
		}
	}
	r.behind = append(r.behind, b)
}

// haproxyWords parts a line: at spaces, with quotes, backslashes and comments.
func haproxyWords(s string) []string {
	var out []string
	var b strings.Builder
	var quote byte
	inside := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
			inside = true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				b.WriteByte(c)
			}
		case c == '"' || c == '\'':
			quote, inside = c, true
		case c == '#':
			i = len(s)
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if inside {
				out = append(out, b.String())
				b.Reset()
				inside = false
			}
		default:
			b.WriteByte(c)
			inside = true
		}
	}
	if inside {
		out = append(out, b.String())
	}
	return out
}
