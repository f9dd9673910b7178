package relay

import "whoasked/parse"

// pump forwards one direction of a connection that no loop carries, until the stream
// ends, or fails.
func (s *session) pump(from parse.Side) error {
	src, dst := s.conns[from], s.conns[from.Other()]
	buf := s.r.buffers.get()
	defer s.r.buffers.put(buf)
	b := s.head[from]
	for {
		if len(b) > 0 {
			s.pass(from, b)
			if _, err := dst.Write(b); err != nil {
				return &writeError{err}
			}
		}
		n, err := src.Read(*buf)
		if n == 0 && err != nil {
			return err
		}
		b = (*buf)[:n]
	}
}
