package relay

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// soOriginalDst is SO_ORIGINAL_DST, and IP6T_SO_ORIGINAL_DST too.
const soOriginalDst = 80

// originalOf asks connection tracking. It reads the option by calls made for others whose results have the
// size of the addresses returned.
func originalOf(fd int, ipv4 bool) (netip.AddrPort, error) {
	if ipv4 {
		m, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, soOriginalDst)
		if err != nil {
			return netip.AddrPort{}, err
		}
		b := m.Multiaddr // a sockaddr_in: family, port, address
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4])), nil
	}
	info, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, soOriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var port [2]byte
	binary.NativeEndian.PutUint16(port[:], info.Addr.Port) // kept in network order
	return netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr), binary.BigEndian.Uint16(port[:])), nil
}

// localOf is the address that a socket was reached at.
func localOf(fd int) (netip.AddrPort, error) {
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return sockAddr(sa), nil
}

// transparentSocket lets a socket have addresses that are not this machine's.
func transparentSocket(fd uintptr, network string) error {
	if network == "tcp6" {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1); err != nil {
			return err
		}
	}
	return unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

// isTransparent reports whether a socket has that already: setting it again would
// take the privilege again.
func isTransparent(fd uintptr) bool {
	on, err := unix.GetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT)
	return err == nil && on != 0
}

// sourceSocket is transparentSocket for connecting onward; the port is chosen
// when both ends are known.
func sourceSocket(fd uintptr, network string) error {
	if err := transparentSocket(fd, network); err != nil {
		return err
	}
	return unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
}
