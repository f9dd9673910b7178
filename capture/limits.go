package capture

import "time"

// Limits bounds what a [Tracker] keeps. A field that is zero or negative takes
// its default.
type Limits struct {
	// Flows is how many TCP flows are followed at once, those just closed and
	// those without any payload included. Default 32768.
	Flows int
	// FlowBytes is how much one direction of a connection may keep back behind
	// a gap, in bytes of buffer: a small segment costs a whole block of 2 KiB.
	// Default 256 KiB.
	FlowBytes int
	// TotalBytes is the same for all connections together. Default 16 MiB.
	TotalBytes int
	// Idle ends a connection in which nothing was seen for that long, in
	// capture time. Default 10 minutes.
	Idle time.Duration
	// Linger is how long the addresses and ports of a closed connection are
	// remembered, so that its stragglers open no new one. Default 1 minute, and
	// never more than Idle.
	Linger time.Duration
	// GapTime is how long missing bytes are waited for that the receiver has
	// not acknowledged, in capture time. Default 2.5 seconds.
	GapTime time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Flows = orDefault(l.Flows, 32768)
	l.TotalBytes = orDefault(l.TotalBytes, 16<<20)
	l.FlowBytes = min(orDefault(l.FlowBytes, 256<<10), l.TotalBytes)
	l.Idle = orDefault(l.Idle, 10*time.Minute)
	l.Linger = min(orDefault(l.Linger, time.Minute), l.Idle)
	l.GapTime = orDefault(l.GapTime, 2500*time.Millisecond)
	return l
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// What is no setting, because no capture is known to need another value.
const (
	// Bytes that the receiver has acknowledged but the capture does not show
	// are waited for a little, since captures reorder, most of all between the
	// directions: until ackSegments of the flow and ackTime have passed, or
	// ackSegmentsMax, or ackTimeMax.
	ackSegments    = 3
	ackTime        = int64(10 * time.Millisecond)
	ackSegmentsMax = 64
	ackTimeMax     = int64(200 * time.Millisecond)

	// sweepEvery is how often, in capture time, waiting and idle flows are
	// looked at that send nothing themselves.
	sweepEvery = int64(50 * time.Millisecond)

	// duplicateTime tells a second copy made by the capture from a
	// retransmission, which takes at least a round trip.
	duplicateTime = int64(5 * time.Millisecond)

	// maxAhead is the largest window of TCP (RFC 7323 §2.3): nothing lies
	// further ahead of what was seen, unless as much was lost.
	maxAhead = 1 << 30
	// maxBehind is how old a retransmission can sensibly be.
	maxBehind = 1 << 26
	// strayRun is how many segments in a row outside of these bounds, each
	// continuing the one before, make the stream go on there.
	strayRun = 3
	// resetWindow is how far from the expected sequence number a RST is taken
	// for real.
	resetWindow = 1 << 20
	// earlier is how far before its first segment a stream without a SYN may
	// turn out to begin.
	earlier = 64 << 10

	// blockSize is the unit of buffer behind a gap.
	blockSize = 2048
)
