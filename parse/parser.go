package parse

// Options says what a Parser works out beyond the bare facts.
type Options struct {
	// Fingerprints fills JA3, JA3S and JA4; they cost a few hashes a connection.
	Fingerprints bool
}

// Parser makes Conns and holds what they share: options and a cache of parsed
// certificates. It is not safe for concurrent use.
type Parser struct {
	opts Options
}

// NewParser returns a Parser.
func NewParser(opts Options) *Parser { return &Parser{opts: opts} }

// Conn parses one connection; the only TLS parser in the program.
type Conn struct {
	p *Parser
	h Handshake
}

// NewConn returns a Conn that expects the first chunk of a connection.
func (p *Parser) NewConn() *Conn { return &Conn{p: p} }

// Feed takes the next chunk and returns the facts it completed, in order. The
// slice is valid until the next call; what it points to may be kept.
func (c *Conn) Feed(ch Chunk) []Event { return nil }

// Handshake returns the record of the connection so far. It is updated by Feed.
func (c *Conn) Handshake() *Handshake { return &c.h }

// Settled reports whether no byte still to come can change what a verdict
// rests on.
func (c *Conn) Settled() bool { return false }
