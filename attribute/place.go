package attribute

import (
	"fmt"
	"slices"
)

// Place says where an asker is, as far as that is known of the address that its
// request came from: of a hop that passes TLS through, it is another's request.
type Place uint8

// Values of Place. The zero value is what any address may be that nothing more is
// known of.
const (
	AtOrBehind Place = iota
	// At: the address ends TLS and asks itself.
	At
	// Behind: the address is declared to pass TLS through.
	Behind
)

func (p Place) String() string { return [...]string{"at-or-behind", "at", "behind"}[p] }

// endKinds are the kinds of hop that have no way to pass TLS through.
var endKinds = [...]string{
	"apim", "apim-consumption", "apim-self-hosted", "appservice", "frontdoor", "cloudfront", "alb", "entra",
	"iis", "httpsys", "tomcat", "java",
}

// place tells from the configuration where the asker is whose request came from
// a hop, and why it is taken to be there.
func (h Hops) place(name, sni string) (Place, string) {
	for i := range h {
		if h[i].Name != name || name == "" {
			continue
		}
		switch d, _ := h[i].declares(sni); d {
		case DeclaredPassthrough:
			return Behind, "it is declared to pass TLS through"
		case DeclaredOptional, DeclaredRequired:
			return At, "it is declared to ask: " + d.String()
		}
		if kind := h[i].Kind; slices.Contains(endKinds[:], kind) {
			return At, "it is configured as " + kind + ", which always ends TLS"
		}
		break
	}
	return AtOrBehind, ""
}

// place tells where the asker of a session is. A hop that opened a session of its
// own for it ended TLS, whatever is configured.
func (j *joiner) place(s *session) (Place, string) {
	if s.inner != nil {
		return At, "it opened the next leg itself (" + s.joined.name + ")"
	}
	return j.Configured.place(j.hops.text(s.last().hop), j.names.text(s.last().sni))
}

// endings counts the sessions that an endpoint asked in and has ended itself:
// surely, or if clocks agree that could not be compared.
type endings struct{ surely, perhaps int }

func (j *joiner) ended() map[endpoint]endings {
	out := make(map[endpoint]endings)
	for _, s := range j.sessions {
		if s.inner == nil || s.unordered || s.asked().asked != Yes {
			continue
		}
		key := endpoint{s.last().server(), j.names.text(s.last().sni)}
		n := out[key]
		if j.unclocked(s) {
			n.perhaps++
		} else {
			n.surely++
		}
		out[key] = n
	}
	return out
}

// locate sets where an asker is, from what joining showed of it.
func (a *Asker) locate(j *Joined) {
	a.Several = a.Several || len(j.Paths) > 0 || len(j.Clocks) > 0
	key := endpoint{a.Addr, a.SNI}
	switch n := j.ended[key]; {
	case a.Passes > 0:
	case n.surely > 0:
		a.Place, a.PlaceBecause = At, fmt.Sprintf("in %d of %d connections it opened the next leg itself", n.surely, a.Asked)
	case n.perhaps > 0:
		a.Opened = n.perhaps
	}
}
