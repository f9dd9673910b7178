package declared

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"whoasked/attribute"
)

var nginxBlock = regexp.MustCompile(`(?m)^\s*(http|stream|server|events)\s*\{`)

func looksLikeNginx(data []byte) bool { return fileMark.Match(data) || nginxBlock.Match(data) }

func sortedKeys(files map[string][]directive) []string { return slices.Sorted(maps.Keys(files)) }

func (d *directive) place() string { return fmt.Sprintf("%s:%d", d.file, d.line) }

// nginx reads the output of nginx -T.
func (r *reader) nginx(data []byte) error {
	order, texts := nginxFiles(r.name, string(data))
	files := make(map[string][]directive)
	left := maxPieces
	for _, name := range order {
		p := nginxParser{text: texts[name], file: name, line: 1, left: &left}
		files[name] = p.block(0)
		if p.broken != "" {
			r.note(fmt.Sprintf("%s:%d", name, p.line), "%s; what stands before it was read", p.broken)
		}
	}
	left = maxPieces
	all := r.includes(files[order[0]], files, path.Dir(order[0]), 0, &left)
	servers := r.nginxServers(all)
	r.defaults(servers)
	return nil
}

// nginxServer is a server block at one of its addresses.
type nginxServer struct {
	listener
	first  bool // said to be the default of its address
	tls    bool
	passes bool // what it gets, where that is not opened here
}

// at is the socket that it listens at.
func (s *nginxServer) at() string { return fmt.Sprint(s.addrs, s.family, s.port) }

// nginxServers finds the servers of http and stream, and what they connect to.
func (r *reader) nginxServers(all []directive) []nginxServer {
	var out []nginxServer
	for _, top := range all {
		if top.name != "http" && top.name != "stream" {
			continue
		}
		outer := nginxScope{}.within(top.block)
		for _, d := range top.block {
			if d.name == "server" {
				out = append(out, r.nginxServer(&d, outer.within(d.block), top.name == "stream")...)
			}
		}
		r.upstreams(&top)
	}
	return out
}

// nginxScope is what servers inherit.
type nginxScope struct{ verify, ssl, reject string }

// within returns the scope of a block.
func (s nginxScope) within(block []directive) nginxScope {
	for _, d := range block {
		if len(d.args) != 1 {
			continue
		}
		switch d.name {
		case "ssl_verify_client":
			s.verify = d.args[0]
		case "ssl":
			s.ssl = d.args[0]
		case "ssl_reject_handshake":
			s.reject = d.args[0]
		}
	}
	return s
}

// nginxServer reads a server block: one listener for each address it listens at.
func (r *reader) nginxServer(d *directive, s nginxScope, stream bool) []nginxServer {
	verify, known := s.declared()
	if !known {
		r.note(d.place(), "ssl_verify_client %.40q is not on, off, optional or optional_no_ca; whether it asks is not told", s.verify)
	}
	l := listener{hop: "nginx", kind: "nginx", declared: verify, from: fmt.Sprintf("%s: server at %s", r.name, d.place())}
	proxies := false
	for _, in := range d.block {
		switch in.name {
		case "server_name":
			names, others := r.serverNames(&in)
			l.names, l.others = append(l.names, names...), l.others || others
		case "proxy_pass":
			proxies = true
		}
	}
	var out []nginxServer
	for _, in := range d.block {
		if in.name != "listen" || len(in.args) == 0 || slices.Contains(in.args, "quic") || slices.Contains(in.args, "udp") {
			continue
		}
		at, ok := r.listen(&in, l)
		if !ok {
			continue
		}
		out = append(out, nginxServer{
			listener: at,
			first:    slices.Contains(in.args, "default_server") || slices.Contains(in.args, "default"),
			tls:      slices.Contains(in.args, "ssl") || s.ssl == "on",
			passes:   stream && proxies,
		})
	}
	return out
}

func (s nginxScope) declared() (attribute.Declared, bool) {
	if s.reject == "on" {
		return attribute.DeclaredOff, true // it never comes to a request
	}
	switch s.verify {
	case "", "off":
		return attribute.DeclaredOff, true
	case "on":
		return attribute.DeclaredRequired, true
	case "optional", "optional_no_ca":
		return attribute.DeclaredOptional, true
	}
	return attribute.NotDeclared, false
}

// serverNames reads those that a hop can have, and whether there are others. "_" and
// "" stand for no name.
func (r *reader) serverNames(d *directive) (out []attribute.Hostname, others bool) {
	for _, s := range d.args {
		if s == "" || s == "_" {
			continue
		}
		parent, both := strings.CutPrefix(s, ".")
		n, ok := r.hostname(d.place(), parent)
		switch {
		case !ok:
			others = true
		case both:
			out = append(out, n, "*."+n)
		case n != "localhost":
			out = append(out, n)
		}
	}
	return out, others
}

// listen reads the address of a listen directive.
func (r *reader) listen(d *directive, l listener) (listener, bool) {
	s := d.args[0]
	if strings.HasPrefix(s, "unix:") {
		return l, false
	}
	host, port := s, "80"
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
	} else if _, err := strconv.Atoi(s); err == nil {
		host, port = "*", s
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		r.note(d.place(), "listen %.80q has no port that is told; it is left out", s)
		return l, false
	}
	l.port = uint16(n)
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "*" || host == "" {
		l.family = 4
		return l, true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		r.note(d.place(), "listen %.80q names no address; it counts as every address", s)
		return l, true
	}
	switch {
	case !a.IsUnspecified():
		l.addrs = []netip.Addr{a.Unmap()}
	case a.Is4():
		l.family = 4
	case !slices.Contains(d.args, "ipv6only=off"):
		l.family = 6
	}
	return l, true
}

// defaults finds out which server of each socket answers clients with other names
// or none: the one that says so, else the first. The socket speaks TLS for all of its
// servers as soon as one of them says so.
func (r *reader) defaults(servers []nginxServer) {
	best, tls := make(map[string]int), make(map[string]bool)
	for i, s := range servers {
		key := s.at()
		if at, known := best[key]; !known || s.first && !servers[at].first {
			best[key] = i
		}
		tls[key] = tls[key] || s.tls
	}
	for _, at := range best {
		servers[at].fallback = true
	}
	for _, s := range servers {
		switch {
		case tls[s.at()]:
		case s.passes:
			s.declared, s.kind, s.names = attribute.DeclaredPassthrough, "lb", nil
		default:
			continue // no TLS, or none that it would pass on
		}
		r.listeners = append(r.listeners, s.listener)
	}
}

// upstreams adds the servers of upstream blocks that TLS goes to: those that a
// proxy_pass of http names with https, and all of stream.
func (r *reader) upstreams(top *directive) {
	named := make(map[string]bool)
	var look func([]directive)
	look = func(list []directive) {
		for _, d := range list {
			if d.name == "proxy_pass" && len(d.args) == 1 {
				rest, https := strings.CutPrefix(d.args[0], "https://")
				host, _, _ := strings.Cut(rest, "/")
				named[host] = named[host] || https
			}
			look(d.block)
		}
	}
	look(top.block)
	for _, d := range top.block {
		if d.name != "upstream" || len(d.args) != 1 || top.name == "http" && !named[d.args[0]] {
			continue
		}
		b := behind{hop: d.args[0], from: fmt.Sprintf("%s: upstream at %s", r.name, d.place())}
		for _, s := range d.block {
			if s.name != "server" || len(s.args) == 0 {
				continue
			}
			if a, err := attribute.ParseRange(s.args[0]); err == nil && a.Prefix.IsSingleIP() {
				b.addrs = append(b.addrs, a)
			}
		}
		r.behind = append(r.behind, b)
	}
}
