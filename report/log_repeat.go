package report

import (
	"net/netip"

	"github.com/rs/zerolog"

	"whoasked/attribute"
)

// Repeat is an answer that came several times without being told each time.
type Repeat struct {
	Server  netip.AddrPort
	Hop     string
	SNI     string
	Asked   attribute.Answer
	Resumed bool
	Reply   attribute.Reply
	Reason  string
	Count   int
	Seconds float64 // in which it came
}

// Repeat writes a line about connections that ended like one already told, at
// level warn where somebody asked.
func (l *Log) Repeat(r Repeat) error {
	level := zerolog.InfoLevel
	if r.Asked == attribute.Yes {
		level = zerolog.WarnLevel
	}
	e := l.event(level, "repeat", l.last)
	if e == nil {
		return l.sink.err
	}
	e.Stringer("server", r.Server)
	str(e, "hop", r.Hop)
	str(e, "sni", r.SNI)
	e.Stringer("asked", r.Asked)
	if r.Resumed {
		e.Bool("resumed", true)
	}
	if r.Asked == attribute.Yes {
		e.Stringer("reply", r.Reply)
	}
	str(e, "reason", r.Reason)
	e.Int("count", r.Count).Float64("seconds", float64(int(r.Seconds*10))/10)
	e.Msgf("the same of %s another %s", endpointName(r.Hop, r.Server), plural(r.Count, "time"))
	return l.sink.err
}
