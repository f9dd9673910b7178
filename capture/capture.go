// Package capture is where the ordered bytes of connections come from. It
// holds what all packet sources share: decoding link layers and tunnels
// ([Decoder]) and putting TCP streams in order ([Tracker]). The sources
// themselves are sub-packages.
package capture

import (
	"context"
	"iter"

	"whoasked/parse"
)

// Source yields the chunks of every connection it sees, in capture order.
type Source interface {
	// Chunks runs until the source is exhausted, ctx is done or the consumer
	// stops. An error means that we could not observe: it may come with chunks
	// before and after it, and the last chunks of open connections still follow.
	//
	// A chunk is borrowed like its data, until the next one; with an error it is nil.
	Chunks(ctx context.Context) iter.Seq2[*parse.Chunk, error]
}

// Settler is a Source that need not be shown all of a connection.
type Settler interface {
	// Settle says that of the connection with that number, whose chunk is the
	// latest, nothing matters any more but its end.
	Settle(conn int)
}

// Note is something to tell about a capture itself, not about a connection.
type Note struct {
	Kind  string // stable: "truncated-packets", "evicted-flows" …
	Count int64
	Text  string // one sentence for a person
	Hint  string // what to do about it, may be empty
}
