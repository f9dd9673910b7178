package main

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"whoasked/attribute"
	"whoasked/capture/probe"
)

// nameKinds are the words of --each-name, beside all.
var nameKinds = []string{"none", "random", "certificate", "hops"}

// maxEachName bounds the names that --each-name finds for one address.
const maxEachName = 16

// eachName checks the words of --each-name and puts all in full.
func (f *probeFlags) eachName() error {
	var out []string
	for _, w := range f.eachNames {
		switch {
		case w == "all":
			out = append(out, nameKinds...)
		case slices.Contains(nameKinds, w):
			out = append(out, w)
		default:
			return fmt.Errorf("--each-name %s is none of %s and all", w, strings.Join(nameKinds, ", "))
		}
	}
	f.eachNames = out
	return nil
}

// moreNames lists what to do beyond a plan that was carried out: each address that
// took part in a handshake is asked under the names that --each-name means, too,
// with every version, and the protocol that most servers speak.
func (p *probing) moreNames(t probe.Target, done []*probe.Attempt) []probe.Probe {
	if len(p.flags.eachNames) == 0 {
		return nil
	}
	var order []netip.AddrPort
	names := make(map[netip.AddrPort]*nameList)
	for _, a := range done {
		if a == nil || !answered(a) {
			continue
		}
		l := names[a.Addr]
		if l == nil {
			l = &nameList{of: t, aside: a.Aside}
			names[a.Addr] = l
			order = append(order, a.Addr)
		}
		l.certificate(a)
	}
	m := p.matrix
	m.ALPN, m.Resume, m.Later = []string{m.Plainest()}, false, false
	var out []probe.Probe
	for _, addr := range order {
		l := names[addr]
		m.Addrs, m.Names = []netip.Addr{addr.Addr()}, l.list(p.flags.eachNames, p.hops, done)
		at := t
		at.Port = addr.Port()
		for _, pr := range m.Plan(at) {
			pr.Target, pr.Aside, pr.Found = t, l.aside, true
			out = append(out, pr)
		}
		if l.left > 0 {
			p.terminal.note(fmt.Sprintf("%s: %s beyond %d left out", addr, count(int64(l.left), "further name"), maxEachName))
		}
	}
	return out
}

// nameList gathers names to try at an address.
type nameList struct {
	of    probe.Target
	aside bool     // as of the probes that led there
	certs []string // as certificates spell them
	names []string
	left  int // not tried
}

// certificate takes the names of the certificate that came with an answer.
func (l *nameList) certificate(a *probe.Attempt) {
	chain := a.Handshake.ServerCerts()
	if len(chain) == 0 {
		return
	}
	for _, n := range chain[0].Names {
		if !slices.Contains(l.certs, n) && len(l.certs) < 64*maxEachName {
			l.certs = append(l.certs, n)
		}
	}
}

// list puts together the names of all kinds, without those that were tried.
func (l *nameList) list(kinds []string, hops attribute.Hops, done []*probe.Attempt) []string {
	tried := make(map[string]bool)
	for _, a := range done {
		if a != nil {
			tried[strings.ToLower(a.ServerName)] = true
		}
	}
	add := func(n string) {
		switch {
		case tried[n]:
		case len(l.names) == maxEachName:
			l.left++
		default:
			l.names = append(l.names, n)
		}
		tried[n] = true
	}
	for _, k := range nameKinds {
		switch {
		case !slices.Contains(kinds, k):
		case k == "none":
			add("")
		case k == "random":
			add(l.label() + ".invalid") // RFC 6761 §6.4: nobody has it
		case k == "certificate":
			for _, n := range l.certs {
				if n, ok := l.spell(n); ok {
					add(n)
				}
			}
		case k == "hops":
			for i := range hops {
				for _, h := range hops[i].Hostnames {
					if n, ok := l.spell(string(h)); ok {
						add(n)
					}
				}
			}
		}
	}
	return l.names
}

// label is one that no server has a reason to know, the same in each run, so that
// runs can be compared.
func (l *nameList) label() string {
	sum := sha256.Sum256([]byte(l.of.Host))
	return fmt.Sprintf("w%x", sum[:5])
}

// spell makes a name to be sent of one in a certificate or in the settings: a
// wildcard becomes a name that it stands for. Addresses and what is no host name
// are not sent (RFC 6066 §3).
func (l *nameList) spell(name string) (string, bool) {
	h, err := attribute.ParseHostname(name)
	if err != nil {
		return "", false
	}
	if _, err := netip.ParseAddr(string(h)); err == nil {
		return "", false
	}
	if parent, wild := strings.CutPrefix(string(h), "*"); wild {
		return l.label() + parent, true
	}
	return string(h), true
}
