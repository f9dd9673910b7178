package parse

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, as HAProxy's proxy-protocol.txt specifies it.

const (
	proxy1Magic = "PROXY "
	proxy2Magic = "\r\n\r\n\x00\r\nQUIT\n"
	proxy1Max   = 107 // a line of version 1, with its end (§2.1)
)

// ProxyHeader reads the PROXY header that b begins with, of version 1 or 2: its
// length and the addresses it tells, nil if it tells none. The reply is
// ReplyPending while more bytes are needed and ReplyForeign if it is none.
func ProxyHeader(b []byte) (n int, told *Proxied, r Reply) {
	if len(b) == 0 {
		return 0, nil, ReplyPending
	}
	var l listener
	for _, v := range []struct {
		starts sign
		tongue tongue
	}{
		{startsProxy2(Opener, b), tongue{cutProxy2, takeProxy2}},
		{startsProxy1(Opener, b), tongue{cutProxy1, takeProxy1}},
	} {
		switch v.starts {
		case signNo:
			continue
		case signNeedMore:
			return 0, nil, ReplyPending
		}
		switch n := v.tongue.cut(&l, Opener, b); {
		case n < 0 || n > MaxProxyHeader:
			return 0, nil, ReplyForeign
		case n == 0 || n > len(b):
			return 0, nil, ReplyPending
		default:
			v.tongue.take(&l, Opener, b[:n])
			return n, l.proxied, ReplyGo
		}
	}
	return 0, nil, ReplyForeign
}

// MaxProxyHeader bounds a header that ProxyHeader reads: addresses and what a
// proxy adds to them, such as the certificate of a client.
const MaxProxyHeader = 16 << 10

func startsProxy1(from Side, b []byte) sign {
	if from == Accepter {
		return signNo
	}
	return startsWith(b, proxy1Magic)
}

func cutProxy1(_ *listener, _ Side, b []byte) int {
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 && len(b) >= proxy1Max || n > proxy1Max {
		return -1
	}
	return n
}

func takeProxy1(l *listener, _ Side, b []byte) turn {
	f := strings.Fields(string(b))
	if len(f) == 6 && (f[1] == "TCP4" || f[1] == "TCP6") {
		source, ok1 := addrPort(f[2], f[4])
		dest, ok2 := addrPort(f[3], f[5])
		if ok1 && ok2 {
			l.proxy(source, dest)
		}
	}
	return turnDue
}

func addrPort(addr, port string) (netip.AddrPort, bool) {
	a, err1 := netip.ParseAddr(addr)
	p, err2 := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), err1 == nil && err2 == nil
}

// proxy keeps the addresses of the first header: the nearest proxy's.
func (l *listener) proxy(source, dest netip.AddrPort) {
	if l.proxied == nil {
		l.proxied = &Proxied{Source: source, Dest: dest}
	}
}

func startsProxy2(from Side, b []byte) sign {
	if from == Accepter {
		return signNo
	}
	return startsWith(b, proxy2Magic)
}

func cutProxy2(_ *listener, _ Side, b []byte) int {
	switch {
	case len(b) < 16:
		return 0
	case b[12]>>4 != 2:
		return -1
	}
	return 16 + int(binary.BigEndian.Uint16(b[14:]))
}

// takeProxy2 reads the addresses of version 2 (§2.2). With the command LOCAL the
// proxy speaks for itself, and a UNIX socket has no address; TLVs are passed
// over.
func takeProxy2(l *listener, _ Side, b []byte) turn {
	if b[12]&15 != 1 { // PROXY
		return turnDue
	}
	size := 0
	switch b[13] >> 4 {
	case 1:
		size = 4
	case 2:
		size = 16
	}
	if a := b[16:]; size > 0 && len(a) >= 2*size+4 {
		source, _ := netip.AddrFromSlice(a[:size])
		dest, _ := netip.AddrFromSlice(a[size : 2*size])
		ports := a[2*size:]
		l.proxy(netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(ports)),
			netip.AddrPortFrom(dest.Unmap(), binary.BigEndian.Uint16(ports[2:])))
	}
	return turnDue
}
