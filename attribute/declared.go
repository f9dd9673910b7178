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
	// DeclaredPassthrough: TLS is passed through, so that whatever is asked comes
	// from behind.
	DeclaredPassthrough
)

func (d Declared) String() string {
	return [...]string{"", "off", "optional", "required", "passthrough"}[d]
}

// ParseDeclared reads what String writes.
func ParseDeclared(s string) (Declared, error) {
	for d := DeclaredOff; d <= DeclaredPassthrough; d++ {
		if d.String() == s {
			return d, nil
		}
	}
	return NotDeclared, fmt.Errorf("%q is not off, optional, required or passthrough", s)
}

// NameDeclared is what is declared of one host name of a hop.
type NameDeclared struct {
	Name     Hostname
	Declared Declared
}

// DefaultName stands for all other names, and for none, where names are declared.
const DefaultName = "default"

// declares returns what is declared for a server name, and what it is declared
// of: a name or wildcard, DefaultName, or empty for the hop as a whole.
func (h *Hop) declares(sni string) (Declared, string) {
	best := NameDeclared{}
	for _, n := range h.ByName {
		if n.Name.Match(sni) && (best.Name == "" || n.Name.weight() > best.Name.weight()) {
			best = n
		}
	}
	if best.Name != "" {
		return best.Declared, string(best.Name)
	}
	if h.Declared != NotDeclared && (len(h.Hostnames) == 0 || h.named(sni)) {
		return h.Declared, ""
	}
	if h.Otherwise != NotDeclared {
		return h.Otherwise, DefaultName
	}
	return NotDeclared, ""
}

func (h *Hop) named(sni string) bool {
	for _, n := range h.Hostnames {
		if n.Match(sni) {
			return true
		}
	}
	return false
}

// compare sets what is declared of an asker and whether that agrees with what
// was seen; Agrees stays unknown where only resumed sessions were, and where it
// takes another point to capture at.
func (a *Asker) compare(hops Hops) {
	a.Declared, a.DeclaredOf, a.Agrees = NotDeclared, "", Unknown
	for i := range hops {
		if hops[i].Name == a.Hop && a.Hop != "" {
			if h := &hops[i]; a.Unread == 0 || len(h.ByName)+len(h.Hostnames) == 0 { // else the name matters
				a.Declared, a.DeclaredOf = h.declares(a.SNI)
			}
			break
		}
	}
	passes := a.Passes > 0 && a.Passes >= a.Asked
	switch d := a.Declared; {
	case d == DeclaredPassthrough:
		if passes {
			a.Agrees = Yes
		}
	case passes: // it is not about what others ask
		a.Declared, a.DeclaredOf = NotDeclared, ""
	case d == NotDeclared, a.Asked == 0 && a.NotAsked == 0:
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
	declared := "declared " + a.Declared.String()
	switch a.DeclaredOf {
	case "", strings.ToLower(strings.TrimSuffix(a.SNI, ".")):
	case DefaultName:
		declared += " by default"
	default:
		declared += " for " + a.DeclaredOf
	}
	seen := fmt.Sprintf("%s, asked %d of %d", declared, a.Asked, a.Asked+a.NotAsked)
	switch {
	case a.Declared == DeclaredPassthrough:
		return declared + a.passing()
	case a.Agrees == Unknown:
		return declared + "; what was captured cannot tell"
	case a.Agrees == Yes:
		return seen + ", as declared"
	case a.Declared == DeclaredOptional && a.NotAsked == 0:
		return fmt.Sprintf("%s, and ended by TLS %d times for want of a certificate: it is required", seen, a.Traits.Refused)
	case a.Declared == DeclaredOff && a.Traits.Handshake == 0 && a.Traits.Renegotiation+a.Traits.Later > 0:
		return seen + ", each time behind the first handshake: a path or a policy asks, which this setting does not cover"
	case a.Asked > 0 && a.NotAsked > 0:
		return seen + ": still being rolled out, or several machines answer on this address"
	}
	return seen + ": not propagated yet, or another endpoint answers on this address"
}

// passing says what was seen of an endpoint that is to pass TLS through.
func (a *Asker) passing() string {
	switch {
	case a.Agrees == Yes:
		return ", and so it does: who asked is behind it"
	case a.Asked > 0:
		return fmt.Sprintf(", asked %d of %d: who asked is behind it; capture there, too", a.Asked, a.Asked+a.NotAsked)
	}
	return ": what is seen here is from behind it"
}
