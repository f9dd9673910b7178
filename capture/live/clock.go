package live

import "time"

// clock tells when the clock of the machine was set, by which the kernel stamps
// packets.
type clock struct {
	// read returns the time of day and that of a clock which is never set, both in
	// nanoseconds.
	read  func() (day, steady int64)
	ahead int64 // of the time of day, when last looked at
}

// leastStep is what the clock must be set by to matter, in nanoseconds; less is
// like packets that come late. It also tells setting from slewing.
const leastStep = int64(time.Second)

func newClock() *clock {
	begin := time.Now()
	c := &clock{read: func() (int64, int64) {
		now := time.Now()
		return now.UnixNano(), int64(now.Sub(begin))
	}}
	day, steady := c.read()
	c.ahead = day - steady
	return c
}

// set returns by how much the clock was set since the last call, 0 for not.
func (c *clock) set() (by int64) {
	day, steady := c.read()
	by = day - steady - c.ahead
	c.ahead += by
	if !far(by, 0) {
		return 0
	}
	return by
}

// far tells whether two times are further apart than packets may come late.
func far(a, b int64) bool { return a-b >= leastStep || b-a >= leastStep }
