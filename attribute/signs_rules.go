package attribute

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

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
		return l.client().Addr(), l.ttl[ofServer], l.is(openedSYNACK)
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
		return asking{l.client().Addr(), l.options[ofClient]}, l.options[ofServer], l.is(openedSYNACK) && l.options[ofServer] > 0 && l.options[ofClient] > 0
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
	return greeting{l.client().Addr(), l.sni, l.alpn, l.clientPrint}
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
		last    V
		n       int // of last, until there is another
		counts  map[V]int
		changes int
	}
	if uniform(legs, look) {
		return nil
	}
	var groups []group
	at := make(map[K]int) // in groups
	for _, l := range legs {
		k, v, ok := look(l)
		if !ok {
			continue
		}
		i, known := at[k]
		if !known {
			i = len(groups)
			at[k] = i
			groups = append(groups, group{last: v})
		}
		g := &groups[i]
		switch {
		case v != g.last:
			if g.counts == nil {
				g.counts = map[V]int{g.last: g.n}
			}
			g.changes++
			g.last = v
			fallthrough
		case g.counts != nil:
			g.counts[v]++
		default:
			g.n++
		}
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
