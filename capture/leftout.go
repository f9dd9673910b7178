package capture

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// LeftOut is a part of a stream that whoever captured it has left out, knowing that it
// is the rest of a record and whole records of application data: with To another record
// begins. Files of evidence have it in the comment on their first packet.
type LeftOut struct {
	Src      netip.AddrPort // who sent it
	From, To uint32         // sequence numbers; what lies between may be more than they can count
}

const leftOutPrefix = "left out, whole records of application data: "

// String is one line.
func (l LeftOut) String() string {
	return fmt.Sprintf("%ssequence numbers %d to %d of %s", leftOutPrefix, l.From, l.To, l.Src)
}

// ReadLeftOut finds the lines of a comment that tell what is left out.
func ReadLeftOut(comment string) (out []LeftOut) {
	for line := range strings.Lines(comment) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), leftOutPrefix)
		words := strings.Fields(rest)
		if !ok || len(words) != 7 {
			continue
		}
		from, err1 := strconv.ParseUint(words[2], 10, 32)
		to, err2 := strconv.ParseUint(words[4], 10, 32)
		src, err3 := netip.ParseAddrPort(words[6])
		l := LeftOut{Src: src, From: uint32(from), To: uint32(to)}
		if err1 == nil && err2 == nil && err3 == nil && l.String() == leftOutPrefix+rest && len(out) < MaxLeftOut {
			out = append(out, l)
		}
	}
	return out
}

const (
	// MaxLeftOut bounds the parts known of one connection.
	MaxLeftOut = 32
	// leftOutSlack is how far behind From a stream may have been captured, in bytes:
	// what was on its way when it began to be left out.
	leftOutSlack = 32 << 20
)

// LeaveOut tells of parts left out of the connection that a segment belongs to, which
// has been taken.
func (t *Tracker) LeaveOut(seg *Segment, parts []LeftOut) {
	k, d := keyOf(&seg.Tuple)
	f := t.find(&k)
	if f == nil || f.state == closed {
		return
	}
	for _, l := range parts {
		switch l.Src {
		case seg.SrcAddr():
			t.leaveOut(f, d, l)
		case seg.DstAddr():
			t.leaveOut(f, 1-d, l)
		}
	}
}

func (t *Tracker) leaveOut(f *flow, d int, l LeftOut) {
	if t.leftOut == nil {
		t.leftOut = make(map[int32][]LeftOut)
	}
	at := f.id<<1 | int32(d)
	if len(t.leftOut[at]) < MaxLeftOut {
		t.leftOut[at] = append(t.leftOut[at], l)
		f.dirs[d].set(leaping)
	}
}

// leap passes over what is known to be left out where a direction stands, and reports
// whether it did.
func (t *Tracker) leap(f *flow, d int, at int64) (did bool) {
	a := &f.dirs[d]
	if !a.is(leaping) || f.state != open {
		return false
	}
	for _, l := range t.leftOut[f.id<<1|int32(d)] {
		if n := a.next - l.From; !a.is(delivered) || n > leftOutSlack || n > l.To-l.From || a.next == l.To {
			continue
		}
		n := l.To - a.next
		for a.head != none && after(l.To, a.headSeq) {
			t.pool.put(t.pool.pop(a))
		}
		a.jump(l.To)
		t.tell(f, d, at, said{walked: int(n)})
		did = true
	}
	return did
}

// untilLeap shortens a loss that ends at to by what is known to be left out in it.
func (t *Tracker) untilLeap(f *flow, d int, to uint32) uint32 {
	a := &f.dirs[d]
	if !a.is(leaping) {
		return to
	}
	for _, l := range t.leftOut[f.id<<1|int32(d)] {
		if after(l.From, a.next) && after(to, l.From) {
			to = l.From
		}
	}
	return to
}

// leaps has both directions pass over what is left out, and reports whether one did.
func (t *Tracker) leaps(f *flow, at int64) (did bool) {
	for d := range f.dirs {
		did = t.leap(f, d, at) || did
	}
	return did
}

// forgetLeaps forgets what was told of a flow.
func (t *Tracker) forgetLeaps(f *flow) {
	for d := range f.dirs {
		if f.dirs[d].is(leaping) {
			f.dirs[d].clear(leaping)
			delete(t.leftOut, f.id<<1|int32(d))
		}
	}
}
