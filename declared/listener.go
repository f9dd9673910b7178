package declared

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"whoasked/attribute"
)

// listener is what one part of an export declares at one set of addresses.
type listener struct {
	hop, kind string // of the hop it belongs to
	port      uint16
	// addrs are the addresses, none for every address of the machine, or for every
	// one of a family, 4 or 6.
	addrs    []netip.Addr
	family   int
	names    []attribute.Hostname
	declared attribute.Declared // NotDeclared where the export does not tell
	// alike: names only tell the hop by; all of them get what any other gets.
	alike bool
	// fallback: it answers clients with other names or none.
	fallback bool
	// others: it answers names that cannot be told, such as regular expressions.
	others bool
	from   string
}

// behind is a group of servers that something connects onward to.
type behind struct {
	hop   string
	addrs []attribute.Range
	from  string
}

// group are the listeners of one hop.
type group struct {
	key, hop, kind string
	port           uint16
	addrs          []netip.Addr
	family         int
	list           []listener
}

// build makes hops out of listeners: those at the same addresses are one.
func (r *reader) build() {
	var groups []*group
	byKey := make(map[string]*group)
	for _, l := range r.listeners {
		if len(r.machine) == 0 {
			l.family = 0 // there is no address to tell them by
		}
		key := fmt.Sprintf("%s %d %v %d", l.hop, l.port, l.addrs, l.family)
		g := byKey[key]
		if g == nil {
			g = &group{key: key, hop: l.hop, kind: l.kind, port: l.port, addrs: l.addrs, family: l.family}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.list = append(g.list, l)
	}
	names := 0
	for _, g := range groups {
		h := r.hop(g, groups)
		names += len(h.Hostnames)
		if len(r.export.Hops) >= maxHops || names > maxNames {
			r.note(r.name, "more than %d hops or %d names; the rest is left out", maxHops, maxNames)
			return
		}
		if len(h.Addresses) == 0 && (g.family != 0 || len(h.Hostnames) == 0 && strings.HasPrefix(g.kind, "apim")) {
			continue // the machine has no address of this family; or it was told already that none is known
		}
		if len(h.Addresses)+len(h.Hostnames) == 0 {
			r.note(r.name, "%s listens at every address of its machine, under no name: nothing tells it; give the address with --address", g.hop)
			continue
		}
		if len(g.addrs) == 0 && len(r.machine) == 0 && g.kind != "appgw" && !strings.HasPrefix(g.kind, "apim") {
			r.note(r.name, "%s listens at port %d of every address: with --address it is also told by the machine's address", g.hop, g.port)
		}
		r.add(h)
	}
	r.addBehind()
}

// add puts a hop to the others, or, where all but the addresses is the same, with
// the one it is like.
func (r *reader) add(h Hop) {
	for i := range r.export.Hops {
		o := &r.export.Hops[i]
		if o.Name == h.Name && len(h.Addresses) > 0 && len(o.Addresses) > 0 && o.Declared == h.Declared && o.Otherwise == h.Otherwise &&
			slices.Equal(o.Hostnames, h.Hostnames) && slices.Equal(o.ByName, h.ByName) {
			o.Addresses = append(o.Addresses, h.Addresses...)
			return
		}
	}
	h.Name = free(h, func(name string) bool {
		return slices.ContainsFunc(r.export.Hops, func(o Hop) bool { return o.Name == name })
	})
	r.export.Hops = append(r.export.Hops, h)
}

// free finds a name that is not taken: the hop's own, with its port, then numbers.
func free(h Hop, taken func(string) bool) string {
	name := h.Name
	if taken(name) && len(h.Addresses) > 0 && h.Addresses[0].Port != 0 {
		name = fmt.Sprintf("%s-%d", h.Name, h.Addresses[0].Port)
	}
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s-%d", h.Name, n)
	}
	return name
}

// hop puts together what listeners at the same addresses declare.
func (r *reader) hop(g *group, all []*group) Hop {
	h := Hop{Hop: attribute.Hop{Name: tidyName(g.hop), Kind: g.kind}}
	addrs := g.addrs
	if len(addrs) == 0 {
		addrs = r.unclaimed(g, all)
	}
	for _, a := range addrs {
		h.Addresses = append(h.Addresses, attribute.Range{Prefix: netip.PrefixFrom(a, a.BitLen()), Port: g.port})
	}
	unknown, others := false, false
	for _, l := range g.list {
		for _, n := range l.names {
			if slices.Contains(h.Hostnames, n) {
				continue // the first one has it
			}
			h.Hostnames = append(h.Hostnames, n)
			if l.declared != attribute.NotDeclared && !l.alike {
				h.ByName = append(h.ByName, attribute.NameDeclared{Name: n, Declared: l.declared})
			}
		}
		unknown = unknown || l.declared == attribute.NotDeclared
		if l.fallback && h.Otherwise == attribute.NotDeclared {
			h.Otherwise = l.declared
		}
		if l.from != "" && !slices.Contains(h.From, l.from) && len(h.From) < 8 {
			h.From = append(h.From, l.from)
		}
	}
	for _, l := range g.list {
		others = others || l.others && l.declared != h.Otherwise
	}
	if others && h.Otherwise != attribute.NotDeclared {
		r.note(r.name, "names of %s that cannot be told are not asked as its default does: no default is declared", h.Name)
	}
	if unknown || others {
		h.Otherwise = attribute.NotDeclared // it would speak for names that are not told
	}
	h.shorten()
	return h
}

// unclaimed are the machine's addresses that no other listener has this port of.
func (r *reader) unclaimed(g *group, all []*group) []netip.Addr {
	var out []netip.Addr
	for _, a := range r.machine {
		if g.family != 0 && a.Is4() != (g.family == 4) {
			continue
		}
		if !slices.ContainsFunc(all, func(o *group) bool { return o.port == g.port && slices.Contains(o.addrs, a) }) {
			out = append(out, a)
		}
	}
	return out
}

// shorten says in one word what does not differ by name.
func (h *Hop) shorten() {
	if len(h.Hostnames) == 0 {
		h.Declared, h.Otherwise = h.Otherwise, attribute.NotDeclared
		return
	}
	if h.Otherwise != attribute.NotDeclared || len(h.ByName) != len(h.Hostnames) {
		return
	}
	for _, n := range h.ByName {
		if n.Declared != h.ByName[0].Declared {
			return
		}
	}
	h.Declared, h.ByName = h.ByName[0].Declared, nil
}

// addBehind adds servers further in, as far as they are not hops already.
func (r *reader) addBehind() {
	for _, b := range r.behind {
		h := Hop{Hop: attribute.Hop{Name: tidyName(b.hop), Kind: "backend"}, From: []string{b.from}}
		for _, a := range b.addrs {
			known := slices.ContainsFunc(r.export.Hops, func(o Hop) bool { return slices.Contains(o.Addresses, a) })
			if !known && !slices.Contains(h.Addresses, a) {
				h.Addresses = append(h.Addresses, a)
			}
		}
		if len(h.Addresses) > 0 && len(r.export.Hops) < maxHops {
			r.add(h)
		}
	}
}

// tidyName makes a name fit for one line of any output, at most 48 bytes of it, so
// that a number may follow.
func tidyName(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || 0x7f <= c && c <= 0x9f || c == 0xfffd {
			return '-'
		}
		return c
	}, s)
	for len(s) > 48 {
		s = s[:strings.LastIndexFunc(s, func(rune) bool { return true })]
	}
	if s == "" {
		return "unnamed"
	}
	return s
}
