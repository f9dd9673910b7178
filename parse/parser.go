package parse

// Options says what a Parser works out beyond the bare facts.
type Options struct {
	// Fingerprints fills JA3, and works JA4 and JA3S out anew for each hello, which
	// costs a few hashes a connection. Without it they are those of an earlier hello
	// with the same digest of what they are made of: good to tell peers apart that do
	// not mean to be taken for another, as whoever wants to can forge a digest.
	Fingerprints bool
	// Keys opens sealed handshakes; nil for none. Secrets may be added while
	// connections run, between two calls of Feed.
	Keys *Keys
}

// Parser makes Conns and holds what they share: options, a cache of parsed
// certificates, and memory for another use. It is not safe for concurrent use.
type Parser struct {
	opts   Options
	certs  certCache
	marks  markCache
	events []Event      // of the latest Feed
	conns  []*Conn      // given back by Recycle
	shakes []*Handshake // given back by Release
	spare  [][]byte     // buffers not in use

	sessions  sessions // with keys: which connection made a session
	plain     []byte   // the record unsealed last
	heldBytes int      // of sealed records that wait for their secret
	inside    [maxInside]workspace
}

// NewParser returns a Parser.
func NewParser(opts Options) *Parser { return &Parser{opts: opts} }

// NewConn returns a Conn that expects the first chunk of a connection.
func (p *Parser) NewConn() *Conn {
	var c *Conn
	if n := len(p.conns); n > 0 {
		c, p.conns = p.conns[n-1], p.conns[:n-1]
	} else {
		c = &Conn{}
	}
	*c = Conn{p: p, h: p.handshake()}
	for s := range c.dirs {
		c.dirs[s] = direction{c: c, from: Side(s), fresh: true}
	}
	return c
}

// Bounds of what a Parser keeps for another use.
const (
	maxSpare  = 64
	maxShakes = 512 // they come back in batches
)

// Recycle takes back a Conn that is not used any more. Its Handshake stays
// valid.
func (p *Parser) Recycle(c *Conn) {
	for s := range c.dirs {
		c.dirs[s].msg.reset(p)
		c.dirs[s].drop()
	}
	if c.un != nil {
		c.un.script.release(p)
		for s := range c.un.dirs {
			c.un.dirs[s].msg.reset(p)
			c.un.release(&c.un.dirs[s])
		}
	}
	if c.inner != nil {
		p.Recycle(c.inner)
	}
	if len(p.conns) < maxSpare {
		*c = Conn{}
		p.conns = append(p.conns, c)
	}
}

// Release takes back a Handshake that nobody looks at any more; what it points
// to may still be kept.
func (p *Parser) Release(h *Handshake) {
	if len(p.shakes) < maxShakes {
		p.shakes = append(p.shakes, h)
	}
}

// handshake returns an empty Handshake.
func (p *Parser) handshake() *Handshake {
	n := len(p.shakes)
	if n == 0 {
		return newHandshake()
	}
	h := p.shakes[n-1]
	p.shakes = p.shakes[:n-1]
	*h = Handshake{}
	h.Messages, h.Tape.Records = h.messages[:0], h.records[:0]
	return h
}

// buffer returns an empty buffer.
func (p *Parser) buffer() []byte {
	if n := len(p.spare); n > 0 {
		b := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return b
	}
	return make([]byte, 0, 4<<10)
}

// putBuffer takes a buffer back.
func (p *Parser) putBuffer(b []byte) {
	if len(p.spare) < maxSpare && cap(b) <= 16<<10 {
		p.spare = append(p.spare, b[:0])
	}
}
