package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// row is what the table keeps of a connection.
type row struct {
	id, sameAs     uint64
	start          time.Time
	capture        string
	client, server netip.AddrPort
	hop, sni       string
	version        string
	asked          attribute.Answer
	resumed        bool
	when           attribute.When
	reply          attribute.Reply
	reason         string
	before         string // what a preamble says of the ends, empty for nothing
	ech            bool   // sni may be a public stand-in
	unread         bool   // whether there is one is not known
	// same: the reason is that of the row above; set by table.
	same bool
}

func newRow(c *attribute.Connection) row {
	v := &c.Verdict
	r := row{
		id: c.ID, sameAs: c.SameAs, start: c.Start, capture: c.Capture, client: c.Client, server: c.Server,
		hop: tidy(c.Hop), sni: tidy(serverName(c)), unread: c.ClientHello == nil, asked: v.Asked, resumed: v.Resumed,
		when: v.When, reply: v.Reply, reason: tidy(v.Reason),
		before: tidy(beforeTLS(c)),
	}
	if sh := c.ServerHello; sh != nil {
		r.version = strings.TrimPrefix(sh.Version.String(), "TLS ")
		if c.QUIC != nil {
			r.version += " QUIC"
		}
		r.version += logOnBy(c.Method).mark
		r.ech = sh.Version.IsTLS13() && c.ClientHello != nil && c.ClientHello.ECH
	}
	return r
}

// beforeTLS says whom a PROXY header names as the client, and what a proxy was
// asked for.
func beforeTLS(c *attribute.Connection) string {
	var parts []string
	if p := c.Proxied; p != nil {
		parts = append(parts, fmt.Sprintf("for %s, says a PROXY header", parse.EndName(p.Source)))
	}
	if c.Target != "" {
		parts = append(parts, fmt.Sprintf("to %s, as the client asked a proxy", c.Target))
	}
	if c.Tunnel != "" {
		what := "the handshake in there was read as well"
		if c.Hides() {
			what = "whatever handshake runs in there is hidden"
		}
		parts = append(parts, fmt.Sprintf("inside of it, a tunnel to %s that the client asked this proxy for; %s", c.Tunnel, what))
	}
	if c.Inside != 0 {
		parts = append(parts, fmt.Sprintf("inside of connection %d, whose keys are at hand", c.Inside))
	}
	return strings.Join(parts, "; ")
}

// order is in which answers are listed, and kept if there are too many.
var order = [...]attribute.Answer{attribute.Yes, attribute.Unknown, attribute.No}

// selection keeps a bounded number of connections, those with the answers that
// matter most, and of those with equal answers the first.
type selection struct {
	limit  int
	kept   int
	rows   [len(order)][]row // indexed by Answer
	counts [len(order)]int   // of all connections offered
}

func (s *selection) add(c *attribute.Connection) {
	a := c.Verdict.Asked
	s.counts[a]++
	if s.kept == s.limit && !s.makeRoom(a) {
		return
	}
	s.rows[a] = append(s.rows[a], newRow(c))
	s.kept++
}

// makeRoom drops the last row whose answer matters least, and less than a.
func (s *selection) makeRoom(a attribute.Answer) bool {
	for _, other := range slices.Backward(order[:]) {
		if other == a {
			return false
		}
		if n := len(s.rows[other]); n > 0 {
			s.rows[other][n-1] = row{}
			s.rows[other] = s.rows[other][:n-1]
			s.kept--
			return true
		}
	}
	return false
}

// list returns the rows in the order to print them.
func (s *selection) list() []row {
	var out []row
	for _, a := range order {
		rows := s.rows[a]
		slices.SortStableFunc(rows, func(x, y row) int { return x.start.Compare(y.start) })
		out = append(out, rows...)
	}
	return out
}

// name is the server name as the table has it.
func (r *row) name() string {
	if r.unread {
		return "?"
	}
	return cmp.Or(r.sni, "-")
}
