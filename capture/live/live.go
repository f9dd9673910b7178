// Package live captures packets from network interfaces of this machine, on
// Linux, and yields the chunks of the TCP connections in them.
//
// Packets come through a ring of memory shared with the kernel (AF_PACKET,
// TPACKET_V3). A socket filter in the kernel keeps out what no verdict needs;
// what it cannot judge it passes.
package live

import (
	"time"

	"whoasked/capture"
)

// Any names all interfaces at once.
const Any = "any"

// Options says what to capture. The zero value of a field takes its default.
type Options struct {
	// Interfaces are captured together, as if by one. [Any], which stands alone,
	// is every interface, those to come included.
	Interfaces []string
	// Promiscuous captures frames meant for others too.
	Promiscuous bool
	// Ring is the size of the buffer shared with the kernel, in bytes, for each
	// interface. Default 16 MiB.
	Ring int
	// SnapLength is how much of a packet is captured, in bytes. Default 256 KiB,
	// which is all of any.
	SnapLength int
	// Narrow chooses connections; the zero value takes all.
	Narrow capture.Narrow
	// PlainFilter does without eBPF: packets of connections that are settled
	// then reach us, and are passed over.
	PlainFilter bool
	// Limits bounds what is kept of connections.
	Limits capture.Limits
	// Log is told of what happens to interfaces and filters; nil for nobody.
	Log func(event, text string)
	// Tap sees every packet with a segment or datagram, before its chunks come,
	// on the goroutine that yields them; nil for nobody.
	Tap func(*Packet, *capture.Segment)
	// Pause is called from time to time when no chunk is held: behind each block of
	// packets, and before there is nothing to do for a while; nil for not.
	Pause func()
	// LeftOut is told of bulk of a connection that the kernel has kept in front of the
	// packet that Tap saw last; nil for nobody.
	LeftOut func(*capture.Tuple, capture.LeftOut)
}

const (
	defaultRing = 16 << 20
	defaultSnap = 256 << 10
	// retireAfter is how long the kernel may keep a block that is not full. On a
	// quiet wire that is how fast blocks are used up: the default ring has 128 of
	// them, so that a busy machine may leave us waiting for two seconds.
	retireAfter = 16 * time.Millisecond
	// While no packet comes the source looks at its clock every tick, or every
	// shortTick if something is kept back in the hope of more packets.
	tick      = 200 * time.Millisecond
	shortTick = 20 * time.Millisecond
	// countEvery is how often the kernel's counts are taken over.
	countEvery = time.Second
)

func (o Options) withDefaults() Options {
	if o.Ring <= 0 {
		o.Ring = defaultRing
	}
	if o.SnapLength <= 0 {
		o.SnapLength = defaultSnap
	}
	if o.Log == nil {
		o.Log = func(string, string) {}
	}
	if o.Pause == nil {
		o.Pause = func() {}
	}
	return o
}

// Packet is one captured packet.
type Packet struct {
	Time int64 // nanoseconds since 1970, UTC
	Link capture.LinkType
	// WireLen is its length, in bytes, Data what was captured of it; borrowed:
	// valid only during the call.
	WireLen int
	Data    []byte
}

// Stats counts what a source met. Counts only grow.
type Stats struct {
	Packets int64 // handed over by the kernel
	Bytes   int64 // of them, on the wire
	Dropped int64 // by the kernel, because the ring was full
	Freezes int64 // times the ring was full
	// Kept counts packets that the kernel withheld as told, KeptBytes their
	// bytes, Marks how often it was told to, Unmarked how often that failed.
	Kept, KeptBytes, Marks, Unmarked int64
	// Fill is how much of the rings waits to be read, in percent of the fullest.
	Fill int64
	// Tracked is what was found in the packets.
	Tracked capture.TrackerStats
}
