package main

import "whoasked/parse"

// batchLen is how many connections go to the reporter at once where nobody
// waits for the answer to the first. Waking a goroutine costs about as much as
// judging a connection.
const batchLen = 64

// handover takes the records of connections that are over from the goroutine
// that parses to the one that reports, and back for another use.
type handover struct {
	full  chan []*parse.Handshake
	empty chan []*parse.Handshake
	batch []*parse.Handshake // being filled by the parsing side
}

// newHandover returns a handover in batches of size.
func newHandover(size int) *handover {
	const inFlight = 4
	return &handover{
		full:  make(chan []*parse.Handshake, inFlight),
		empty: make(chan []*parse.Handshake, inFlight+2), // with those at either end: none is lost
		batch: make([]*parse.Handshake, 0, size),
	}
}

// put hands a record over, at once or with those behind it. It returns the
// reporter's error if there is one.
func (o *handover) put(h *parse.Handshake, p *parse.Parser, broken <-chan error) error {
	o.batch = append(o.batch, h)
	if len(o.batch) < cap(o.batch) {
		return nil
	}
	return o.flush(p, broken)
}

// flush hands over what is waiting.
func (o *handover) flush(p *parse.Parser, broken <-chan error) error {
	if len(o.batch) == 0 {
		return nil
	}
	select {
	case o.full <- o.batch:
	case err := <-broken:
		return err
	}
	select {
	case back := <-o.empty:
		for _, h := range back {
			if h != nil { // it is kept
				p.Release(h)
			}
		}
		o.batch = back[:0]
	default:
		o.batch = make([]*parse.Handshake, 0, cap(o.batch))
	}
	return nil
}

// done gives a batch back; nothing of it is looked at any more.
func (o *handover) done(batch []*parse.Handshake) {
	select {
	case o.empty <- batch:
	default:
	}
}
