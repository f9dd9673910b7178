package attribute

import (
	"math"
	"time"

	"whoasked/parse"
)

// opened is what joining remembers of how a leg's TCP connection was opened, by TLS
// role: the client's first. It is zero unless the TLS client opened the connection.
type opened struct {
	ttl     [2]uint8 // of SYNs
	dataTTL [2]uint8
	options [2]uint16 // indices in optionList
	seq     [2]uint32
	reply   uint32 // from the SYN to the SYN-ACK in microseconds, 0 if not known
	stamp   uint32 // timestamp of the server's SYN-ACK, valid iff openedStamped
	before  int32  // how long before leg.start that was, in microseconds
	flags   uint8
	// machine numbers, from 1, the TCP clocks that answer at the server's address, if
	// there are several; 0 if it cannot be told.
	machine uint8
}

// Flags of opened.
const (
	openedSYN     = 1 << iota // the client's SYN was captured; what is told of it is valid
	openedSYNACK              // the same of the server's
	openedStamped             // the SYN-ACK has a timestamp
	openedBare                // the server's first data had none
	// openedAlone: no other capture shows the server's address. What two show need not
	// be alike, and which of them a session is told from depends on what it tells.
	openedAlone
)

func (o *opened) is(f uint8) bool { return o.flags&f == f }

// Indices by TLS role.
const (
	ofClient = iota
	ofServer
)

// optionList numbers TCP options from 1 as they turn up; 0 is what does not fit.
type optionList struct {
	all []parse.TCPOptions
	ids map[parse.TCPOptions]uint16

	last [2]uint16 // by role: they come in runs
}

func (x *optionList) of(role int, o parse.TCPOptions) (id uint16) {
	if last := x.last[role]; last > 0 && x.all[last-1] == o {
		return last
	}
	defer func() { x.last[role] = id }()
	if id, ok := x.ids[o]; ok {
		return id
	}
	const bound = 4096
	if len(x.all) == bound {
		return 0
	}
	if x.ids == nil {
		x.ids = make(map[parse.TCPOptions]uint16)
	}
	x.all = append(x.all, o)
	x.ids[o] = uint16(len(x.all))
	return uint16(len(x.all))
}

func (x *optionList) at(id uint16) parse.TCPOptions {
	if id == 0 {
		return parse.TCPOptions{}
	}
	return x.all[id-1]
}

// opening tells what is remembered of a connection's opening.
func (l *Legs) opening(c *Connection) (o opened) {
	if !c.ClientKnown || c.Handshake.Client != parse.Opener {
		return o
	}
	for i := range c.Opening {
		s := &c.Opening[i]
		if !s.SYN {
			continue
		}
		o.flags |= openedSYN << i
		o.ttl[i], o.dataTTL[i], o.seq[i] = s.TTL, s.DataTTL, s.Seq
		o.options[i] = l.options.of(i, s.Options)
	}
	o.reply = uint32(min(c.Opening.Reply().Microseconds(), math.MaxUint32))
	if s := &c.Opening[parse.Accepter]; s.SYN && s.Options.Stamps() {
		if d := c.Start.Sub(s.At).Microseconds(); d >= 0 && d <= math.MaxInt32 {
			o.stamp, o.before = s.Stamp, int32(d)
			o.flags |= openedStamped
		}
		if s.Bare {
			o.flags |= openedBare
		}
	}
	return o
}

// stampAt is when the server's timestamp was captured, in nanoseconds since 1970 by the
// capture's clock.
func (l *leg) stampAt() int64 { return l.start - int64(l.before)*int64(time.Microsecond) }
