package attribute

import (
	"fmt"
	"net/netip"
	"strings"
)

// crossingKey says between what connections were compared: the same connection at two
// captures, or two legs that carry one ClientHello, in front of and behind a hop.
type crossingKey struct {
	server   netip.AddrPort // of the connection, or the hop
	captures [2]uint16      // of the same connection; zero for two legs
}

// crossing counts what stays the same of TCP from one point to another, where both
// SYNs were captured at both.
type crossing struct {
	n int
	// numbers of the client, of the server that are the same
	client, server int
	options        int // connections whose options differ
	changed        [2]uint16
	changedOf      int // role
}

// maxCrossings bounds what is compared.
const maxCrossings = 1024

// cross compares a connection at two points.
func (j *joiner) cross(k crossingKey, a, b *leg) {
	if !a.is(openedSYN|openedSYNACK) || !b.is(openedSYN|openedSYNACK) {
		return
	}
	c := j.crossings[k]
	if c == nil {
		if len(j.crossings) == maxCrossings {
			return
		}
		c = new(crossing)
		j.crossings[k] = c
	}
	c.n++
	if a.seq[ofClient] == b.seq[ofClient] {
		c.client++
	}
	if a.seq[ofServer] == b.seq[ofServer] {
		c.server++
	}
	for role := range a.options {
		if a.options[role] != b.options[role] && a.options[role] > 0 && b.options[role] > 0 {
			if c.options == 0 {
				c.changed, c.changedOf = [2]uint16{a.options[role], b.options[role]}, role
			}
			c.options++
			break
		}
	}
}

// sighted compares one connection as two captures show it.
func (j *joiner) sighted(a, b *leg) {
	if a.capture > b.capture {
		a, b = b, a
	}
	if a.capture > 0 && a.capture < b.capture {
		j.cross(crossingKey{a.server(), [2]uint16{a.capture, b.capture}}, a, b)
	}
}

// crossed compares what a session shows of its hops: legs that follow each other.
func (j *joiner) crossed(s *session) {
	for i := 1; i < len(s.legs) && !s.unordered; i++ {
		j.cross(crossingKey{server: s.legs[i-1].server()}, s.legs[i-1], s.legs[i])
	}
}

// sign tells what a crossing shows of who ends TCP.
func (c *crossing) sign(j *joiner, k crossingKey) (Sign, bool) {
	where, of := "in front of it and behind it", fmt.Sprintf(" in %d of %d connections", c.client, c.n)
	hop := k.captures == [2]uint16{}
	if !hop {
		where = "in " + j.captures.text(k.captures[0]) + " and in " + j.captures.text(k.captures[1])
	}
	var text string
	switch {
	case c.client == c.n && c.server == c.n && hop:
		text = fmt.Sprintf("TCP's initial sequence numbers are the same %s (%s): it passes packets on and does not end TCP", where, plural(c.n, "connection"))
	case c.client == 0 && c.server == 0 && hop:
		text = fmt.Sprintf("TCP's initial sequence numbers differ %s (%s): it ends TCP and passes TLS on, or makes up numbers of its own", where, plural(c.n, "connection"))
	case c.client == c.n && c.server == 0:
		text = fmt.Sprintf("the client's initial sequence number is the same %s and the server's is not (%s): something there answers SYNs in the server's place", where, plural(c.n, "connection"))
	case c.client == 0 && c.server == 0:
		text = fmt.Sprintf("TCP's initial sequence numbers differ %s (%s): something between these ends TCP, or makes up numbers of its own", where, plural(c.n, "connection"))
	case c.client < c.n || c.server < c.n:
		text = fmt.Sprintf("TCP's initial sequence numbers are the same %s%s of the client's, %d of the server's", where, of, c.server)
	}
	if c.options > 0 && (c.client == c.n || text == "") {
		// With numbers of its own, a hop has options of its own: that says nothing more.
		more := fmt.Sprintf("the options of %s differ %s, in %d of %d: %s, and %s", []string{"SYNs", "SYN-ACKs"}[c.changedOf], where,
			c.options, c.n, j.options.at(c.changed[0]), j.options.at(c.changed[1]))
		text = strings.TrimPrefix(text+"; "+more, "; ")
	}
	return Sign{"tcp", text}, text != ""
}
