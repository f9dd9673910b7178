package parse

import (
	"fmt"
	"net/netip"
)

// linkPrefix is where link addresses stand in a netip.Addr: at the start of the
// Discard-Only Address Block (RFC 6666), which nothing sends from or to.
const linkPrefix = "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// LinkAddr returns a link-layer address of up to six bytes, a MAC address, as an
// Addr, so that a connection below IP has ends like any other.
func LinkAddr(mac []byte) netip.Addr {
	var a [16]byte
	copy(a[:], linkPrefix)
	copy(a[len(linkPrefix):], mac)
	return netip.AddrFrom16(a)
}

// EndName writes one end of a connection: "192.0.2.1:443", or, for what
// LinkAddr returned, "02:00:5e:10:00:01".
func EndName(a netip.AddrPort) string {
	if !isLinkAddr(a.Addr()) || a.Port() != 0 {
		return a.String()
	}
	b := a.Addr().As16()
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[10], b[11], b[12], b[13], b[14], b[15])
}

// HostName is EndName without a port.
func HostName(a netip.Addr) string {
	if isLinkAddr(a) {
		return EndName(netip.AddrPortFrom(a, 0))
	}
	return a.String()
}

func isLinkAddr(a netip.Addr) bool {
	if !a.Is6() {
		return false
	}
	b := a.As16()
	return string(b[:len(linkPrefix)]) == linkPrefix
}
