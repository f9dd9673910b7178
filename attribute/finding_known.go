package attribute

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// splitResumed sorts out the sessions that were resumed and not asked. resumed and
// asked count only what ended at an endpoint that does ask, and full its full
// handshakes: of one that never asks, resuming hides nothing.
func splitResumed(all []*session) (rest []*session, full, resumed, asked int) {
	asks := make(map[netip.AddrPort]bool)
	for _, s := range all {
		if s.asked().asked == Yes {
			asks[s.last().server()] = true
		}
	}
	for _, s := range all {
		a, counts := s.asked(), asks[s.last().server()]
		if a.hidden() {
			if counts {
				resumed++
			}
			continue
		}
		rest = append(rest, s)
		if counts {
			full++
		}
		if a.asked == Yes {
			asked++
		}
	}
	return rest, full, resumed, asked
}

// resumption is no matter of chance: a resumed session cannot be asked in its
// handshake (RFC 8446 §4.3.2).
func resumption(name string, full, resumed, asked int) (Finding, bool) {
	if resumed == 0 || asked == 0 {
		return Finding{}, false
	}
	quiet := full - asked + resumed
	return Finding{
		SNI: name, Factor: "resumption", Explains: float64(resumed) / float64(quiet),
		Values: []FactorValue{{"full handshake", asked, full}, {"resumed", 0, resumed}},
		Text:   resumptionText(name, resumed, quiet),
	}, true
}

func resumptionText(name string, resumed, quiet int) string {
	of := fmt.Sprintf("%d of the %d connections that were not asked", resumed, quiet)
	switch {
	case quiet == 1:
		of = "the one connection that was not asked"
	case resumed == quiet:
		of = fmt.Sprintf("all %d connections that were not asked", quiet)
	}
	return name + ": " + of + " had resumed a session, and a resumed session cannot be asked"
}

// byPath is no matter of chance either: who asks behind the first handshake does so
// by what is requested there, as rules about paths and policies do, and a connection
// that was not asked made no such request.
func byPath(name string, all []*session) (Finding, bool) {
	var asked [AfterHandshake + 1]int
	quiet := 0
	for _, s := range all {
		switch a := s.asked(); a.asked {
		case Yes:
			asked[a.when]++
		case No:
			quiet++
		}
	}
	behind := asked[InRenegotiation] + asked[AfterHandshake]
	if behind == 0 || quiet == 0 {
		return Finding{}, false
	}
	f := Finding{SNI: name, Factor: "path", Explains: float64(behind) / float64(behind+asked[InHandshake])}
	for w := InHandshake; w <= AfterHandshake; w++ {
		if n := asked[w]; n > 0 {
			f.Values = append(f.Values, FactorValue{w.String(), n, n})
		}
	}
	f.Values = append(f.Values, FactorValue{"no such request", 0, quiet})
	in := map[When]string{InRenegotiation: "in a renegotiation", AfterHandshake: "after the handshake"}
	var where []string
	for _, w := range []When{InRenegotiation, AfterHandshake} {
		if n := asked[w]; n > 0 {
			where = append(where, fmt.Sprintf("%d %s", n, in[w]))
		}
	}
	f.Text = fmt.Sprintf("%s: asked behind the first handshake on %s (%s), and not at all on %s: "+
		"what is requested there, such as the path, decides", name, plural(behind, "connection"), strings.Join(where, ", "), plural(quiet, "other"))
	return f, true
}

// byName tells of an address whether it is a client's sending a server name (SNI)
// that decides; all are its sessions.
func (j *joiner) byName(server netip.AddrPort, all []*session) (Finding, bool) {
	s := newSample(slices.DeleteFunc(slices.Clone(all), func(s *session) bool { return !s.first().named }))
	if s.yes == 0 || s.yes == len(s.asked) {
		return Finding{}, false
	}
	const no = "no name"
	class, values := j.classify(&factor{value: func(_ *joiner, s *session) string {
		if s.first().sni == 0 {
			return no
		}
		return "a name"
	}}, s)
	if len(values) < 2 {
		return Finding{}, false
	}
	c := s.classified(Finding{Server: server, Factor: "sni"}, class, values)
	if c.Explains < leastShare || !s.beatsChance(1, &c) {
		return Finding{}, false
	}
	if values[0].Value != no {
		slices.Reverse(values)
	}
	c.Text = fmt.Sprintf("%s: clients that send no server name (SNI) are asked in %d of %d, and those that send one in %d of %d",
		server, values[0].Asked, values[0].Of, values[1].Asked, values[1].Of)
	return c.Finding, true
}
