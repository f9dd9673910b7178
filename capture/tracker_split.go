package capture

import (
	"cmp"
	"strings"
)

// The way there and the way back of one connection may lie in different tunnels,
// or one of them in none. Until the second one shows, a flow has a single
// direction; a segment from elsewhere between the same addresses and ports joins
// it as the other one if its numbers answer those of the first.

// answerWindow is how far numbers may lie from what they answer where no SYN
// tells exactly: two of them by chance as near are one in 2^22.
const answerWindow = 1 << 20

// split is the bit of flow.ways behind those of the directions.
const split = 4

// returns reports whether a flow's other direction comes with a key.
func (f *flow) returns(k *key) bool {
	return f.ways&split != 0 && k.via == f.back && k.ports == f.key.ports && k.ends == f.key.ends
}

// backKey is the key that the other direction comes with; valid iff split.
func (f *flow) backKey() key {
	k := f.key
	k.via = f.back
	return k
}

// via returns the tunnels that end d sends through.
func (f *flow) via(d int) uint32 {
	if f.ways>>d&1 != 0 {
		return f.back
	}
	return f.key.via
}

// tuple returns the addresses and ports from an end to the other, as segments
// have them.
func (f *flow) tuple(d int) Tuple {
	t := f.key.tuple(d)
	t.Via = f.via(d)
	return t
}

// bare is the key without tunnels.
func (k key) bare() key {
	k.via = 0
	return k
}

// otherWay finds the flow of which a segment, with a key that none has, is the
// first of the other direction; nil if there is none.
func (t *Tracker) otherWay(k *key, d int, seg *Segment) *flow {
	bare := k.bare()
	var f *flow
	if k.via != 0 {
		f = t.find(&bare)
	}
	if f == nil || !f.answered(d, seg) {
		id, ok := t.tunnelled[bare]
		if !ok {
			return nil
		}
		if f = t.at(id); !f.answered(d, seg) {
			return nil
		}
	}
	f.ways, f.back = split, k.via
	t.more++
	t.table.place(slot{t.hash(k), f.id})
	return f
}

// answered reports whether a segment of end d answers the flow, of which nothing
// else of that end was captured.
func (f *flow) answered(d int, seg *Segment) bool {
	a, b := &f.dirs[d], &f.dirs[1-d]
	if f.ways != 0 || f.state == closed || a.is(captured) || !b.is(captured) {
		return false
	}
	switch syn, ack := seg.Flags&FlagSYN != 0, seg.Flags&FlagACK != 0; {
	case syn && !ack: // it comes behind its answer
		return a.is(sawSYN) && a.start == seg.Seq+1
	case !ack:
		return false
	case syn || seg.Flags&FlagRST != 0 && !a.is(known):
		return b.acknowledgesSYN(seg.Ack)
	}
	return a.is(known) && near(seg.Seq, a.peerAck) && near(seg.Ack, b.next)
}

func near(a, b uint32) bool { return a-b+answerWindow <= 2*answerWindow }

// from takes note of the tunnels that the first segment of end d came by.
func (t *Tracker) from(f *flow, d int, via uint32) {
	if via == f.key.via {
		return
	}
	f.ways |= 1 << d
	if f.conn != none {
		t.flows[f.conn].Via = t.viaOf(f)
	}
}

// viaOf names the tunnels of a flow: of the opener and, where they differ, those
// of the accepter.
func (t *Tracker) viaOf(f *flow) string {
	return t.nameWays(f.via(int(f.opener)), f.via(int(1-f.opener)))
}

// nameWays names the tunnels on the way there and, where they differ, back.
func (t *Tracker) nameWays(way, wayBack uint32) string {
	name := func(via uint32) string {
		if via == 0 || t.viaName == nil {
			return ""
		}
		return t.viaName(via)
	}
	there, back := name(way), name(wayBack)
	if there == back {
		return there
	}
	return JoinVias(there, back)
}

// viaBeside stands between what the opener and what the accepter of a connection
// sends through, where that differs; viaNone for no tunnel.
const (
	viaBeside = " | "
	viaNone   = "none"
)

// JoinVias makes the name of two different ways out of those of each; empty
// stands for no tunnel.
func JoinVias(there, back string) string {
	return cmp.Or(there, viaNone) + viaBeside + cmp.Or(back, viaNone)
}

// CutVias is the reverse of JoinVias; a single way is both.
func CutVias(via string) (there, back string) {
	there, back, split := strings.Cut(via, viaBeside)
	if !split {
		return via, via
	}
	plain := func(s string) string {
		if s == viaNone {
			return ""
		}
		return s
	}
	return plain(there), plain(back)
}

// noteTunnelled lets otherWay find a flow by its addresses alone: of several the
// latest.
func (t *Tracker) noteTunnelled(f *flow) {
	if f.key.via == 0 {
		return
	}
	t.tunnelled[f.key.bare()] = f.id
}

// forgetTunnelled is the reverse.
func (t *Tracker) forgetTunnelled(f *flow) {
	if f.key.via == 0 {
		return
	}
	if bare := f.key.bare(); t.tunnelled[bare] == f.id {
		delete(t.tunnelled, bare)
	}
}
