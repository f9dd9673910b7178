package capture

import "net/netip"

// Narrow chooses connections by their ends; the zero value takes all. A
// connection passes if one of its ends is in Nets and one has a port of Ports,
// as far as those are given, and neither is one of Not.
type Narrow struct {
	Nets  []netip.Prefix
	Ports []uint16
	Not   []End
}

// End is an end of connections. The zero value of a field stands for any.
type End struct {
	Net  netip.Prefix
	Port uint16
}

// All reports whether n takes every connection.
func (n *Narrow) All() bool { return len(n.Nets)+len(n.Ports)+len(n.Not) == 0 }

// Keeps reports whether the connection of a tuple passes.
func (n *Narrow) Keeps(t *Tuple) bool {
	if n.All() {
		return true
	}
	ends := [2]netip.AddrPort{t.SrcAddr(), t.DstAddr()}
	in, port := len(n.Nets) == 0, len(n.Ports) == 0
	for _, e := range ends {
		for _, p := range n.Nets {
			in = in || p.Contains(e.Addr())
		}
		for _, p := range n.Ports {
			port = port || p == e.Port()
		}
		for _, not := range n.Not {
			if (!not.Net.IsValid() || not.Net.Contains(e.Addr())) && (not.Port == 0 || not.Port == e.Port()) {
				return false
			}
		}
	}
	return in && port
}
