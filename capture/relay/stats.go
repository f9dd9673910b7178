package relay

// Stats counts what a Relay did so far. Counts only grow, but for Open.
type Stats struct {
	Open    int64 // connections of clients
	Relayed int64 // connections that reached their target
	Idle    int64 // of these, ended because nothing passed
	Aborted int64 // of these, ended because the relay stopped
	// Bytes passed, by the side that sent them.
	Bytes [2]int64
	// Unobserved is how many of them were not looked at, for want of room.
	Unobserved int64
	// Trouble counts what went wrong, by Kind.
	Trouble map[Kind]int64
}

// Stats returns the counts so far. Any goroutine may call it.
func (r *Relay) Stats() Stats {
	s := Stats{
		Relayed: r.counts.relayed.Load(), Idle: r.counts.idle.Load(), Aborted: r.counts.aborted.Load(),
		Trouble: make(map[Kind]int64, numKinds),
	}
	for side := range s.Bytes {
		s.Bytes[side] = r.counts.bytes[side].Load()
	}
	for k := KindNone + 1; k < numKinds; k++ {
		s.Trouble[k] = r.counts.trouble[k].Load()
	}
	r.gate.mu.Lock()
	s.Open = int64(r.gate.open)
	r.gate.mu.Unlock()
	r.tap.mu.Lock()
	s.Unobserved = r.tap.lost
	r.tap.mu.Unlock()
	return s
}
