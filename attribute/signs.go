package attribute

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
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

// signRules is in the order in which signs are told. Those of what lies between two
// captures, or the two legs of a hop, come first; see crossing.
var signRules = []signRule{
	{"round-trip", false, byRoundTrip},
	{"syn-hop-limit", false, bySYNTTL},
	{"timestamps", false, byBare},
	{"clock", true, byClock},
	{"hop-limit", true, byTTL},
	{"tcp-options", true, byOptions},
	{"certificate", true, byCertificate},
	{"server-hello", true, byServerHello},
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
			out.add(g.legs[0].server, Sign{rule.kind, text})
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
		k := key{l.server, l.capture}
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
		if g := at[key{l.server, l.capture}]; g != nil {
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

// byRoundTrip compares how soon a SYN is answered with how soon a ClientHello is. Who
// ends TLS may be farther away than who ends TCP, and also takes its time to compute.
func byRoundTrip(_ *joiner, g *answering) string {
	const (
		far       = 10 * time.Millisecond // more than it takes to sign
		telling   = 5 * time.Millisecond  // of a round trip that tells where something is
		manifold  = 4
		alikeHalf = 3 // halves
	)
	var syn, hello time.Duration
	n := 0
	for _, l := range g.legs {
		if l.reply == 0 || l.delay == 0 {
			continue
		}
		r, h := time.Duration(l.reply)*time.Microsecond, time.Duration(l.delay)
		if n == 0 {
			syn, hello = r, h
		}
		syn, hello = min(syn, r), min(hello, h)
		n++
	}
	if n < fewest {
		return ""
	}
	figures := fmt.Sprintf("at best, of %d connections, a SYN was answered after %v and a ClientHello after %v", n,
		syn, hello.Round(time.Microsecond))
	switch {
	case hello >= manifold*syn && hello-syn >= far:
		return figures + ": what ends TLS may stand farther away than what ends TCP, or takes its time"
	case syn >= telling && 2*hello <= alikeHalf*syn:
		return figures + ": what ends TLS is about as far away as what ends TCP"
	}
	return ""
}

// bySYNTTL compares the hop limit of a SYN-ACK with that of the data behind it.
func bySYNTTL(_ *joiner, g *answering) string {
	n, differ := 0, 0
	var first *leg
	for _, l := range g.legs {
		if !l.is(openedSYNACK) || l.dataTTL[ofServer] == 0 {
			continue
		}
		n++
		if l.ttl[ofServer] != l.dataTTL[ofServer] {
			differ++
			first = cmp.Or(first, l)
		}
	}
	if differ < fewest {
		return ""
	}
	return fmt.Sprintf("in %d of %d connections the SYN-ACK and the data behind it came with different hop limits, such as %d and %d: "+
		"what answers a SYN may not be what sends the data, as with a SYN proxy, or their ways differ", differ, n, first.ttl[ofServer], first.dataTTL[ofServer])
}

// byBare looks for data without the timestamps that were agreed upon, which every
// packet then has to carry (RFC 7323 §3.2).
func byBare(j *joiner, g *answering) string {
	n, bare := 0, 0
	for _, l := range g.legs {
		if !l.is(openedStamped) || !j.options.at(l.options[ofClient]).Stamps() || l.dataTTL[ofServer] == 0 {
			continue
		}
		n++
		if l.is(openedBare) {
			bare++
		}
	}
	if bare < fewest {
		return ""
	}
	return fmt.Sprintf("in %d of %d connections both agreed upon TCP timestamps and the server's data carried none: "+
		"what answers a SYN may not be what sends the data, or something on the way takes options out", bare, n)
}

// byClock tells how many TCP clocks answer.
func byClock(_ *joiner, g *answering) string {
	counts := make(map[uint8]int)
	n := 0
	for _, l := range g.legs {
		if l.machine > 0 {
			counts[l.machine]++
			n++
		}
	}
	if len(counts) < 2 {
		return ""
	}
	return fmt.Sprintf("TCP timestamps of %d connections are of %d clocks, in turn (%s): more than one machine answers at this address",
		n, len(counts), shares(counts, func(k uint8) string { return fmt.Sprintf("clock %d", k) }))
}

// byTTL looks for several hop limits that take turns towards one client.
func byTTL(_ *joiner, g *answering) string {
	counts := inTurn(g.legs, func(l *leg) (netip.Addr, uint8, bool) {
		return l.client.Addr(), l.ttl[ofServer], l.is(openedSYNACK)
	})
	if counts == nil {
		return ""
	}
	return "SYN-ACKs to one client came with several hop limits, in turn (" +
		shares(counts, func(ttl uint8) string { return fmt.Sprint(ttl) }) +
		"): more than one machine may answer at this address, or there is more than one way to it"
}

// byOptions looks for several ways in which equal SYNs of one client are answered.
func byOptions(j *joiner, g *answering) string {
	type asking struct {
		client  netip.Addr
		options uint16
	}
	counts := inTurn(g.legs, func(l *leg) (asking, uint16, bool) {
		return asking{l.client.Addr(), l.options[ofClient]}, l.options[ofServer], l.is(openedSYNACK) && l.options[ofServer] > 0 && l.options[ofClient] > 0
	})
	if counts == nil {
		return ""
	}
	return "equal SYNs of one client were answered with several sets of TCP options, in turn (" +
		shares(counts, func(id uint16) string { return j.options.at(id).String() }) +
		"): more than one machine may answer at this address, or one that ran short of room for connections"
}

// greeting is what a server's answer may rightly depend on.
type greeting struct {
	client netip.Addr
	sni    uint32
	alpn   uint32
	print  uint16
}

func (l *leg) greeting() greeting {
	return greeting{l.client.Addr(), l.sni, l.alpn, l.clientPrint}
}

// byCertificate looks for several certificates that equal ClientHellos were answered by.
func byCertificate(_ *joiner, g *answering) string {
	counts := inTurn(g.legs, func(l *leg) (greeting, [8]byte, bool) {
		return l.greeting(), l.cert, l.cert != [8]byte{} && l.clientPrint > 0
	})
	if counts == nil {
		return ""
	}
	return "equal ClientHellos of one client were answered with several certificates, in turn (" +
		shares(counts, func(c [8]byte) string { return fmt.Sprintf("%x…", c[:6]) }) + "): more than one machine may end TLS for this address"
}

// byServerHello looks for several shapes of ServerHello that equal ClientHellos were
// answered by.
func byServerHello(j *joiner, g *answering) string {
	counts := inTurn(g.legs, func(l *leg) (greeting, uint16, bool) {
		return l.greeting(), l.serverPrint, l.hello && !l.resumed && l.clientPrint > 0 && l.serverPrint > 0
	})
	if counts == nil {
		return ""
	}
	return "equal ClientHellos of one client were answered with ServerHellos of several shapes, in turn (JA3S " +
		shares(counts, func(p uint16) string { return j.serverPrints.text(p) }) + "): more than one machine may end TLS for this address"
}

// inTurn counts what legs show, those that are alike in what it may depend on, if they
// show several things that take turns: each at least fewest times, and not just one
// behind the other, as when something is replaced. Else it is nil.
func inTurn[K, V comparable](legs []*leg, look func(*leg) (K, V, bool)) map[V]int {
	type group struct {
		counts  map[V]int
		last    V
		changes int
	}
	if uniform(legs, look) {
		return nil
	}
	groups := make(map[K]*group)
	for _, l := range legs {
		k, v, ok := look(l)
		if !ok {
			continue
		}
		g := groups[k]
		if g == nil {
			g = &group{counts: make(map[V]int), last: v}
			groups[k] = g
		}
		if v != g.last {
			g.changes++
			g.last = v
		}
		g.counts[v]++
	}
	var best map[V]int
	most := 0
	for _, g := range groups {
		n, often := 0, 0
		for _, c := range g.counts {
			n += c
			if c >= fewest {
				often++
			}
		}
		// Not the first found: the same captures have to give the same answer.
		if often >= 2 && g.changes >= 2*fewest-1 && n > most {
			best, most = g.counts, n
		}
	}
	return best
}

// uniform reports whether all legs show the same, as is the rule.
func uniform[K, V comparable](legs []*leg, look func(*leg) (K, V, bool)) bool {
	var first V
	known := false
	for _, l := range legs {
		_, v, ok := look(l)
		switch {
		case !ok:
		case !known:
			first, known = v, true
		case v != first:
			return false
		}
	}
	return true
}

// shares lists what was counted, the commonest first.
func shares[V comparable](counts map[V]int, name func(V) string) string {
	type share struct {
		name string
		n    int
	}
	var all []share
	for v, n := range counts {
		all = append(all, share{name(v), n})
	}
	slices.SortFunc(all, func(a, b share) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.name, b.name)) })
	var out []string
	for i, s := range all {
		if i == maxValues {
			out = append(out, fmt.Sprintf("%d more", len(all)-i))
			break
		}
		out = append(out, fmt.Sprintf("%s: %d", s.name, s.n))
	}
	return strings.Join(out, "; ")
}
