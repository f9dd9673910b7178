package probe

import (
	"encoding/binary"
	"io"
	"net"
)

// A packet of TDS has a header of packetHeader bytes (MS-TDS §2.2.3.1): type,
// status, length of the whole, SPID, number, window. packetMost is how long one
// may be before another size is agreed on (§2.2.6.4, PacketSize).
const (
	packetHeader = 8
	packetMost   = 4096

	packetPrelogin = 0x12
	packetTabular  = 0x04 // a server's answer
	packetLast     = 0x01 // status: the end of a message
)

// packets carries a TLS handshake in packets, as TDS 7 does it (MS-TDS §2.2.6.5).
// Behind the handshake records follow each other without; the server may leave
// packets out earlier, as no packet begins like a record.
type packets struct {
	*tap
	number uint8  // of the latest packet written
	left   int    // payload of the one being read
	ahead  []byte // read already
	// sent: nothing more is written in packets. came: nothing more comes in them.
	sent, came bool
}

func (p *packets) Write(b []byte) (int, error) {
	if p.sent {
		return p.tap.Write(b)
	}
	var out []byte
	for rest := b; len(rest) > 0; {
		n := min(len(rest), packetMost-packetHeader)
		status := byte(0)
		if n == len(rest) {
			status = packetLast
		}
		p.number++
		out = append(out, packetPrelogin, status)
		out = binary.BigEndian.AppendUint16(out, uint16(n+packetHeader))
		out = append(append(out, 0, 0, p.number, 0), rest[:n]...)
		rest = rest[n:]
	}
	if _, err := p.tap.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *packets) Read(b []byte) (int, error) {
	for p.left == 0 && len(p.ahead) == 0 {
		if p.came {
			return p.tap.Read(b)
		}
		var hdr [packetHeader]byte
		if _, err := io.ReadFull(p.tap, hdr[:1]); err != nil {
			return 0, err
		}
		if hdr[0] != packetPrelogin && hdr[0] != packetTabular {
			p.came, p.ahead = true, hdr[:1]
			break
		}
		if _, err := io.ReadFull(p.tap, hdr[1:]); err != nil {
			return 0, err
		}
		p.left = max(int(binary.BigEndian.Uint16(hdr[2:]))-packetHeader, 0)
	}
	if n := copy(b, p.ahead); n > 0 {
		p.ahead = p.ahead[n:]
		return n, nil
	}
	n, err := p.tap.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

// carried is what TLS runs over.
func (t *tap) carried(to *Target) net.Conn {
	if to.wrapped() {
		return &packets{tap: t}
	}
	return t
}

// bare is told that the handshake is through.
func bare(c net.Conn) {
	if p, ok := c.(*packets); ok {
		p.sent = true
	}
}
