package main

import (
	"net/netip"
	"time"

	"whoasked/attribute"
	"whoasked/report"
)

// collapsed is a log in which the same answer of one endpoint stands once in an
// interval; how often it came again is told when the interval is over.
type collapsed struct {
	*report.Log
	every time.Duration
	seen  map[repeat]*repeats
	last  uint64 // highest ID so far
}

// repeat is what makes two answers the same.
type repeat struct {
	server  netip.AddrPort
	sni     string
	asked   attribute.Answer
	resumed bool
	reply   attribute.Reply
	reason  string
}

type repeats struct {
	hop   string
	since time.Time
	n     int
}

// maxRepeats bounds the answers that are remembered; more are told each.
const maxRepeats = 4096

func newCollapsed(log *report.Log, every time.Duration) *collapsed {
	return &collapsed{Log: log, every: every, seen: make(map[repeat]*repeats)}
}

// Connection implements [report.Writer].
func (c *collapsed) Connection(a *attribute.Connection) error {
	v := &a.Verdict
	key := repeat{a.Server, serverName(a.Handshake), v.Asked, v.Resumed, v.Reply, v.Reason}
	again := a.ID <= c.last // more of a connection that was told
	c.last = max(c.last, a.ID)
	if r := c.seen[key]; r != nil {
		if !again {
			r.n++
		}
		return nil
	}
	if len(c.seen) < maxRepeats {
		c.seen[key] = &repeats{hop: a.Hop, since: time.Now()}
	}
	return c.Log.Connection(a)
}

// due tells of the intervals that are over, or of all.
func (c *collapsed) due(all bool) error {
	for key, r := range c.seen {
		if !all && time.Since(r.since) < c.every {
			continue
		}
		delete(c.seen, key)
		if r.n == 0 {
			continue
		}
		err := c.Log.Repeat(report.Repeat{
			Server: key.server, Hop: r.hop, SNI: key.sni, Asked: key.asked, Resumed: key.resumed,
			Reply: key.reply, Reason: key.reason, Count: r.n, Seconds: time.Since(r.since).Seconds(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements [report.Writer].
func (c *collapsed) Close() error {
	if err := c.due(true); err != nil {
		return err
	}
	return c.Log.Close()
}
