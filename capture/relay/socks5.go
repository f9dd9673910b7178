package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// Values of SOCKS version 5 (RFC 1928).
const (
	socksVersion = 5

	socksNoAuth       = 0x00
	socksNoAcceptable = 0xff

	socksConnect = 1

	socksIPv4 = 1
	socksName = 3
	socksIPv6 = 4
)

// Replies of SOCKS version 5 (RFC 1928 §6).
const (
	socksSucceeded = iota
	socksFailure
	socksNotAllowed
	socksNetworkUnreachable
	socksHostUnreachable
	socksRefused
	socksTTLExpired
	socksBadCommand
	socksBadAddress
)

// SOCKS5 is a way in for clients that use a SOCKS proxy, without
// authentication: who may come is said by address.
func SOCKS5() Way {
	return Way{Name: "socks5", Reads: true, Target: func(_ context.Context, c *client) (Target, error) {
		t, err := readSOCKS(c)
		if err != nil {
			return Target{}, fmt.Errorf("SOCKS: %w", err)
		}
		t.answer = c.answerSOCKS
		return t, nil
	}}
}

// readSOCKS takes the client's half of the negotiation up to its request,
// reading not a byte beyond it.
func readSOCKS(c io.ReadWriter) (Target, error) {
	var b [256]byte
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		return Target{}, err
	}
	if b[0] != socksVersion {
		return Target{}, fmt.Errorf("version %d", b[0])
	}
	methods := b[:b[1]]
	if _, err := io.ReadFull(c, methods); err != nil {
		return Target{}, err
	}
	chosen := byte(socksNoAcceptable)
	for _, m := range methods {
		if m == socksNoAuth {
			chosen = socksNoAuth
		}
	}
	if _, err := c.Write([]byte{socksVersion, chosen}); err != nil {
		return Target{}, err
	}
	if chosen != socksNoAuth {
		return Target{}, errors.New("the client insists on authentication")
	}
	return readSOCKSRequest(c, b[:])
}

// readSOCKSRequest reads a request (RFC 1928 §4).
func readSOCKSRequest(c io.ReadWriter, b []byte) (Target, error) {
	if _, err := io.ReadFull(c, b[:4]); err != nil {
		return Target{}, err
	}
	command, kind := b[1], b[3]
	switch {
	case b[0] != socksVersion:
		return Target{}, fmt.Errorf("version %d in the request", b[0])
	case command != socksConnect:
		_, _ = c.Write(socksReply(socksBadCommand, netip.AddrPort{}))
		return Target{}, fmt.Errorf("command %d is not CONNECT", command)
	}
	n := 0
	switch kind {
	case socksIPv4:
		n = 4
	case socksIPv6:
		n = 16
	case socksName:
		if _, err := io.ReadFull(c, b[:1]); err != nil {
			return Target{}, err
		}
		n = int(b[0])
	default:
		_, _ = c.Write(socksReply(socksBadAddress, netip.AddrPort{}))
		return Target{}, fmt.Errorf("address type %d", kind)
	}
	host, port := b[:n], make([]byte, 2)
	if _, err := io.ReadFull(c, host); err != nil {
		return Target{}, err
	}
	if _, err := io.ReadFull(c, port); err != nil {
		return Target{}, err
	}
	t, err := socksTarget(kind, host, binary.BigEndian.Uint16(port))
	if err != nil {
		_, _ = c.Write(socksReply(socksBadAddress, netip.AddrPort{}))
	}
	return t, err
}

func socksTarget(kind byte, host []byte, port uint16) (Target, error) {
	if port == 0 {
		return Target{}, errors.New("there is no port 0")
	}
	if kind == socksName {
		name := string(host)
		if a, err := netip.ParseAddr(name); err == nil && a.Zone() == "" {
			return Target{Addr: netip.AddrPortFrom(a.Unmap(), port)}, nil
		}
		if !hostName(name) {
			return Target{}, fmt.Errorf("%q is not a host name", name)
		}
		return Target{Host: name, Port: port}, nil
	}
	a, _ := netip.AddrFromSlice(host)
	return Target{Addr: netip.AddrPortFrom(a.Unmap(), port)}, nil
}

// socksReply is a reply with the address that was reached.
func socksReply(code byte, reached netip.AddrPort) []byte {
	b := []byte{socksVersion, code, 0}
	switch a := reached.Addr(); {
	case a.Is6():
		b = append(append(b, socksIPv6), a.AsSlice()...)
	case a.Is4():
		b = append(append(b, socksIPv4), a.AsSlice()...)
	default:
		b = append(b, socksIPv4, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint16(b, reached.Port())
}

// answerSOCKS tells the client what became of connecting.
func (c *client) answerSOCKS(reached netip.AddrPort, err error) error {
	code := byte(socksSucceeded)
	if err != nil {
		switch dialKind(err) {
		case KindTarget:
			code = socksNotAllowed
		case KindRefused:
			code = socksRefused
		case KindDNS, KindUnreachable:
			code = socksHostUnreachable
		case KindTimeout:
			code = socksTTLExpired
		default:
			code = socksFailure
		}
	}
	_, err = c.Write(socksReply(code, reached))
	return err
}
