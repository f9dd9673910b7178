package capture

// clocks knows how often, and by how much, the clock of the capture was set. Each
// time begins another epoch; their numbers are used again, which would show in a
// connection that lives through 256 of them.
type clocks struct {
	epoch uint8
	ahead [256]int64 // of the clock in the first epoch, by epoch, in nanoseconds
}

// skew is what the clock was set forward by since an epoch.
func (c *clocks) skew(since uint8) int64 { return c.ahead[c.epoch] - c.ahead[since] }

// Shift tells that the clock of the capture was set, forward by d nanoseconds or
// back by -d: no time has passed for connections, whose chunks go on with the time
// that they had.
func (t *Tracker) Shift(d int64) {
	t.epoch++
	t.ahead[t.epoch] = t.ahead[t.epoch-1] + d
	t.now += d
	t.swept += d
	for l := range t.lists {
		for id := t.lists[l].head; id != none; {
			f := t.at(id)
			id = f.next
			f.seen += d
			f.told += d
			for i := range f.dirs {
				f.dirs[i].waitAt += d
				f.dirs[i].closeAt += d
			}
		}
	}
	for i := range t.pool.runs {
		t.pool.runs[i].at += d
	}
	for s := t.sessions.least; s != nil; s = s.behind {
		s.seen += d
		s.told += d
	}
}
