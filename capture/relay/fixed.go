package relay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Fixed is a way in that leads to one place.
func Fixed(hostPort string) (Way, error) {
	t, err := parseTarget(hostPort)
	if err != nil {
		return Way{}, err
	}
	t.Chosen = true
	w := Way{Name: "fixed", Target: func(context.Context, *client) (Target, error) { return t, nil }}
	if t.Addr.IsValid() {
		w.of = func(int, netip.AddrPort) (Target, error) { return t, nil }
	}
	return w, nil
}

// parseTarget reads HOST:PORT or IP:PORT.
func parseTarget(hostPort string) (Target, error) {
	if a, err := netip.ParseAddrPort(hostPort); err == nil && a.Addr().Zone() == "" {
		if a.Port() == 0 {
			return Target{}, fmt.Errorf("%s: there is no port 0", hostPort)
		}
		return Target{Addr: netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}, nil
	}
	host, service, err := net.SplitHostPort(hostPort)
	if err != nil {
		return Target{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	switch {
	case err != nil || port == 0:
		return Target{}, fmt.Errorf("%s: want a port from 1 to 65535", hostPort)
	case !hostName(host):
		return Target{}, fmt.Errorf("%s: not a host name", hostPort)
	}
	return Target{Host: host, Port: uint16(port)}, nil
}

// hostName reports whether s can be the name of a host: letters, digits and
// hyphens in labels (RFC 1123 §2.1), and the underscores that some use.
func hostName(s string) bool {
	if s == "" || len(s) > 254 {
		return false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return true
}
