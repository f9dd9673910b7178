package attribute

import (
	"hash/maphash"
	"net/netip"
)

// A capture can show one connection more than once: inside and outside of a
// tunnel, on both legs of a gateway, at two points of which two files tell. It
// is the same one if its ends are the same and the client's random, and the
// server's where both sightings show it: each is drawn anew for every handshake
// (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2).

// maxSightings is how many connections are remembered to recognise others: the
// latest ones, about 3 MiB.
const maxSightings = 1 << 14

// sightingKey is what the sightings of one connection share.
type sightingKey struct {
	client [32]byte // its random
	ends   uint64   // hash of the addresses
}

// sighting is a connection as it was counted.
type sighting struct {
	id      uint64
	server  [32]byte // its random; valid iff hello
	hello   bool     // a ServerHello was read
	asked   Answer
	basis   Basis
	resumed bool
	reason  string
}

func sightingOf(c *Connection) sighting {
	v := &c.Verdict
	s := sighting{id: c.ID, asked: v.Asked, basis: v.Basis, resumed: v.Resumed, reason: v.Reason}
	if c.ServerHello != nil {
		s.server, s.hello = c.ServerHello.Random, true
	}
	return s
}

// sightings remembers connections by what makes them recognisable.
type sightings struct {
	seed  maphash.Seed
	known map[sightingKey]sighting
	order []sightingKey // a ring once it is full
	next  int
}

func newSightings() sightings {
	return sightings{seed: maphash.MakeSeed(), known: make(map[sightingKey]sighting)}
}

// put remembers a sighting. If it is one of a connection that is known, it
// returns how that was counted.
func (s *sightings) put(c *Connection, now sighting) (before sighting, again bool) {
	if c.ClientHello == nil || c.ClientHello.Random == [32]byte{} { // which nobody drew
		return sighting{}, false
	}
	k := sightingKey{client: c.ClientHello.Random, ends: maphash.Comparable(s.seed, [2]netip.AddrPort{c.Client, c.Server})}
	before, known := s.known[k]
	again = known && (!before.hello || !now.hello || before.server == now.server)
	if again && !now.better(&before) {
		return before, true
	}
	if again {
		now.id = before.id // later ones point to the first
	}
	s.known[k] = now
	if known {
		return before, again
	}
	if len(s.order) < maxSightings {
		s.order = append(s.order, k)
		return before, false
	}
	delete(s.known, s.order[s.next])
	s.order[s.next] = k
	s.next = (s.next + 1) % maxSightings
	return before, false
}

// better tells whether s knows more of a connection than other.
func (s *sighting) better(other *sighting) bool {
	return s.basis > other.basis || s.basis == other.basis && s.hello && !other.hello
}

// Counted tells what [Book.Add] did to the counts.
type Counted struct {
	Answer Answer // what the connection counts as now
	// Before is what it counted as until now; valid iff Again, that is if
	// another sighting of the connection was counted already.
	Before Answer
	Again  bool
}
