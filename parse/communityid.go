package parse

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
)

// CommunityID returns the Community ID of the flow, version 1, by which other
// tools know the same connection; both directions share it. The seed is 0
// unless a site has agreed on another. It returns "" unless both addresses are
// valid IP addresses of one family.
func (f Flow) CommunityID(seed uint16) string {
	a, b := f.Addrs[Opener], f.Addrs[Accepter]
	if !a.IsValid() || !b.IsValid() || a.Addr().BitLen() != b.Addr().BitLen() {
		return ""
	}
	low, high := a.Addr().AsSlice(), b.Addr().AsSlice()
	lowPort, highPort := a.Port(), b.Port()
	if c := bytes.Compare(low, high); c > 0 || c == 0 && lowPort > highPort {
		low, high, lowPort, highPort = high, low, highPort, lowPort
	}
	const protocolTCP, protocolUDP = 6, 17
	protocol := byte(protocolTCP)
	switch f.Proto {
	case UDP, RADIUS:
		protocol = protocolUDP
	case EAPOL:
		return ""
	}
	buf := make([]byte, 0, 2+2*16+2+2*2)
	buf = binary.BigEndian.AppendUint16(buf, seed)
	buf = append(buf, low...)
	buf = append(buf, high...)
	buf = append(buf, protocol, 0)
	buf = binary.BigEndian.AppendUint16(buf, lowPort)
	buf = binary.BigEndian.AppendUint16(buf, highPort)
	sum := sha1.Sum(buf)
	return "1:" + base64.StdEncoding.EncodeToString(sum[:])
}
