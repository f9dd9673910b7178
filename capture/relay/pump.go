package relay

import (
	"net"

	"whoasked/parse"
)

// pump forwards one direction of a connection that no loop carries.
type pump struct {
	s        *session
	from     parse.Side
	src, dst *net.TCPConn
}

func newPump(s *session, from parse.Side) *pump {
	return &pump{s: s, from: from, src: s.conns[from], dst: s.conns[from.Other()]}
}

// run forwards until the stream ends, or fails.
func (p *pump) run() error {
	buf := p.s.r.buffers.get()
	defer p.s.r.buffers.put(buf)
	b := p.s.head[p.from]
	for {
		if len(b) > 0 {
			p.s.pass(p.from, b)
			if _, err := p.dst.Write(b); err != nil {
				return &writeError{err}
			}
		}
		n, err := p.src.Read(*buf)
		if n == 0 && err != nil {
			return err
		}
		b = (*buf)[:n]
	}
}
