package parse

// What runs in a tunnel through a connection whose records are opened with keys
// (RFC 9110 §9.3.6) is a connection of its own: it is parsed as one, from the
// CONNECT on, and may hold another.

// maxInside bounds how deep connections are parsed inside of each other: a proxy
// that is reached through a proxy.
const maxInside = 2

// workspace is what a Parser needs apart for connections of one depth, as they
// are fed while the one around them is.
type workspace struct {
	events []Event
	plain  []byte
}

// Hides reports whether a tunnel is known to run through the connection in which
// no handshake was read.
func (h *Handshake) Hides() bool {
	return h.Tunnel != "" && (h.Inner == nil || !h.Inner.TLS)
}

// enter begins the connection inside of this one.
func (u *unsealing) enter(from Side) {
	c := u.c
	if c.depth == maxInside {
		return
	}
	c.inner = c.p.NewConn()
	c.inner.depth = c.depth + 1
	c.h.Inner = c.inner.h
	// Nothing is missing in front of the CONNECT; of the server something may be.
	u.dirs[from].last, u.dirs[from].hole = false, false
	c.h.Unsealing = true
}

// reads reports whether the content of a record is looked at, whatever it is.
func (u *unsealing) reads(d *direction, t ContentType) bool {
	return t == ApplicationData && u.c.inner != nil || u.listens(d, t)
}

// pass hands application data on to the connection inside.
func (u *unsealing) pass(from Side, b []byte) {
	if u.c.inner == nil {
		u.dirs[from].hole = true // if one begins here yet
		return
	}
	u.tellHole(from)
	u.c.feedInner(Chunk{From: from, Data: b})
}

// tellHole tells the connection inside that bytes are missing, of which nobody
// knows how many.
func (u *unsealing) tellHole(from Side) {
	if s := &u.dirs[from]; s.hole {
		s.hole = false
		u.c.inner.dirs[from].loseUnknown()
		u.c.feedInner(Chunk{From: from, Lost: 1})
	}
}

// endInner tells the connection inside that a side will send no more, or that all
// is over.
func (c *Conn) endInner(ch *Chunk) {
	if c.inner == nil {
		return
	}
	for from := range c.dirs {
		s := &c.un.dirs[from]
		if ch.End == Open && Side(from) != ch.From {
			continue
		}
		s.hole = s.hole || s.missing > 0 || s.done && !s.closed || len(s.held) > 0 || c.dirs[from].gap
		c.un.tellHole(Side(from))
	}
	c.feedInner(Chunk{From: ch.From, Fin: ch.Fin, End: ch.End})
}

// feedInner feeds the connection inside, in the middle of a Feed of this one.
func (c *Conn) feedInner(ch Chunk) {
	ch.Flow, ch.Time, ch.Midstream = c.h.Flow, c.now, c.h.Midstream
	w := &c.p.inside[c.depth]
	c.p.events, w.events = w.events, c.p.events
	c.p.plain, w.plain = w.plain, c.p.plain
	c.inner.Feed(ch)
	c.p.events, w.events = w.events, c.p.events
	c.p.plain, w.plain = w.plain, c.p.plain
}
