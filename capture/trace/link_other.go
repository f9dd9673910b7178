//go:build !linux

package trace

import (
	"context"
	"errors"
	"net/netip"
)

type link struct{}

func newLink(*Tracer, netip.AddrPort) (*link, error) {
	return nil, errors.New("tracing needs Linux, whose sockets tell which router discarded what they sent")
}

func (*link) send(context.Context, Kind, int) Reply { return Reply{Outcome: Failed} }

func (*link) close() {}

// RawICMP reports whether ICMP messages may be read as they come.
func RawICMP(bool) bool { return false }
