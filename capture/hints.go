package capture

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// What is found out by looking at a few packets only, for notes about the
// capture.
const (
	// sampleAll is how many packets are looked at at first, sampleEvery the
	// distance between those behind them.
	sampleAll   = 64
	sampleEvery = 64
	// manyWrong is the share of wrong checksums worth telling, one in so many:
	// single ones are damage that TCP repairs.
	manyWrong = 20
	// longestFrame is what a packet can have on a wire: the largest jumbo frames
	// in use and their headers.
	longestFrame = 9216 + 48
)

// sampled tells whether to look at the nth packet of a kind, from 0.
func sampled(n int64) bool { return n < sampleAll || n%sampleEvery == 0 }

// checkSum looks at a TCP segment's checksum, which a sending machine leaves to
// its network card: then the capture shows the part of it that the card goes
// on from, the sum over the pseudo header.
func (d *Decoder) checkSum(data []byte, at place, seg *Segment) {
	sum := binary.BigEndian.Uint16(data[16:])
	if sum == 0 || at.cut > 0 || len(data) > maxIP || isLoopback(&seg.Src) {
		return // 0 is none at all, as programs write that make packets up
	}
	d.stats.Summed++
	pseudo := sumPseudo(seg, len(data))
	if sum == fold32(pseudo) {
		d.stats.Unsummed++
		return
	}
	odd := uint32(0)
	if len(data)%2 == 1 {
		odd = uint32(data[len(data)-1]) << 8
	}
	if fold32(pseudo+uint32(sum16(data))+odd) != 0xffff {
		d.stats.WrongSums++
	}
}

// sumPseudo sums up the pseudo header of TCP (RFC 9293 §3.1, RFC 8200 §8.1).
// That addresses are IPv4-mapped must not count.
func sumPseudo(seg *Segment, length int) uint32 {
	sum := uint32(protoTCP) + uint32(length)
	for _, a := range [...]*[16]byte{&seg.Src, &seg.Dst} {
		from := 0
		if isMapped(a) {
			from = 12
		}
		sum += uint32(sum16(a[from:]))
	}
	return sum
}

func fold32(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}

func isMapped(a *[16]byte) bool {
	return binary.BigEndian.Uint64(a[:]) == 0 && binary.BigEndian.Uint32(a[8:]) == 0xffff
}

// isLoopback knows traffic that never was on a wire.
func isLoopback(a *[16]byte) bool {
	if isMapped(a) {
		return a[12] == 127
	}
	return binary.BigEndian.Uint64(a[:]) == 0 && binary.BigEndian.Uint64(a[8:]) == 1
}

// Bounds of the search for tunnels that no table knows.
const (
	maxSuspects = 256 // UDP ports
	// innerOffsets is how far behind the UDP header IP is looked for.
	innerOffsets = 64
	// enoughInner is how many packets have to hold IP before a port is told.
	enoughInner = 4
	maxUnknown  = 8 // ports told
)

// suspect is a UDP port that may be a tunnel's.
type suspect struct {
	port          uint16
	looked, inner int64
	offset        int // of IP, in the latest packet that had some
}

// look looks for IP in a datagram whose port no table knows.
func (d *Decoder) look(port uint16, data []byte, cut int) {
	if len(data) < innerOffsets {
		return
	}
	d.looked++
	if !sampled(d.looked) {
		return
	}
	s := d.suspects[port]
	if s == nil {
		if len(d.suspects) >= maxSuspects {
			return
		}
		if d.suspects == nil {
			d.suspects = make(map[uint16]*suspect)
		}
		s = &suspect{port: port}
		d.suspects[port] = s
	}
	s.looked++
	for at := 0; at < innerOffsets; at += 2 {
		if v := data[at]; (v == 0x45 || v == 0x60) && consistentIP(data[at:], cut) {
			s.inner++
			s.offset = at
			return
		}
	}
}

// unknownTunnels returns the ports most of whose packets hold IP, the busiest
// first.
func (d *Decoder) unknownTunnels() []*suspect {
	var out []*suspect
	for _, s := range d.suspects {
		if s.inner >= enoughInner && 2*s.inner >= s.looked {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *suspect) int { return cmp.Or(-cmp.Compare(a.inner, b.inner), cmp.Compare(a.port, b.port)) })
	return out[:min(len(out), maxUnknown)]
}
