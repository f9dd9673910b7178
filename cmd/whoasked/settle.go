package main

import (
	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// maxLooks is how often a connection is looked at. One whose verdict is open
// after so many records may be renegotiated, and stays so.
const maxLooks = 64

// settling tells a source of the connections whose verdict can no longer change.
type settling struct {
	source  capture.Settler // nil if the source does not care
	headers func(conn int)  // nil likewise
	looks   []uint8         // by Chunk.Conn
}

func newSettling(src capture.Source) settling {
	s, _ := src.(capture.Settler)
	out := settling{source: s}
	if r, ok := src.(interface{ Headers(conn int) }); ok {
		out.headers = r.Headers
	}
	return out
}

// look is called with each chunk; news says whether it brought a fact.
func (s *settling) look(number int, conn *parse.Conn, news bool) {
	if s.source == nil || !news {
		return
	}
	for number >= len(s.looks) {
		s.looks = append(s.looks, 0)
	}
	if s.looks[number] >= maxLooks {
		return
	}
	s.looks[number]++
	if s.headers != nil && !conn.Bodies() {
		s.headers(number)
	}
	if attribute.Settled(conn.Handshake()) {
		s.source.Settle(number)
		s.looks[number] = maxLooks
	}
}

// forget is called when a connection has ended.
func (s *settling) forget(number int) {
	if number < len(s.looks) {
		s.looks[number] = 0
	}
}
