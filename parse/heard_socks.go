package parse

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// socksTalk is what a SOCKS dialogue said so far.
type socksTalk struct {
	greeted [2]bool // SOCKS5: the method message of the side has passed
	method  byte    // SOCKS5: chosen by the server
	asked   bool    // the request has passed: what follows waits for the answer
	named   bool    // SOCKS4a: the target is a name
}

// Authentication methods of SOCKS5 (RFC 1928 §3).
const (
	socksGSSAPI   = 1
	socksPassword = 2
)

// startsSocks5 goes by the methods: assigned by IANA, private or, as an answer,
// none.
func startsSocks5(from Side, b []byte) sign {
	method := 1
	if from == Opener {
		method = 2
	}
	switch {
	case b[0] != 5:
		return signNo
	case len(b) <= method:
		return signNeedMore
	case from == Opener && b[1] == 0 || b[method] > 9 && b[method] < 0x80:
		return signNo
	}
	return signYes
}

// cutSocks5 follows RFC 1928, RFC 1929 (user and password) and RFC 1961
// (GSSAPI).
func cutSocks5(l *listener, from Side, b []byte) int {
	s := &l.socks
	switch {
	case len(b) < 2 || from == Opener && s.asked:
		return 0
	case !s.greeted[from] && b[0] == 5:
		if from == Opener {
			return 2 + int(b[1])
		}
		return 2
	case b[0] == 1 && s.method == socksGSSAPI:
		if b[1] == 0xff {
			return 2
		}
		if len(b) < 4 {
			return 0
		}
		return 4 + int(binary.BigEndian.Uint16(b[2:]))
	case b[0] == 1 && from == Accepter:
		return 2
	case b[0] == 1:
		n := 2 + int(b[1])
		if len(b) <= n {
			return 0
		}
		return n + 1 + int(b[n])
	case b[0] == 5:
		return cutSocksAddress(b)
	}
	return -1
}

// cutSocksAddress measures a request or reply with an address (RFC 1928 §4).
func cutSocksAddress(b []byte) int {
	if len(b) < 5 {
		return 0
	}
	switch b[3] {
	case 1:
		return 4 + 4 + 2
	case 3:
		return 4 + 1 + int(b[4]) + 2
	case 4:
		return 4 + 16 + 2
	}
	return -1
}

func takeSocks5(l *listener, from Side, b []byte) turn {
	s := &l.socks
	switch {
	case !s.greeted[from]:
		s.greeted[from] = true
		if from == Accepter {
			s.method = b[1]
		}
	case b[0] != 5: // authentication
		if s.method == socksGSSAPI && b[1] == 3 {
			return turnDeaf // from here on all is encapsulated (RFC 1961 §5)
		}
	case from == Opener:
		s.asked = true
		if b[1] == 1 { // CONNECT
			l.target = socksTarget(b[3:])
		}
		return turnDue
	case b[1] == 0:
		return turnOver
	}
	return turnStay
}

// socksTarget reads an address type, an address and a port.
func socksTarget(b []byte) string {
	end := len(b) - 2
	port := binary.BigEndian.Uint16(b[end:])
	if b[0] == 3 {
		return hostPort(string(b[2:end]), port)
	}
	addr, _ := netip.AddrFromSlice(b[1:end])
	return netip.AddrPortFrom(addr, port).String()
}

// hostPort joins a name and a port.
func hostPort(host string, port uint16) string {
	return host + ":" + strconv.Itoa(int(port))
}

// startsSocks4 takes a request of version 4: CONNECT or BIND to a port.
func startsSocks4(from Side, b []byte) sign {
	switch {
	case from == Accepter || b[0] != 4 || len(b) > 1 && b[1] != 1 && b[1] != 2:
		return signNo
	case len(b) < 8:
		return signNeedMore
	}
	return signYes
}

func cutSocks4(l *listener, from Side, b []byte) int {
	switch {
	case len(b) < 8 || from == Opener && l.socks.asked:
		return 0
	case from == Accepter && b[0] != 0 || from == Opener && b[0] != 4:
		return -1
	case from == Accepter:
		return 8
	}
	n := 8 + bytes.IndexByte(b[8:], 0) + 1 // the user
	if n == 8 {
		return 0
	}
	if !isSocks4a(b) {
		return n
	}
	k := bytes.IndexByte(b[n:], 0)
	if k < 0 {
		return 0
	}
	return n + k + 1
}

// isSocks4a reports whether the address is one that says that a name follows:
// 0.0.0.x.
func isSocks4a(b []byte) bool { return b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] != 0 }

func takeSocks4(l *listener, from Side, b []byte) turn {
	if from == Accepter {
		if b[1] == 90 { // request granted
			return turnOver
		}
		return turnStay
	}
	port := binary.BigEndian.Uint16(b[2:])
	named := isSocks4a(b)
	l.socks.named, l.socks.asked = named, true
	switch {
	case b[1] != 1:
	case named:
		name := b[8+bytes.IndexByte(b[8:], 0)+1 : len(b)-1]
		l.target = hostPort(string(name), port)
	default:
		l.target = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port).String()
	}
	return turnDue
}
