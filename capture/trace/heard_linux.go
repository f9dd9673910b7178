package trace

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// queuedError is what the error queue of a socket tells of an ICMP message.
type queuedError struct {
	kind, code uint8
	from       netip.Addr
}

// parseQueued reads the control messages that come with the error queue: struct
// sock_extended_err and the address of who sent it (ip(7)).
func parseQueued(oob []byte) (e queuedError, ok bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return e, false
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		const size = 16 // of sock_extended_err
		if !v4 && !v6 || len(m.Data) < size {
			continue
		}
		origin := m.Data[4]
		if origin != unix.SO_EE_ORIGIN_ICMP && origin != unix.SO_EE_ORIGIN_ICMP6 {
			continue // of our own host
		}
		e.kind, e.code = m.Data[5], m.Data[6]
		offender := m.Data[size:]
		switch {
		case len(offender) >= 8 && binary.NativeEndian.Uint16(offender) == unix.AF_INET:
			e.from = netip.AddrFrom4([4]byte(offender[4:8]))
		case len(offender) >= 24 && binary.NativeEndian.Uint16(offender) == unix.AF_INET6:
			e.from = netip.AddrFrom16([16]byte(offender[8:24])).Unmap()
		}
		return e, true
	}
	return e, false
}

// RawICMP reports whether ICMP messages may be read as they come, of IPv6 or of
// IPv4: it takes CAP_NET_RAW.
func RawICMP(v6 bool) bool {
	h := hear(v6)
	h.close()
	return h != nil
}

// hearing listens for ICMP messages, which name the router where the kernel does
// not. A nil one hears nothing.
type hearing struct {
	conn net.PacketConn
	mu   sync.Mutex
	said []said
	news chan struct{} // closed at the next message
}

// said is an ICMP message about a packet.
type said struct {
	by netip.Addr
	quote
}

// remembered bounds the messages kept: the latest are asked for at once.
const remembered = 256

// hear begins to listen; nil if that is not permitted.
func hear(v6 bool) *hearing {
	network, address := "ip4:icmp", "0.0.0.0"
	if v6 {
		network, address = "ip6:ipv6-icmp", "::"
	}
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		return nil
	}
	h := &hearing{conn: conn, news: make(chan struct{})}
	go h.listen(v6)
	return h
}

func (h *hearing) close() {
	if h != nil {
		h.conn.Close()
	}
}

func (h *hearing) listen(v6 bool) {
	buf := make([]byte, 2048)
	for {
		n, from, err := h.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		q, ok := parseICMP(v6, buf[:n])
		ip, isIP := from.(*net.IPAddr)
		if !ok || !isIP {
			continue
		}
		by, _ := netip.AddrFromSlice(ip.IP)
		h.mu.Lock()
		if len(h.said) == remembered {
			h.said = slices.Delete(h.said, 0, remembered/2)
		}
		h.said = append(h.said, said{by.Unmap(), q})
		close(h.news)
		h.news = make(chan struct{})
		h.mu.Unlock()
	}
}

// about finds the ICMP message about a TCP packet of a flow. The socket's own
// error may come a moment before the message.
func (h *hearing) about(from, to netip.AddrPort) (said, bool) {
	if h == nil {
		return said{}, false
	}
	late := time.After(100 * time.Millisecond)
	for {
		h.mu.Lock()
		for i := range h.said {
			if s := h.said[i]; s.proto == protoTCP && s.src == from && s.dst == to {
				h.mu.Unlock()
				return s, true
			}
		}
		news := h.news
		h.mu.Unlock()
		select {
		case <-news:
		case <-late:
			return said{}, false
		}
	}
}
