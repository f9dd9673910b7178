package capture

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// key is a Tuple in an order that both directions share.
type key struct {
	ends  [2][2]uint64 // addresses, big-endian words, the lower end first
	ports uint32       // of the lower end in the upper half
	via   uint32
}

// keyOf returns the key of a tuple and which of its ends, 0 or 1, is the source.
func keyOf(t *Tuple) (k key, from int) {
	from = k.set(t)
	return k, from
}

// set makes k the key of a tuple and returns which of its ends is the source.
func (k *key) set(t *Tuple) int {
	s0, s1 := binary.BigEndian.Uint64(t.Src[:8]), binary.BigEndian.Uint64(t.Src[8:])
	d0, d1 := binary.BigEndian.Uint64(t.Dst[:8]), binary.BigEndian.Uint64(t.Dst[8:])
	sp, dp := uint32(t.SrcPort), uint32(t.DstPort)
	k.via = t.Via
	if s1 < d1 || s1 == d1 && (s0 < d0 || s0 == d0 && sp <= dp) {
		k.ends[0][0], k.ends[0][1], k.ends[1][0], k.ends[1][1], k.ports = s0, s1, d0, d1, sp<<16|dp
		return 0
	}
	k.ends[0][0], k.ends[0][1], k.ends[1][0], k.ends[1][1], k.ports = d0, d1, s0, s1, dp<<16|sp
	return 1
}

// is compares word by word: what has just been stored so is slow to load otherwise.
func (k *key) is(o *key) bool {
	return k.ports == o.ports && k.via == o.via && k.ends[0][1] == o.ends[0][1] && k.ends[1][1] == o.ends[1][1] &&
		k.ends[0][0] == o.ends[0][0] && k.ends[1][0] == o.ends[1][0]
}

// port returns the port of an end.
func (k *key) port(end int) uint16 { return uint16(k.ports >> (16 * (1 - end))) }

// addr returns the address of an end.
func (k *key) addr(end int) (a [16]byte) {
	binary.BigEndian.PutUint64(a[:8], k.ends[end][0])
	binary.BigEndian.PutUint64(a[8:], k.ends[end][1])
	return a
}

// tuple returns the addresses and ports from an end to the other.
func (k *key) tuple(src int) Tuple {
	return Tuple{Src: k.addr(src), Dst: k.addr(1 - src), SrcPort: k.port(src), DstPort: k.port(1 - src), Via: k.via}
}

// none is the index of nothing.
const none = -1

// table finds flows. It is an open-addressing hash table of indices into slabs
// of flows: free of pointers, so that the garbage collector passes it by, and
// it grows only as far as the flows need.
type table struct {
	seed  [4]uint64 // keeps those who write captures from choosing collisions
	slots []slot    // length is a power of two, at most half in use
	slabs [][]flow
	free  int32 // list of flows not in use, by next
	n     int
	more  int   // slots of flows that have two
	last  *flow // found before; packets come in runs
}

type slot struct {
	hash uint32
	id   int32 // none where empty
}

const slabLen = 256

func newTable() table {
	t := table{free: none, slots: emptySlots(1024)}
	for i := range t.seed {
		t.seed[i] = rand.Uint64() | 1
	}
	return t
}

func emptySlots(n int) []slot {
	s := make([]slot, n)
	for i := range s {
		s[i].id = none
	}
	return s
}

func (t *table) at(id int32) *flow { return &t.slabs[id/slabLen][id%slabLen] }

func (t *table) hash(k *key) uint32 {
	h := fold(k.ends[0][0]^t.seed[0], k.ends[0][1]^t.seed[1])
	h ^= fold(k.ends[1][0]^t.seed[2], k.ends[1][1]^bits.RotateLeft64(t.seed[1], 32))
	return uint32(fold(h^(uint64(k.ports)<<32|uint64(k.via)), t.seed[3]))
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// find returns the flow of a key, or nil.
func (t *table) find(k *key) *flow {
	if t.last != nil && t.last.key.is(k) {
		return t.last
	}
	h := t.hash(k)
	mask := uint32(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s.id == none {
			return nil
		}
		if s.hash != h {
			continue
		}
		if f := t.at(s.id); f.key.is(k) || f.returns(k) {
			t.last = f
			return f
		}
	}
}

// add returns a new flow for a key that is not in the table.
func (t *table) add(k *key) *flow {
	if t.free == none {
		t.addSlab()
	}
	f := t.at(t.free)
	id := t.free
	t.free = f.next
	*f = flow{key: *k, id: id, conn: none, prev: none, next: none, waitPrev: none, waitNext: none}
	f.dirs[0].first, f.dirs[1].first = none, none
	t.n++
	t.place(slot{t.hash(k), id})
	t.last = f
	return f
}

func (t *table) addSlab() {
	base := int32(len(t.slabs) * slabLen)
	slab := make([]flow, slabLen)
	for i := range slab {
		slab[i].next = base + int32(i) + 1
	}
	slab[slabLen-1].next = t.free
	t.slabs = append(t.slabs, slab)
	t.free = base
}

// place puts a slot in, which the counts include already.
func (t *table) place(s slot) {
	if 2*(t.n+t.more) > len(t.slots) {
		old := t.slots
		t.slots = emptySlots(2 * len(old))
		for _, o := range old {
			if o.id != none {
				t.insert(o)
			}
		}
	}
	t.insert(s)
}

func (t *table) insert(s slot) {
	mask := uint32(len(t.slots) - 1)
	i := s.hash & mask
	for t.slots[i].id != none {
		i = (i + 1) & mask
	}
	t.slots[i] = s
}

// remove takes a flow out; the caller has unlinked it from every list.
func (t *table) remove(f *flow) {
	t.take(slot{t.hash(&f.key), f.id})
	if f.ways&split != 0 {
		k := f.backKey()
		t.take(slot{t.hash(&k), f.id})
		t.more--
	}
	if t.last == f {
		t.last = nil
	}
	f.next = t.free
	t.free = f.id
	t.n--
}

// take takes a slot out.
func (t *table) take(s slot) {
	mask := uint32(len(t.slots) - 1)
	i := s.hash & mask
	for t.slots[i] != s {
		i = (i + 1) & mask
	}
	// Close the hole: pull back each follower that may stand where the hole is.
	for j := (i + 1) & mask; t.slots[j].id != none; j = (j + 1) & mask {
		if home := t.slots[j].hash & mask; (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i].id = none
}

// list is an intrusive list of flows, the least recently active first.
type list struct {
	head, tail int32
	n          int
}

func (t *table) push(l *list, f *flow) {
	f.prev, f.next = l.tail, none
	if l.tail == none {
		l.head = f.id
	} else {
		t.at(l.tail).next = f.id
	}
	l.tail = f.id
	l.n++
}

func (t *table) unlink(l *list, f *flow) {
	if f.prev == none {
		l.head = f.next
	} else {
		t.at(f.prev).next = f.next
	}
	if f.next == none {
		l.tail = f.prev
	} else {
		t.at(f.next).prev = f.prev
	}
	l.n--
}
