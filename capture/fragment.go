package capture

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// Bounds of what is kept of IP packets that came in fragments.
const (
	maxDatagrams     = 256     // begun and not yet complete
	maxPerSource     = 64      // of these, from one address
	maxFragmentBytes = 4 << 20 // of buffer
	// fragmentTime is how long the rest of a packet is waited for, in capture
	// time: what Linux has, between RFC 791 §3.2 and RFC 8200 §4.5.
	fragmentTime = int64(30 * time.Second)
	// fragmentLinger is how long copies of fragments are recognised after their
	// packet was complete. Identifications are not used again so fast.
	fragmentLinger = int64(100 * time.Millisecond)
	// maxIP is the longest IP packet, headers included.
	maxIP = 1<<16 - 1
)

// FragmentStats counts what became of fragmented IP packets.
type FragmentStats struct {
	Fragments   int64 // all that came
	Reassembled int64 // packets that became complete
	Incomplete  int64 // packets given up, or still open: some of it was not captured
	Evicted     int64 // of these, given up early to stay within the bounds
	Overlaps    int64 // fragments that repeat bytes of others; the first won
	Conflict    int64 // bytes in them that differ
	Duplicates  int64 // fragments that came again with nothing new
}

// fragmentKey tells packets apart whose fragments are under way (RFC 791 §3.2,
// RFC 8200 §4.5).
type fragmentKey struct {
	src, dst [16]byte
	via      uint32
	id       uint32
	proto    uint8 // of IPv4
	v6       bool
}

// fragment is one as it was captured.
type fragment struct {
	key    fragmentKey
	next   uint8 // protocol of the payload
	offset int   // of data in the payload, in bytes
	data   []byte
	length int // of the payload on the wire, at least len(data)
	more   bool
}

// assembly is a packet of which some fragments have come. Per 8 bytes of
// payload, the unit of offsets, a bit in seen says that they did: how often and
// in which pieces does not matter for its size.
//
//	buf   |########|        |########|####|
//	seen       1        0        1     1
type assembly struct {
	key   fragmentKey
	begun int64
	done  bool // complete: only copies may come
	next  uint8
	total int // length of the payload, -1 until the last fragment came
	cut   int // offset from which on the snap length cut, maxIP for none
	left  int // units not seen below the highest one
	buf   []byte
	seen  []uint64
}

const fragmentUnit = 8

// fragments puts packets together. Its zero value is empty and ready.
type fragments struct {
	stats FragmentStats
	open  map[fragmentKey]*assembly
	order []*assembly // by the time they began
	bytes int         // of buffers in order
	swept int64       // when order was last looked through

	out   [][]byte    // handed out with this packet
	bufs  [][]byte    // not in use
	spare []*assembly // not in use
}

// add takes a fragment and returns the packet's payload if it is complete with
// it, how many bytes of its end the snap length cut, and its protocol. The bytes
// are valid until the next call of release.
func (fs *fragments) add(now int64, f *fragment) (payload []byte, cut int, next uint8, ok bool) {
	fs.stats.Fragments++
	fs.expire(now)
	g := fs.open[f.key]
	if g == nil {
		g = fs.begin(now, &f.key)
	}
	if g.done {
		fs.stats.Duplicates++
		return nil, 0, 0, false
	}
	grown := cap(g.buf)
	fs.take(g, f)
	fs.bytes += cap(g.buf) - grown
	fs.makeRoom(g)
	if g.total < 0 || g.left > 0 || len(g.buf) < g.total {
		return nil, 0, 0, false
	}
	fs.stats.Reassembled++
	whole := min(g.total, g.cut)
	payload, cut, next = g.buf[:whole], g.total-whole, g.next
	fs.finish(now, g)
	return payload, cut, next, true
}

// begin makes room for a packet, at the cost of its own source first.
func (fs *fragments) begin(now int64, k *fragmentKey) *assembly {
	if fs.open == nil {
		fs.open = make(map[fragmentKey]*assembly)
	}
	n, oldest := 0, -1
	for i, g := range fs.order {
		if g.key.src != k.src {
			continue
		}
		if n++; oldest < 0 || g.done && !fs.order[oldest].done {
			oldest = i
		}
	}
	switch {
	case n >= maxPerSource:
		fs.evict(oldest)
	case len(fs.order) >= maxDatagrams:
		fs.evict(0)
	}
	if len(fs.spare) == 0 {
		fs.spare = append(fs.spare, new(assembly))
	}
	g := fs.spare[len(fs.spare)-1]
	fs.spare = fs.spare[:len(fs.spare)-1]
	*g = assembly{key: *k, begun: now, total: -1, cut: maxIP, seen: g.seen[:0]}
	if n := len(fs.bufs); n > 0 {
		g.buf = fs.bufs[n-1][:0]
		fs.bufs = fs.bufs[:n-1]
		fs.bytes += cap(g.buf)
	}
	fs.open[*k] = g
	fs.order = append(fs.order, g)
	return g
}

// take puts the bytes of a fragment where they belong, unless others came first.
func (fs *fragments) take(g *assembly, f *fragment) {
	end := f.offset + f.length
	if !f.more && g.total < 0 && end >= len(g.buf) {
		g.total = end
	}
	if g.total >= 0 && end > g.total || !f.more && g.total != end {
		fs.stats.Overlaps++ // it reaches beyond the end, or names another one
		return
	}
	if f.offset == 0 {
		g.next = f.next
	}
	before := len(g.buf)
	g.reach(end)
	if f.offset >= before { // in order, as most are
		copy(g.buf[f.offset:], f.data)
		if len(f.data) < f.length {
			g.cut = min(g.cut, f.offset+len(f.data))
		}
		for at := f.offset; at < end; at += fragmentUnit {
			g.mark(at / fragmentUnit)
		}
		return
	}
	fs.merge(g, f)
}

// mark notes a unit and reports whether it is new.
func (g *assembly) mark(unit int) bool {
	word, bit := unit/64, uint64(1)<<(unit%64)
	if g.seen[word]&bit != 0 {
		return false
	}
	g.seen[word] |= bit
	g.left--
	return true
}

// merge fills what a fragment has and others did not, unit by unit.
func (fs *fragments) merge(g *assembly, f *fragment) {
	end := f.offset + f.length
	fresh, repeated := false, false
	for at := f.offset; at < end; at += fragmentUnit {
		stop := min(at+fragmentUnit, end)
		part := f.data[min(at-f.offset, len(f.data)):min(stop-f.offset, len(f.data))]
		have := g.buf[at : at+len(part)]
		if g.mark(at / fragmentUnit) {
			fresh = true
			copy(have, part)
			if len(part) < stop-at {
				g.cut = min(g.cut, at+len(part))
			}
			continue
		}
		repeated = true
		if at+len(part) <= g.cut {
			fs.stats.Conflict += int64(differing(have, part, 0))
		}
	}
	switch {
	case !fresh:
		fs.stats.Duplicates++
	case repeated:
		fs.stats.Overlaps++
	}
}

// reach makes the buffer long enough for a fragment that ends at end.
func (g *assembly) reach(end int) {
	if end <= len(g.buf) {
		return
	}
	before := units(len(g.buf))
	if end > cap(g.buf) {
		size := min(max(1<<bits.Len(uint(end-1)), 2048), 1<<16)
		g.buf = append(make([]byte, 0, size), g.buf...)
	}
	g.buf = g.buf[:end]
	g.left += units(end) - before
	for len(g.seen) < units(end)/64+1 {
		g.seen = append(g.seen, 0)
	}
}

func units(n int) int { return (n + fragmentUnit - 1) / fragmentUnit }

// finish hands the bytes of a packet out; its key stays for a while.
func (fs *fragments) finish(now int64, g *assembly) {
	fs.bytes -= cap(g.buf)
	fs.out = append(fs.out, g.buf)
	g.buf, g.done, g.begun = nil, true, now
}

// release ends the validity of what add returned.
func (fs *fragments) release() {
	for _, b := range fs.out {
		fs.keep(b)
	}
	fs.out = fs.out[:0]
}

// maxSpare is how many buffers are kept for later, 1 MiB.
const maxSpare = 16

func (fs *fragments) keep(buf []byte) {
	if len(fs.bufs) < maxSpare && buf != nil {
		fs.bufs = append(fs.bufs, buf)
	}
}

// expire gives up what has waited too long. The clock may have been set back.
func (fs *fragments) expire(now int64) {
	if uint64(now-fs.swept) < uint64(fragmentLinger/8) {
		return
	}
	fs.swept = now
	kept := fs.order[:0]
	for _, g := range fs.order {
		limit := fragmentTime
		if g.done {
			limit = fragmentLinger
		}
		if now-g.begun < limit && g.begun-now < fragmentTime {
			kept = append(kept, g)
			continue
		}
		fs.forget(g)
	}
	clear(fs.order[len(kept):])
	fs.order = kept
}

// makeRoom keeps the buffers within their bound, g last of all.
func (fs *fragments) makeRoom(g *assembly) {
	for i := 0; fs.bytes > maxFragmentBytes && i < len(fs.order); {
		if h := fs.order[i]; h == g || h.done {
			i++
			continue
		}
		fs.evict(i)
	}
}

// evict gives up the packet at a place in the order.
func (fs *fragments) evict(i int) {
	g := fs.order[i]
	if !g.done {
		fs.stats.Evicted++
	}
	fs.order = append(fs.order[:i], fs.order[i+1:]...)
	fs.forget(g)
}

func (fs *fragments) forget(g *assembly) {
	delete(fs.open, g.key)
	if !g.done {
		fs.stats.Incomplete++
		fs.bytes -= cap(g.buf)
		fs.keep(g.buf)
	}
	fs.spare = append(fs.spare, g)
}

// count returns the counts, with what is still open as incomplete.
func (fs *fragments) count() FragmentStats {
	s := fs.stats
	for _, g := range fs.order {
		if !g.done {
			s.Incomplete++
		}
	}
	return s
}

// fragment takes a piece of an IP packet, and goes on with the packet once it is
// complete.
func (d *Decoder) fragment(f *fragment, at place, seg *Segment) Outcome {
	switch {
	case f.more && f.length%fragmentUnit != 0, f.length <= 0, f.offset+f.length > maxIP:
		return Bad
	}
	f.key.src, f.key.dst, f.key.via = seg.Src, seg.Dst, at.via
	payload, cut, next, ok := d.fragments.add(d.now, f)
	if !ok {
		return Fragment
	}
	if at.depth++; at.depth > maxDepth {
		return Bad
	}
	at.cut = cut
	return d.transport(next, payload, at, seg)
}

// fragment4 is the payload of an IPv4 packet, from its header on.
func fragment4(data []byte, head int, at place) fragment {
	const more, offset = 0x2000, 0x1fff
	field := binary.BigEndian.Uint16(data[6:])
	return fragment{
		key:    fragmentKey{id: uint32(binary.BigEndian.Uint16(data[4:])), proto: data[9]},
		next:   data[9],
		offset: int(field&offset) * fragmentUnit,
		data:   data[head:],
		length: len(data) - head + at.cut,
		more:   field&more != 0,
	}
}

// fragment6 is what follows a fragment header, from that on (RFC 8200 §4.5).
func fragment6(data []byte, at place) fragment {
	const header, more, offset = 8, 0x0001, 0xfff8
	field := binary.BigEndian.Uint16(data[2:])
	return fragment{
		key:    fragmentKey{id: binary.BigEndian.Uint32(data[4:]), v6: true},
		next:   data[0],
		offset: int(field & offset),
		data:   data[header:],
		length: len(data) - header + at.cut,
		more:   field&more != 0,
	}
}
