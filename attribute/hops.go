package attribute

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Hop is a configured name for a TLS endpoint and what tells that endpoint.
type Hop struct {
	Name string
	// Kind is what the endpoint is: "waf", "appgw", "apim" …; free text.
	Kind string
	// Addresses, where there are any, decide: the server's address has to be
	// among them. Hostnames and Certificates then only choose between hops that
	// share an address; without Addresses either of them is enough.
	Addresses []Range
	Hostnames []Hostname
	// Certificates are SHA-256 digests of leaf certificates in DER.
	Certificates [][32]byte
	// Declared is what its configuration says about requests: under Hostnames,
	// where there are any, else under all names. ByName says it of single names,
	// and goes before; Otherwise of all that are left and of clients that send no
	// name, which get the default binding.
	Declared  Declared
	ByName    []NameDeclared
	Otherwise Declared
}

// Hops are all configured names, in the order of the configuration.
type Hops []Hop

// Name returns the name of the hop that fits a server best, empty for none.
// The sni may be empty and leaf nil where they are not known.
//
// The longest address prefix wins, then one that names the port, then the
// certificate, then the longest host name; what is still equal goes to the hop
// that is listed first.
func (h Hops) Name(server netip.AddrPort, sni string, leaf *[32]byte) string {
	best, name := fit{}, ""
	for i := range h {
		if f := h[i].fit(server, sni, leaf); best.less(f) {
			best, name = f, h[i].Name
		}
	}
	return name
}

// Host returns the name of the hop that an address belongs to, whatever the
// port: the one with the longest prefix. It is empty for none.
func (h Hops) Host(a netip.Addr) string {
	bits, name := -1, ""
	for i := range h {
		for _, r := range h[i].Addresses {
			if r.Prefix.Contains(a) && r.Prefix.Bits() > bits {
				bits, name = r.Prefix.Bits(), h[i].Name
			}
		}
	}
	return name
}

// Kind returns the kind of the hop with a name, empty for none.
func (h Hops) Kind(name string) string {
	for i := range h {
		if h[i].Name == name && name != "" {
			return h[i].Kind
		}
	}
	return ""
}

// Endpoints lists the addresses that single out an endpoint, in order: those
// without a port get the one given, and prefixes of several addresses are left
// out.
func (h Hops) Endpoints(port uint16) []netip.AddrPort {
	var out []netip.AddrPort
	for i := range h {
		for _, r := range h[i].Addresses {
			if !r.Prefix.IsSingleIP() {
				continue
			}
			ap := netip.AddrPortFrom(r.Prefix.Addr(), r.Port)
			if r.Port == 0 {
				ap = netip.AddrPortFrom(r.Prefix.Addr(), port)
			}
			if !slices.Contains(out, ap) {
				out = append(out, ap)
			}
		}
	}
	return out
}

// fit is how specifically a hop matches: by address, certificate and host
// name, compared in this order. The zero value is no match.
type fit [3]int

func (f fit) less(g fit) bool { return slices.Compare(f[:], g[:]) < 0 }

func (h *Hop) fit(server netip.AddrPort, sni string, leaf *[32]byte) fit {
	var f fit
	for _, r := range h.Addresses {
		if r.Contains(server) {
			f[0] = max(f[0], r.weight())
		}
	}
	if f[0] == 0 && len(h.Addresses) > 0 {
		return fit{}
	}
	if leaf != nil && slices.Contains(h.Certificates, *leaf) {
		f[1] = 1
	}
	for _, n := range h.Hostnames {
		if n.Match(sni) {
			f[2] = max(f[2], n.weight())
		}
	}
	return f
}

// Range is a set of TCP endpoints: the addresses of a prefix, on one port or,
// where Port is 0, on any.
type Range struct {
	Prefix netip.Prefix
	Port   uint16
}

// ParseRange reads "ADDRESS", "ADDRESS/BITS", and either with ":PORT" behind
// it, where an IPv6 address or prefix then stands in brackets.
func ParseRange(s string) (Range, error) {
	host, port := s, ""
	if rest, bracketed := strings.CutPrefix(s, "["); bracketed {
		var after string
		var closed bool
		host, after, closed = strings.Cut(rest, "]")
		if !closed {
			return Range{}, fmt.Errorf("the bracket in %q is not closed", s)
		}
		var colon bool
		port, colon = strings.CutPrefix(after, ":")
		if after != "" && (!colon || port == "") {
			return Range{}, fmt.Errorf("%q after the bracket is not a port such as \":443\"", after)
		}
	} else if strings.Count(s, ":") == 1 {
		host, port, _ = strings.Cut(s, ":")
		if port == "" {
			return Range{}, fmt.Errorf("no port follows the colon in %q", s)
		}
	}
	prefix, err := parsePrefix(host)
	if err != nil {
		return Range{}, err
	}
	r := Range{Prefix: prefix}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Range{}, fmt.Errorf("%q is not a port from 1 to 65535", port)
		}
		r.Port = uint16(n)
	}
	return r, nil
}

// parsePrefix reads an address, which is a prefix of full length, or a prefix.
// Sources unmap IPv4-mapped addresses, so mapped ranges would never match.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is not an IP address", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not an address prefix such as 198.18.0.0/24", s)
	}
	return p.Masked(), nil
}

// Contains says whether an endpoint is in the range.
func (r Range) Contains(a netip.AddrPort) bool {
	return (r.Port == 0 || r.Port == a.Port()) && r.Prefix.Contains(a.Addr())
}

// weight grows with the prefix and is above 0 for every range.
func (r Range) weight() int {
	w := 2*r.Prefix.Bits() + 1
	if r.Port != 0 {
		w++
	}
	return w
}

// String writes the range the way ParseRange reads it.
func (r Range) String() string {
	s := r.Prefix.String()
	if r.Prefix.IsSingleIP() {
		s = r.Prefix.Addr().String()
	}
	switch {
	case r.Port == 0:
		return s
	case r.Prefix.Addr().Is6():
		return fmt.Sprintf("[%s]:%d", s, r.Port)
	}
	return fmt.Sprintf("%s:%d", s, r.Port)
}

// Hostname is a host name in lower case, or "*." and the parent of the host
// names it stands for, at any depth.
type Hostname string

// ParseHostname reads a host name, or "*." and a parent; case and a dot at the
// end do not matter.
func ParseHostname(s string) (Hostname, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	plain := strings.TrimPrefix(name, "*.")
	valid := plain != "" && len(plain) <= 253 && !strings.HasPrefix(plain, ".")
	for _, c := range plain {
		valid = valid && (c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z')
	}
	if !valid {
		return "", fmt.Errorf("%q is not a host name such as www.contoso.test or *.contoso.test (write names beyond ASCII in their xn-- form)", s)
	}
	return Hostname(name), nil
}

// Match says whether a server name, as a ClientHello spells it, is meant.
func (n Hostname) Match(sni string) bool {
	sni = strings.TrimSuffix(sni, ".")
	if parent, wild := strings.CutPrefix(string(n), "*"); wild {
		return len(sni) > len(parent) && strings.EqualFold(sni[len(sni)-len(parent):], parent)
	}
	return sni != "" && strings.EqualFold(sni, string(n))
}

// weight is the length, and puts an exact name before a wildcard. Of the names
// that match the same server name, a wildcard is never longer than the exact one.
func (n Hostname) weight() int {
	if strings.HasPrefix(string(n), "*") {
		return len(n)
	}
	return len(n) + 1
}
