package parse

// Options says what a Parser works out beyond the bare facts.
type Options struct {
	// Fingerprints fills JA3, JA3S and JA4; they cost a few hashes a connection.
	Fingerprints bool
}

// Parser makes Conns and holds what they share: options and a cache of parsed
// certificates. It is not safe for concurrent use.
type Parser struct {
	opts  Options
	certs certCache
}

// NewParser returns a Parser.
func NewParser(opts Options) *Parser { return &Parser{opts: opts} }
