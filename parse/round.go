package parse

// recent remembers the last sealed records of a TLS 1.3 connection on which
// post-handshake authentication was, or may have been, offered, so that a round
// can be cut out when its answer passes.
type recent struct {
	recs        [8]Record
	ticket      uint16 // length of two equal records of the server behind the first handshake
	server      uint16 // length of the server's record before
	pair        bool   // and the client's was not behind it
	n           int
	last        uint16 // length of the client's record before
	spoke       int    // records of the client
	established bool   // the first handshake is through
	follow      int    // records still to go to the open round
}

// book adds a sealed record, opening a round where one begins.
func (c *Conn) book(d *direction, r Record) {
	switch {
	case r.Type == ApplicationData && c.mayAskLater():
		c.bookPostHandshake(r)
	case c.tls13():
	case r.Type == HandshakeRecord:
		// A server's first sealed handshake record is Finished; any later one is
		// a handshake inside the connection. A client may send some more in front
		// of its Finished (next_protocol, channel_id), but none behind data.
		server := c.h.ClientKnown && d.from != c.h.Client
		if d.finished && server || c.h.Sides[d.from].AppData > 0 {
			c.openRound(Renegotiation)
		}
		d.finished = d.finished || d.sealed // else it may be a piece of a message in the clear
	case r.Type == ApplicationData:
		c.closeRound(r.From)
	}
	c.emitRecord(r)
}

func (c *Conn) tls13() bool {
	return c.h.ServerHello != nil && c.h.ServerHello.Version.IsTLS13()
}

// mayAskLater reports whether a post-handshake request is possible: in TLS 1.3,
// unless a ClientHello without the offer was seen. Where the ServerHello is
// missing, TLS 1.3 shows by sealed records without a ChangeCipherSpec and
// Finished of type 22 in front.
func (c *Conn) mayAskLater() bool {
	ch := c.h.ClientHello
	if c.h.ServerHello == nil {
		return ch != nil && ch.PostHandshakeAuth && !c.dirs[c.h.Client].finished
	}
	return c.tls13() && (ch == nil || ch.PostHandshakeAuth)
}

// openRound opens a round unless one is open.
func (c *Conn) openRound(k RoundKind, before ...Record) {
	if c.roundOpen() {
		return
	}
	c.emit(Event{Kind: EventRound, Round: k, Records: before})
}

func (c *Conn) roundOpen() bool {
	n := len(c.h.Rounds)
	return n > 0 && c.h.Rounds[n-1].open
}

// endRound ends a round that is open.
func (c *Conn) endRound() {
	if c.roundOpen() {
		c.h.Rounds[len(c.h.Rounds)-1].open = false
	}
}

// closeRound ends a renegotiation when application data comes from a side that
// has changed its keys in it.
func (c *Conn) closeRound(from Side) {
	if !c.roundOpen() {
		return
	}
	for _, r := range c.h.Rounds[len(c.h.Rounds)-1].Tape.Records {
		if r.From == from && r.Type == ChangeCipherSpec {
			c.endRound()
			return
		}
	}
}

// bookPostHandshake looks for the shape of an answer to a post-handshake
// request, once the first handshake is through (RFC 8446 §4.6.2): a record of
// exactly the length of Finished as the client's next behind another, or a pair
// of session tickets.
func (c *Conn) bookPostHandshake(r Record) {
	p := &c.recent
	if c.roundOpen() {
		if p.follow--; p.follow < 0 {
			c.endRound()
		}
	}
	if r.From == c.h.Client {
		if p.established && c.isFinished(r.Len) && p.last > 0 {
			c.openPostHandshake()
		}
		p.last, p.pair = r.Len, false
		p.spoke++
		// What the server sends next tells that the first flight is through; so
		// does a flight of Finished alone, and no first flight has more than three
		// records, which helps where the server's are missing.
		if c.isFinished(r.Len) || p.spoke > 2 && c.h.Sides[r.From.Other()].AppData == 0 {
			p.established = true
		}
	} else if p.spoke > 0 {
		p.established = true
		// Two records of one length are what a server's session tickets look
		// like: if they come again, behind an answer in a single record, that may
		// have been to a request.
		switch {
		case p.server != r.Len:
		case p.ticket == 0:
			p.ticket = r.Len
		case p.pair && r.Len >= p.ticket && r.Len < 4<<10:
			c.openPostHandshake()
		}
		p.server, p.pair = r.Len, true
	}
	p.recs[p.n%len(p.recs)] = r
	p.n++
}

// openPostHandshake opens a round with the records that led to it.
func (c *Conn) openPostHandshake() {
	p := &c.recent
	var before []Record
	for i := max(0, p.n-len(p.recs)); i < p.n; i++ {
		before = append(before, p.recs[i%len(p.recs)])
	}
	c.openRound(PostHandshake, before...)
	p.follow = 4
}

// isFinished reports whether a record has the length of Finished alone, under
// the suite chosen or, where that is not known, under any.
func (c *Conn) isFinished(n uint16) bool {
	suites := []CipherSuite{0x1301, 0x1302}
	if c.h.ServerHello != nil {
		suites = []CipherSuite{c.h.ServerHello.Cipher}
	}
	for _, s := range suites {
		if l, ok := s.FinishedLen(); ok && l == int(n) {
			return true
		}
	}
	return false
}
