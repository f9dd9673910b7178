package live

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// filter puts the filter on all sockets, which do not capture yet.
func (s *Source) filter() error {
	ops := filterProgram(&s.opts.Narrow)
	if !s.opts.PlainFilter {
		var err error
		if s.kernel, err = extended(ops, s.opts.SnapLength); err == nil {
			for _, r := range s.rings {
				if err = unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, s.kernel.program.FD()); err != nil {
					break
				}
			}
		}
		if err == nil {
			return nil
		}
		s.kernel.close()
		s.kernel = nil
		s.opts.Log("filter", "no eBPF filter, so that bulk data is read though it is not needed: "+firstLine(err))
	}
	raw, err := classic(ops, s.opts.SnapLength)
	if err != nil {
		return fmt.Errorf("the filter is too long for classic BPF: %w", err)
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	for _, r := range s.rings {
		if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
			return fmt.Errorf("set the filter: %w", err)
		}
	}
	return nil
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
