package attribute

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Sign is something that captures show of who ends TCP and who TLS at an endpoint, or
// of how many machines answer there. It is evidence for a person to weigh: no verdict
// and no join rests on it.
type Sign struct {
	Kind string // name of a row of signRules, stable
	Text string // one sentence with the figures
}

// severalMachines is the text of a sign that more than one machine answers, empty for
// none.
func (a *Asker) severalMachines() string {
	for _, s := range a.Signs {
		if slices.ContainsFunc(signRules, func(r signRule) bool { return r.several && r.kind == s.Kind }) {
			return s.Text
		}
	}
	return ""
}

// signed is signs by the address of the server.
type signed map[netip.AddrPort][]Sign

// signRule is a row: what is looked at of the legs to one address that one capture
// shows, and what is said of it, empty for nothing; several says that it is of more
// than one machine at the address.
type signRule struct {
	kind    string
	several bool
	say     func(*joiner, *answering) string
}

// answering is what one capture shows of one server, in order of time.
type answering struct {
	capture uint16
	legs    []*leg
}

// Bounds of the search for signs.
const (
	maxClocked = 4096 // legs of one server and capture
	maxSigned  = 1024 // of these
	maxServers = 1024 // servers, by capture
	// fewest is in how many connections something has to be seen to count.
	fewest = 3
)

// signs tells what shows of the servers in groups, and of what was compared meanwhile.
func (j *joiner) signs(groups []answering) signed {
	out := make(signed)
	crossings := slices.SortedFunc(maps.Keys(j.crossings), func(a, b crossingKey) int {
		return cmp.Or(a.server.Compare(b.server), slices.Compare(a.captures[:], b.captures[:]))
	})
	for _, k := range crossings {
		if s, ok := j.crossings[k].sign(j, k); ok {
			out.add(k.server, s)
		}
	}
	for i := range groups {
		g := &groups[i]
		g.legs = thinned(g.legs, maxSigned)
		for r := range signRules {
			rule := &signRules[r]
			text := rule.say(j, g)
			if text == "" {
				continue
			}
			if len(j.captures.texts) > 1 && g.capture > 0 {
				text += ", in " + j.captures.text(g.capture)
			}
			out.add(g.legs[0].server(), Sign{rule.kind, text})
		}
	}
	return out
}

// maxSigns bounds the signs of one server.
const maxSigns = 16

func (m signed) add(server netip.AddrPort, s Sign) {
	if len(m[server]) < maxSigns {
		m[server] = append(m[server], s)
	}
}

// answering sorts legs by server and capture, in the order these turned up.
func (j *joiner) answering() []answering {
	type key struct {
		server  netip.AddrPort
		capture uint16
	}
	type group struct{ n, from int }
	at := make(map[key]*group)
	var order []*group
	for i := range j.legs.n {
		l := j.legs.at(i)
		k := key{l.server(), l.capture}
		g := at[k]
		if g == nil {
			if len(order) == maxServers {
				continue
			}
			g = new(group)
			at[k] = g
			order = append(order, g)
		}
		g.n++
	}
	from := 0
	for _, g := range order {
		g.from = from
		from += g.n
		g.n = 0
	}
	all := make([]*leg, from)
	for i := range j.legs.n {
		l := j.legs.at(i)
		if g := at[key{l.server(), l.capture}]; g != nil {
			all[g.from+g.n] = l
			g.n++
		}
	}
	var out []answering
	for _, g := range order {
		legs := all[g.from : g.from+g.n]
		slices.SortStableFunc(legs, func(a, b *leg) int { return cmp.Compare(a.start, b.start) })
		out = append(out, answering{legs[0].capture, thinned(legs, maxClocked)})
	}
	return out
}

// thinned keeps no more than most legs, evenly spread, in the memory they have.
func thinned(legs []*leg, most int) []*leg {
	step := (len(legs) + most - 1) / most
	if step < 2 {
		return legs
	}
	few := legs[:0]
	for k := 0; k < len(legs); k += step {
		few = append(few, legs[k])
	}
	return few
}
