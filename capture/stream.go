package capture

// state of a flow; also the index of the Tracker's list it is in.
type state uint8

const (
	young  state = iota // no payload yet: not told to the consumer
	open                // has a connection number
	closed              // remembered only to recognise stragglers
	states
)

// flow is what is known of one pair of addresses and ports. There can be tens
// of thousands: it is kept small and free of pointers.
type flow struct {
	key  key
	dirs [2]stream // by the end that sends, in the order of key

	seen int64 // time of the latest segment
	told int64 // time of the latest chunk, or of the first segment before that

	id, conn           int32
	prev, next         int32  // in the list of its state
	waitPrev, waitNext int32  // in the list of flows that wait for something
	back               uint32 // valid iff split, see ways
	moved              uint32 // Tracker.tick when it was last put at its list's tail
	segs               uint16 // segments so far, modulo 2^16

	state state
	// opener is the end that opened the connection, as an index of dirs.
	opener    uint8
	midstream bool
	// settling: a direction began without a SYN, and an earlier segment may
	// follow; nothing is handed over yet.
	settling bool
	// ways: with the bit split, one direction comes by other tunnels than key tells,
	// by those of back: that of which the bit, 1 << d, is set.
	ways uint8
	// busy: some bytes are held or known to be missing, or the flow settles; only
	// otherwise may a segment take the fast path.
	busy bool
}

// Flags of a stream.
const (
	known     = 1 << iota // next is valid
	sawSYN                // its SYN was captured, or acknowledged by the peer's SYN-ACK
	captured              // at least one segment was captured
	blind                 // its segments fail to appear: what the peer acknowledges blocks nothing
	delivered             // bytes were handed over: the beginning is fixed
	closing               // FIN or RST seen at closeSeq, not yet reached
	byReset               // it is a RST
	finished              // FIN reached
	waiting               // waitAt is valid
	acked                 // what is waited for is acknowledged
	skipped               // its bytes are not needed: none are missed, none handed over
	followed              // there is an entry in Tracker.walks
	walked                // the walker may keep its bulk
	leaping               // there is an entry in Tracker.leftOut
)

// stream is one direction of a flow. Sequence numbers are compared modulo 2^32
// by the sign of their difference.
//
//	 start          next         held (sorted, disjoint)        closeSeq
//	   ▼             ▼        ┌────┐┌────┐     ┌────┐              ▼
//	───┴─delivered───┴──gap───┴────┴┴────┴─gap─┴────┴──────────────┴
//	                                ▲
//	                         peerAck: the receiver has all before it
type stream struct {
	start    uint32 // of the first byte
	next     uint32 // of the first byte not handed over
	peerAck  uint32 // highest acknowledgment the peer sent
	forgiven uint32 // acknowledgments up to here block nothing
	closeSeq uint32 // of FIN or RST; before one is seen, where the latest stray ended
	closeAck uint32 // acknowledged by FIN or RST

	lost     uint32 // to be told with the next chunk
	conflict uint32 // likewise

	head, tail int32  // of the runs held
	headSeq    uint32 // of head
	blocks     int32  // number of runs held
	recent     uint32 // latest entry in the Tracker's recent bytes, 0 for none
	first      int32  // index in Tracker.firsts, none before its SYN and once it was told

	waitAt  int64  // since when the byte at next is waited for
	closeAt int64  // when FIN or RST was captured
	waitSeg uint16 // flow.segs at waitAt
	flags   uint16
	strays  uint8 // in a row
	claims  uint8 // segments that carried peerAck or more, at most 2
	passed  uint8 // KiB passed over since it is skipped, up to bulk
	epoch   uint8 // in which the connection began; see Tracker.Shift
}

func (s *stream) is(f uint16) bool { return s.flags&f != 0 }
func (s *stream) set(f uint16)     { s.flags |= f }
func (s *stream) clear(f uint16)   { s.flags &^= f }

// after tells whether a lies behind b in sequence space.
func after(a, b uint32) bool { return int32(a-b) > 0 }

// lose accounts for missing bytes in front of what comes next.
func (s *stream) lose(n uint32) {
	if s.lost += n; s.lost < n {
		s.lost = 1<<32 - 1
	}
}

// missing tells whether bytes are known to exist at next that were not captured.
func (s *stream) missing() bool {
	switch {
	case !s.is(known) || s.is(skipped|walked):
		return false
	case s.head != none:
		return s.headSeq != s.next
	case s.is(closing):
		return s.closeSeq != s.next
	}
	return s.is(captured) && !s.is(blind) && after(s.peerAck, s.next) && after(s.peerAck, s.forgiven)
}

// blocked tells whether what carries an acknowledgment must wait, because the
// capture has yet to show, or to give up, what is acknowledged. It keeps cause
// before effect: the consumer learns of a loss before it sees the answer.
func (s *stream) blocked(ack uint32) bool {
	return after(ack, s.next) && ack-s.next <= maxAhead && after(ack, s.forgiven) && s.missing()
}

// acknowledge takes note of an acknowledgment by the peer.
func (s *stream) acknowledge(ack uint32) {
	switch {
	case !s.is(known):
		s.set(known)
		s.start, s.next, s.peerAck, s.forgiven = ack, ack, ack, ack
		s.claims = 1
	case !s.is(delivered|sawSYN) && s.start-ack <= earlier && s.head == none:
		s.start, s.next = ack, ack // an older one, captured late; or the same
		if ack == s.peerAck {
			s.claims = 2
		}
	case ack == s.peerAck:
		s.claims = 2
	case after(ack, s.peerAck) && int32(ack-s.next) <= maxAhead:
		s.peerAck, s.claims = ack, 1
	}
}
