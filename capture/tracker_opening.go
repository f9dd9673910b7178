package capture

import (
	"time"

	"whoasked/parse"
)

// first is what the first packets of one direction show, from its SYN on until bytes
// of it were handed over.
type first struct {
	at      int64 // when the SYN came, nanoseconds since the Unix epoch
	options parse.TCPOptions
	seq     uint32
	stamp   uint32
	ttl     uint8
	dataTTL uint8
	bare    bool // the first packet with payload had no timestamp
	again   bool // the SYN came more than once
	dir     uint8
	flow    int32 // whose it is, or, where it is not in use, the next one of these
}

// maxFirsts bounds what is in use: by directions about to begin, and by those in which
// nothing is ever said. Beyond it the oldest are given up, and nothing is told of how
// those were opened.
const maxFirsts = 4096

// firsts holds first by stream.first.
type firsts struct {
	all  []first
	free int32         // list of those not in use, by flow; none for an empty one
	hand int32         // who is given up next
	out  parse.TCPSide // the one handed out
}

// opened takes a SYN that belongs to a flow.
func (t *Tracker) opened(f *flow, d int, at int64, seg *Segment) {
	a := &f.dirs[d]
	if a.is(delivered) {
		return
	}
	if a.first != none {
		if s := &t.firsts.all[a.first]; s.seq == seg.Seq {
			s.again = true
			return
		}
		t.firsts.put(a)
	}
	a.first = t.takeFirst(f, d)
	s := &t.firsts.all[a.first]
	s.at, s.seq, s.ttl = at, seg.Seq, seg.TTL
	s.options, s.stamp = parse.ReadTCPOptions(seg.Options)
}

// firstData takes packets with payload of a direction that nothing was told of: the
// first one counts.
func (t *Tracker) firstData(a *stream, seg *Segment) {
	s := &t.firsts.all[a.first]
	if s.dataTTL != 0 || seg.Flags&FlagRST != 0 {
		return
	}
	o, _ := parse.ReadTCPOptions(seg.Options)
	s.dataTTL, s.bare = seg.TTL, !o.Stamps()
}

// introduce returns what the opening showed of a direction.
func (t *Tracker) introduce(a *stream) *parse.TCPSide {
	s := &t.firsts.all[a.first]
	t.firsts.out = parse.TCPSide{
		SYN: true, At: time.Unix(0, s.at).UTC(), Again: s.again, Options: s.options, Seq: s.seq, Stamp: s.stamp,
		TTL: s.ttl, DataTTL: s.dataTTL, Bare: s.bare,
	}
	t.firsts.put(a)
	return &t.firsts.out
}

// takeFirst returns the index of a first with nothing in it.
func (t *Tracker) takeFirst(f *flow, d int) int32 {
	p := &t.firsts
	i := p.free
	switch {
	case i != none:
		p.free = p.all[i].flow
	case len(p.all) < maxFirsts:
		i = int32(len(p.all))
		p.all = append(p.all, first{})
	default:
		i = p.hand
		p.hand = (i + 1) % maxFirsts
		t.at(p.all[i].flow).dirs[p.all[i].dir].first = none
	}
	p.all[i] = first{flow: f.id, dir: uint8(d)}
	return i
}

// put takes back what a direction has, if it has any.
func (p *firsts) put(a *stream) {
	if a.first == none {
		return
	}
	p.all[a.first].flow = p.free
	p.free, a.first = a.first, none
}

// putBoth takes back what a flow has.
func (p *firsts) putBoth(f *flow) {
	p.put(&f.dirs[0])
	p.put(&f.dirs[1])
}
