package capture

// recent remembers bytes that were handed over, to tell whether a later copy of
// them differs. Only the first recentStart bytes of each direction are
// remembered, where handshakes are, and of all connections together only the
// latest recentBytes: bulk data costs nothing, and the memory is constant.
type recent struct {
	ring  []byte
	pos   uint64 // bytes ever added
	notes []recentNote
	n     uint32 // notes ever added, the latest being n
}

type recentNote struct {
	pos  uint64 // of the first byte, as recent.pos counts
	seq  uint32
	n    uint32
	prev uint32 // note before it of the same stream, 0 for none
}

const (
	recentStart = 16 << 10
	recentBytes = 256 << 10
	recentNotes = 2048
	// recentDepth is how many notes of a stream are looked at.
	recentDepth = 64
)

// add remembers data that s begins to hand over at seq.
func (r *recent) add(s *stream, seq uint32, data []byte) {
	off := seq - s.start
	if off >= recentStart || len(data) == 0 {
		return
	}
	if r.ring == nil {
		r.ring = make([]byte, recentBytes)
		r.notes = make([]recentNote, recentNotes)
	}
	data = data[:min(len(data), int(recentStart-off))]
	r.n++
	if r.n == 0 {
		r.n = 1 // 0 is none
	}
	r.notes[r.n%recentNotes] = recentNote{pos: r.pos, seq: seq, n: uint32(len(data)), prev: s.recent}
	s.recent = r.n
	k := copy(r.ring[r.pos%recentBytes:], data)
	copy(r.ring, data[k:])
	r.pos += uint64(len(data))
}

// conflicts counts the bytes of data, at seq of s, that differ from what was
// handed over and is still remembered.
func (r *recent) conflicts(s *stream, seq uint32, data []byte) (n uint32) {
	i := s.recent
	for range recentDepth {
		if i == 0 || r.n-i >= recentNotes {
			return n
		}
		t := &r.notes[i%recentNotes]
		if r.pos-t.pos > recentBytes {
			return n
		}
		n += r.differing(t, seq, data)
		i = t.prev
	}
	return n
}

// differing compares data with one note.
func (r *recent) differing(t *recentNote, seq uint32, data []byte) uint32 {
	from := max(int64(int32(seq-t.seq)), 0)
	to := min(int64(int32(seq-t.seq))+int64(len(data)), int64(t.n))
	if from >= to {
		return 0
	}
	data = data[from-int64(int32(seq-t.seq)):][:to-from]
	ring := r.ring[(t.pos+uint64(from))%recentBytes:]
	k := min(len(ring), len(data))
	return differing(data[:k], ring[:k], 0) + differing(data[k:], r.ring, 0)
}
