package probe

import (
	"crypto/tls"
	"net/netip"
	"slices"
)

// Matrix says which probes a target gets: every combination of its values.
type Matrix struct {
	Addrs    []netip.Addr
	Names    []string // SNI values; "" is none
	Versions []uint16 // of crypto/tls
	ALPN     []string // "" is none
	Repeat   int      // fresh connections of each combination, at least 1
	// Resume adds one resumed connection for each address, name and version.
	Resume bool
	// Later adds one with TLS 1.3 and HTTP/1.1 that offers post-handshake
	// authentication for each address and name, where the target speaks HTTP.
	Later bool
}

// Plan lists the probes of a target, those with equal values together.
func (m Matrix) Plan(t Target) []Probe {
	if !t.HTTP() {
		m.ALPN = []string{""} // nothing names these protocols behind a preamble, and no server expects HTTP there
	}
	var out []Probe
	for _, addr := range m.Addrs {
		for _, name := range m.Names {
			for _, v := range m.Versions {
				p := Probe{Target: t, Addr: netip.AddrPortFrom(addr, t.Port), ServerName: name, Version: v}
				for _, p.ALPN = range m.ALPN {
					for i := range max(m.Repeat, 1) {
						p.Attempt = i + 1
						out = append(out, p)
					}
				}
				if m.Resume {
					p.Resume, p.Attempt, p.ALPN = true, 1, m.Plainest()
					out = append(out, p)
				}
				if m.Later && v == tls.VersionTLS13 && t.HTTP() {
					// HTTP/2 forbids it (RFC 8740).
					p.Resume, p.Later, p.Attempt, p.ALPN = false, true, 1, "http/1.1"
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// Plainest is the protocol of the matrix that most servers speak.
func (m Matrix) Plainest() string {
	if slices.Contains(m.ALPN, "http/1.1") {
		return "http/1.1"
	}
	return m.ALPN[0]
}
