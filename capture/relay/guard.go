package relay

import (
	"net"
	"net/netip"
	"path"
	"strings"
)

// Rule allows targets: those with a name, or those in a prefix.
type Rule struct {
	Name   string       // glob as in path.Match, lower case; empty for any
	Prefix netip.Prefix // zero for any
	Port   uint16       // 0 for any
}

func (r Rule) allows(t Target, to netip.AddrPort) bool {
	if r.Port != 0 && r.Port != to.Port() {
		return false
	}
	if r.Prefix.IsValid() {
		return r.Prefix.Contains(to.Addr())
	}
	ok, err := path.Match(r.Name, strings.ToLower(strings.TrimSuffix(t.Host, ".")))
	return err == nil && ok && t.Host != ""
}

// special are addresses that are no ordinary targets: what answers there trusts
// whoever can reach it. A rule, or the operator, has to name them on purpose.
var special = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this network"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address, where clouds serve metadata"},
	{netip.MustParsePrefix("100.100.100.200/32"), "a metadata address"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata address"},
	{netip.MustParsePrefix("192.0.0.192/32"), "a metadata address"},
	{netip.MustParsePrefix("224.0.0.0/3"), "no unicast address"},
	{netip.MustParsePrefix("::/128"), "no address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "a metadata address"},
	{netip.MustParsePrefix("ff00::/8"), "no unicast address"},
}

// access says who may come, and where to go.
type access struct {
	clients func(netip.Addr) bool // nil for everybody who can
	guard   guard
}

// Allow replaces Options.Clients and Dial.Targets for connections to come.
func (r *Relay) Allow(clients func(netip.Addr) bool, targets []Rule) {
	r.access.Store(&access{clients, newGuard(targets, r.entries)})
}

// guard says where connections may go.
type guard struct {
	rules []Rule
	own   []netip.AddrPort // our listening sockets
}

func newGuard(rules []Rule, entries []Entry) guard {
	g := guard{rules: rules}
	for i := range entries {
		g.own = append(g.own, addrPort(entries[i].Listener.Addr()))
	}
	return g
}

// refusal is a target that is not allowed.
type refusal struct{ why string }

func (r *refusal) Error() string { return r.why }

// check refuses an address that a target must not reach.
func (g *guard) check(t Target, to netip.AddrPort) error {
	addr := to.Addr().Unmap().WithZone("")
	to = netip.AddrPortFrom(addr, to.Port())
	if g.self(to) {
		return &refusal{to.String() + " is this relay itself"}
	}
	if t.Chosen {
		return nil
	}
	allowed := len(g.rules) == 0
	for _, r := range g.rules {
		allowed = allowed || r.allows(t, to)
	}
	if !allowed {
		return &refusal{to.String() + " is not among the allowed targets"}
	}
	for _, s := range special {
		if s.prefix.Contains(addr) && !g.onPurpose(s.prefix, to) {
			return &refusal{to.String() + " is " + s.what}
		}
	}
	return nil
}

// mayBe reports whether a name may be allowed, so that it is worth resolving:
// names that no rule fits are not even asked for.
func (g *guard) mayBe(t Target) bool {
	for _, r := range g.rules {
		if r.Port != 0 && r.Port != t.Port {
			continue
		}
		if r.Prefix.IsValid() || r.allows(t, netip.AddrPortFrom(netip.Addr{}, t.Port)) {
			return true
		}
	}
	return false
}

// onPurpose reports whether a rule names an address within special ones: not one
// that happens to span them, or a name.
func (g *guard) onPurpose(special netip.Prefix, to netip.AddrPort) bool {
	for _, r := range g.rules {
		if r.Prefix.IsValid() && r.Prefix.Bits() >= special.Bits() && r.allows(Target{}, to) {
			return true
		}
	}
	return false
}

// self reports whether an address is one of our own sockets.
func (g *guard) self(to netip.AddrPort) bool {
	for _, own := range g.own {
		if own.Port() != to.Port() {
			continue
		}
		if own.Addr() == to.Addr() || to.Addr().IsUnspecified() || own.Addr().IsUnspecified() && isLocal(to.Addr()) {
			return true
		}
	}
	return false
}

// isLocal reports whether an address is one of this machine's.
func isLocal(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // better refuse than loop
	}
	for _, i := range addrs {
		if n, ok := i.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a {
				return true
			}
		}
	}
	return false
}
