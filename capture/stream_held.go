package capture

import "bytes"

// held is a run of bytes that waits for those before it.
type held struct {
	at       int64
	seq, ack uint32
	missing  uint32 // bytes behind the data that the snap length cut
	prev     int32
	next     int32  // also links the free ones
	n        uint16 // bytes of data
}

func (h *held) end() uint32 { return h.seq + uint32(h.n) + h.missing }

// pool holds the data of all held runs in blocks of blockSize.
type pool struct {
	runs  []held
	slabs [][]byte // blockSlab blocks each
	free  int32
	used  int
	max   int // blocks
}

const blockSlab = 32

func newPool(limit int) pool { return pool{free: none, max: max(1, limit/blockSize)} }

// data returns the bytes of a run.
func (p *pool) data(i int32) []byte { return p.block(i)[:p.runs[i].n] }

func (p *pool) block(i int32) []byte {
	off := int(i%blockSlab) * blockSize
	return p.slabs[i/blockSlab][off : off+blockSize : off+blockSize]
}

// take returns the index of an unused run, or none when the limit is reached.
func (p *pool) take() int32 {
	if p.used >= p.max {
		return none
	}
	p.used++
	if i := p.free; i != none {
		p.free = p.runs[i].next
		return i
	}
	i := int32(len(p.runs))
	p.runs = append(p.runs, held{})
	if int(i)/blockSlab == len(p.slabs) {
		p.slabs = append(p.slabs, make([]byte, min(blockSlab, p.max-int(i))*blockSize))
	}
	return i
}

func (p *pool) put(i int32) {
	p.runs[i].next = p.free
	p.free = i
	p.used--
}

// link puts run i of s behind run prev, or first if prev is none.
func (p *pool) link(s *stream, i, prev int32) {
	next := s.head
	if prev != none {
		next = p.runs[prev].next
		p.runs[prev].next = i
	} else {
		s.head, s.headSeq = i, p.runs[i].seq
	}
	if next != none {
		p.runs[next].prev = i
	} else {
		s.tail = i
	}
	p.runs[i].prev, p.runs[i].next = prev, next
	s.blocks++
}

// pop takes the first run off s; its data stays valid until put.
func (p *pool) pop(s *stream) int32 {
	i := s.head
	s.head = p.runs[i].next
	if s.head == none {
		s.tail = none
	} else {
		p.runs[s.head].prev = none
		s.headSeq = p.runs[s.head].seq
	}
	s.blocks--
	return i
}

// piece is a segment, or what is left of it, on its way into a stream.
type piece struct {
	at       int64
	seq, ack uint32
	data     []byte
	missing  uint32
}

func (p *piece) len() uint32 { return uint32(len(p.data)) + p.missing }

// skip drops the first n bytes.
func (p *piece) skip(n uint32) {
	p.seq += n
	if k := uint32(len(p.data)); n > k {
		p.data, p.missing = nil, p.missing-min(p.missing, n-k)
		return
	}
	p.data = p.data[n:]
}

// insert keeps what is new of pc. What is held already wins; s.conflict counts
// the bytes that differ. It reports false when max blocks for the stream, or
// the pool's limit, leave no room: pc is then what could not be kept.
func (p *pool) insert(s *stream, pc *piece, limit int32) bool {
	cur := s.tail // the last run that starts at or before pc
	for cur != none && after(p.runs[cur].seq, pc.seq) {
		cur = p.runs[cur].prev
	}
	for pc.len() > 0 {
		room, next := pc.len(), s.head
		if cur != none {
			if h := &p.runs[cur]; after(h.end(), pc.seq) {
				n := min(room, h.end()-pc.seq)
				s.conflict += differing(pc.data, p.data(cur), pc.seq-h.seq)
				pc.skip(n)
				continue
			}
			next = p.runs[cur].next
		}
		if next != none {
			if n := p.runs[next].seq - pc.seq; n == 0 {
				cur = next
				continue
			} else if n < room {
				room = n
			}
		}
		if len(pc.data) == 0 && cur != none && p.runs[cur].end() == pc.seq {
			p.runs[cur].missing += room
			pc.skip(room)
			continue
		}
		if s.blocks >= limit {
			return false
		}
		i := p.take()
		if i == none {
			return false
		}
		n := copy(p.block(i), pc.data[:min(room, uint32(len(pc.data)))])
		p.runs[i] = held{at: pc.at, seq: pc.seq, ack: pc.ack, n: uint16(n)}
		p.link(s, i, cur)
		cur = i
		pc.skip(uint32(n))
	}
	return true
}

// differing counts the bytes of a that differ from those of b from off on.
func differing(a, b []byte, off uint32) (n uint32) {
	if uint64(off) >= uint64(len(b)) {
		return 0
	}
	b = b[off:]
	k := min(len(a), len(b))
	if bytes.Equal(a[:k], b[:k]) {
		return 0
	}
	for i := range k {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
