package attribute

import (
	"encoding/binary"
	"net/netip"

	"whoasked/parse"
)

// A capture can show one connection more than once: inside and outside of a
// tunnel, on both legs of a gateway, at two points of which two files tell. It
// is the same one if its ends are the same and the client's random, and the
// server's where both sightings show it: each is drawn anew for every handshake
// (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2). Sightings that both begin too late for
// the client's are recognised by the server's alone, and those without any hello, as
// of packets cut short, by TCP's initial sequence numbers (RFC 9293 §3.4.1).

// maxSightings is how many connections are remembered to recognise others: the
// latest ones, about 2 MiB.
const maxSightings = 1 << 14

// mark is what the sightings of one connection share.
type mark struct {
	random [16]byte // enough of it to be unique
	of     drawn
	ends   uint64 // their digest: it need only tell apart what has the same random
}

// drawn says what a mark was taken of.
type drawn uint8

const (
	byClient drawn = iota
	byServer       // as no ClientHello was read
	bySYNs         // as no hello was read
)

// markOf returns the mark of a connection, ok false if it has none.
func markOf(c *Connection) (m mark, ok bool) {
	m.ends = digestOf(c.Client)*3 + digestOf(c.Server)
	switch {
	case c.ClientHello != nil:
		copy(m.random[:], c.ClientHello.Random[:])
	case c.ServerHello != nil:
		m.of = byServer
		copy(m.random[:], c.ServerHello.Random[:])
	case c.Opening[parse.Opener].SYN && c.Opening[parse.Accepter].SYN:
		m.of = bySYNs
		binary.BigEndian.PutUint32(m.random[:], c.Opening[parse.Opener].Seq)
		binary.BigEndian.PutUint32(m.random[4:], c.Opening[parse.Accepter].Seq)
	}
	return m, m.random != [16]byte{} // which nobody drew
}

// key makes a mark findable; others may have the same one.
func (m *mark) key() uint64 { return binary.LittleEndian.Uint64(m.random[:]) ^ m.ends }

// digestOf mixes an address and port (FNV-1a over words).
func digestOf(a netip.AddrPort) uint64 {
	const prime = 1099511628211
	b := a.Addr().As16()
	d := uint64(14695981039346656037)
	for _, w := range [...]uint64{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:]), uint64(a.Port())} {
		d = (d ^ w) * prime
	}
	return d
}

// sighting is a connection as it was counted.
type sighting struct {
	id      uint64
	server  [16]byte // of its random; valid iff hello
	hello   bool     // a ServerHello was read
	asked   Answer
	basis   Basis
	resumed bool
	plain   bool // asked in the handshake, by evidence of its own
	reason  string
}

func sightingOf(c *Connection) sighting {
	v := &c.Verdict
	s := sighting{id: c.ID, asked: v.Asked, basis: v.Basis, resumed: v.Resumed, reason: v.Reason,
		plain: v.Asked == Yes && v.When == InHandshake && !v.Waits()}
	if c.ServerHello != nil {
		s.hello = true
		copy(s.server[:], c.ServerHello.Random[:])
	}
	return s
}

// sightings remembers connections by what makes them recognisable.
type sightings struct {
	at   map[uint64]int // place in ring, by key
	ring blocks[remembered]
	next int // where the ring is written next, once it is full
}

type remembered struct {
	mark
	sighting
}

func newSightings() sightings { return sightings{at: make(map[uint64]int)} }

// put remembers a sighting. If it is one of a connection that is known, it
// returns how that was counted.
func (s *sightings) put(c *Connection, now sighting) (before sighting, again bool) {
	m, ok := markOf(c)
	if !ok {
		return sighting{}, false
	}
	k := m.key()
	if i, found := s.at[k]; found && s.ring.at(i).mark == m {
		r := s.ring.at(i)
		before = r.sighting
		again = !before.hello || !now.hello || before.server == now.server
		switch {
		case again && !now.better(&before):
			return before, true
		case again:
			now.id = before.id // later ones point to the first
		}
		r.sighting = now
		return before, again
	}
	if s.ring.n < maxSightings {
		s.at[k] = s.ring.n
		s.ring.add(remembered{m, now})
		return sighting{}, false
	}
	r := s.ring.at(s.next)
	if old := r.key(); s.at[old] == s.next {
		delete(s.at, old)
	}
	*r = remembered{m, now}
	s.at[k] = s.next
	s.next = (s.next + 1) % maxSightings
	return sighting{}, false
}

// correct replaces how a connection is remembered. It reports false if another
// sighting of it is.
func (s *sightings) correct(c *Connection, now sighting) bool {
	m, ok := markOf(c)
	if !ok {
		return true
	}
	i, found := s.at[m.key()]
	if !found || s.ring.at(i).mark != m {
		return true // forgotten since
	}
	if s.ring.at(i).id != now.id {
		return false
	}
	s.ring.at(i).sighting = now
	return true
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
