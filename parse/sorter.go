package parse

import "slices"

// Bounds of what pieces of one byte string may make a connection keep.
const (
	// maxSorterHeld is how many bytes may wait behind a gap.
	maxSorterHeld = 64 << 10
	// maxSorterRuns is in how many runs.
	maxSorterRuns = 128
)

// sorter puts pieces of a byte string in order: the CRYPTO frames of one
// direction of a QUIC encryption level (RFC 9000 §19.6), or the fragments of a
// DTLS message (RFC 6347 §4.2.3). Of overlapping copies the first wins.
type sorter struct {
	next uint64 // offset of the next byte to hand over
	runs []run  // behind a gap, disjoint and sorted
	held int    // bytes in them
}

type run struct {
	at   uint64
	data []byte
}

// take takes a piece and hands over what is in order. It reports whether all of
// it was within the bounds.
func (s *sorter) take(at uint64, data []byte, hand func([]byte)) bool {
	if at < s.next {
		data = data[min(s.next-at, uint64(len(data))):]
		at = s.next
	}
	if at > s.next {
		return s.hold(at, data)
	}
	for {
		n := len(data)
		if len(s.runs) > 0 {
			n = int(min(uint64(n), s.runs[0].at-s.next))
		}
		if n > 0 {
			hand(data[:n])
			s.next += uint64(n)
		}
		data = data[n:]
		if len(s.runs) == 0 || s.runs[0].at > s.next {
			return true
		}
		r := s.runs[0]
		s.runs = slices.Delete(s.runs, 0, 1)
		s.held -= len(r.data)
		hand(r.data)
		s.next += uint64(len(r.data))
		data = data[min(len(r.data), len(data)):]
	}
}

// hold keeps what is new of a piece that lies behind a gap.
func (s *sorter) hold(at uint64, data []byte) bool {
	for i := 0; len(data) > 0; {
		for i < len(s.runs) && s.runs[i].end() <= at {
			i++
		}
		n := uint64(len(data))
		if i < len(s.runs) {
			r := &s.runs[i]
			if r.at <= at {
				skip := min(r.end()-at, n)
				at, data = at+skip, data[skip:]
				continue
			}
			n = min(n, r.at-at)
		}
		if s.held+int(n) > maxSorterHeld || len(s.runs) >= maxSorterRuns {
			return false
		}
		s.runs = slices.Insert(s.runs, i, run{at, slices.Clone(data[:n])})
		s.held += int(n)
		at, data = at+n, data[n:]
	}
	return true
}

func (r *run) end() uint64 { return r.at + uint64(len(r.data)) }
