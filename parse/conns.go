package parse

// Conns keeps the open connections of one source, by the number that their chunks
// bear. It is for one goroutine.
type Conns struct {
	parser *Parser
	open   []*Conn // indexed by Chunk.Conn, nil for none
}

// NewConns returns Conns whose connections are p's.
func (p *Parser) NewConns() *Conns { return &Conns{parser: p} }

// Feed gives a chunk to its connection, which begins with its first one, and
// returns it and what [Conn.Feed] did. With its last chunk, where End is not Open,
// a connection is forgotten, so that its number may come again.
func (cs *Conns) Feed(ch *Chunk) (*Conn, []Event) {
	for ch.Conn >= len(cs.open) {
		cs.open = append(cs.open, nil)
	}
	c := cs.open[ch.Conn]
	if c == nil {
		c = cs.parser.NewConn()
		cs.open[ch.Conn] = c
	}
	if ch.End != Open {
		cs.open[ch.Conn] = nil
	}
	return c, c.feed(ch)
}
