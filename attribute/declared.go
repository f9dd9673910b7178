package attribute

import (
	"fmt"
	"strings"
)

// Declared is what a configuration says about requests under a name.
type Declared uint8

// Values of Declared; the zero value is that nothing is declared.
const (
	NotDeclared Declared = iota
	DeclaredOff
	DeclaredOptional
	DeclaredRequired
)

func (d Declared) String() string { return [...]string{"", "off", "optional", "required"}[d] }

// ParseDeclared reads "off", "optional" or "required".
func ParseDeclared(s string) (Declared, error) {
	for d := DeclaredOff; d <= DeclaredRequired; d++ {
		if d.String() == s {
			return d, nil
		}
	}
	return NotDeclared, fmt.Errorf("%q is not off, optional or required", s)
}

// declared is what is declared of a hop for a server name. A hop with host
// names speaks for these only: what an endpoint does under others, or none, is
// not theirs.
func (h Hops) declared(hop, sni string) Declared {
	for i := range h {
		if h[i].Name != hop || hop == "" {
			continue
		}
		if len(h[i].Hostnames) == 0 {
			return h[i].Declared
		}
		for _, n := range h[i].Hostnames {
			if n.Match(sni) {
				return h[i].Declared
			}
		}
	}
	return NotDeclared
}

// compare sets what is declared of an asker and whether that agrees with what
// was seen; Agrees stays unknown where only resumed sessions were.
func (a *Asker) compare(d Declared) {
	a.Declared, a.Agrees = d, Unknown
	if d == NotDeclared || a.Passes > 0 && a.Passes >= a.Asked {
		a.Declared = NotDeclared
		return
	}
	switch {
	case a.Asked == 0 && a.NotAsked == 0:
	case d == DeclaredOff && a.Asked > 0, d != DeclaredOff && a.NotAsked > 0, d == DeclaredOptional && a.Traits.Refused > 0:
		a.Agrees = No
	default:
		a.Agrees = Yes
	}
}

// Agreement says in words how what was declared and what was seen compare,
// empty where nothing is declared.
func (a *Asker) Agreement() string {
	if a.Declared == NotDeclared {
		return ""
	}
	b := strings.Builder{}
	fmt.Fprintf(&b, "declared %s, asked %d of %d", a.Declared, a.Asked, a.Asked+a.NotAsked)
	switch {
	case a.Agrees == Unknown:
		return fmt.Sprintf("declared %s; what was captured cannot tell", a.Declared)
	case a.Agrees == Yes:
		b.WriteString(", as declared")
	case a.Declared == DeclaredOptional && a.NotAsked == 0:
		fmt.Fprintf(&b, ", and ended by TLS %d times for want of a certificate: it is required", a.Traits.Refused)
	case a.Asked > 0 && a.NotAsked > 0:
		b.WriteString(": still being rolled out, or several machines answer on this address")
	default:
		b.WriteString(": not propagated yet, or another endpoint answers on this address")
	}
	return b.String()
}
