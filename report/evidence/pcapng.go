package evidence

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Blocks and options of draft-ietf-opsawg-pcapng. The byte order is little-endian.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockEnhanced  = 6

	orderMagic = 0x1a2b3c4d

	optEnd         = 0
	optComment     = 1
	optApplication = 4 // of a section: what wrote it
	optResolution  = 9 // of an interface: 10^-n seconds

	packetHead     = 28
	packetOverhead = packetHead + 4
	maxComment     = 4 << 10
)

var order = binary.LittleEndian

func padded(n int) int { return (n + 3) &^ 3 }

// packetSize is the length of a block with n bytes of a packet.
func packetSize(n int, comment string) int {
	size := packetOverhead + padded(n)
	if comment != "" {
		size += 4 + padded(len(comment)) + 4
	}
	return size
}

// appendPacket appends an Enhanced Packet Block (§4.3). Time is in nanoseconds.
func appendPacket(b []byte, link int, at int64, wireLen int, data []byte, comment string) []byte {
	size := uint32(packetSize(len(data), comment))
	b = order.AppendUint32(b, blockEnhanced)
	b = order.AppendUint32(b, size)
	b = order.AppendUint32(b, uint32(link))
	b = order.AppendUint32(b, uint32(uint64(at)>>32))
	b = order.AppendUint32(b, uint32(at))
	b = order.AppendUint32(b, uint32(len(data)))
	b = order.AppendUint32(b, uint32(max(wireLen, len(data))))
	b = appendPadded(b, data)
	if comment != "" {
		b = appendOption(b, optComment, comment)
		b = appendOption(b, optEnd, "")
	}
	return order.AppendUint32(b, size)
}

func appendPadded[T string | []byte](b []byte, data T) []byte {
	b = append(b, data...)
	return append(b, make([]byte, -len(data)&3)...)
}

func appendOption(b []byte, code uint16, value string) []byte {
	b = order.AppendUint16(b, code)
	b = order.AppendUint16(b, uint16(len(value)))
	return appendPadded(b, value)
}

// appendBlock appends a block with the given body, a multiple of 4 bytes.
func appendBlock(b []byte, kind uint32, body []byte) []byte {
	size := uint32(12 + len(body))
	b = order.AppendUint32(b, kind)
	b = order.AppendUint32(b, size)
	b = append(b, body...)
	return order.AppendUint32(b, size)
}

// countPackets counts the blocks in b, all of which are packets.
func countPackets(b []byte) (n int) {
	for len(b) > 0 {
		b = b[order.Uint32(b[4:]):]
		n++
	}
	return n
}

// encode makes the file of a connection.
func (k *Keeper) encode(f *flow) []byte {
	comment, left := f.comment, f.left
	packets := slices.Concat(f.head, f.before, f.latest)
	if g := f.back; g != nil {
		packets = inOrder(packets, slices.Concat(g.head, g.before, g.latest))
		left += g.left
	}
	if left > 0 {
		comment += fmt.Sprintf("\n%d packets between the first and the latest are not in this file", left)
	}
	for _, part := range f.leftOut {
		comment += "\n" + part.String()
	}
	comment = clip(comment)
	b := make([]byte, 0, 256+len(packets)+padded(len(comment))+8)
	var body []byte
	body = order.AppendUint32(body, orderMagic)
	body = order.AppendUint16(body, 1)
	body = order.AppendUint16(body, 0)
	body = order.AppendUint64(body, 1<<64-1) // length of the section: not told
	body = appendOption(body, optApplication, "whoasked")
	body = appendOption(body, optEnd, "")
	b = appendBlock(b, blockSection, body)
	for _, l := range k.links {
		body = order.AppendUint16(body[:0], uint16(l))
		body = order.AppendUint16(body, 0)
		body = order.AppendUint32(body, 0) // no snap length
		body = appendOption(body, optResolution, "\x09")
		body = appendOption(body, optEnd, "")
		b = appendBlock(b, blockInterface, body)
	}
	// The first packet again, with the comment.
	first := packets[:order.Uint32(packets[4:])]
	n := order.Uint32(first[20:])
	b = appendPacket(b, int(order.Uint32(first[8:])), timeOf(first), int(order.Uint32(first[24:])), first[packetHead:packetHead+n], comment)
	return append(b, packets[len(first):]...)
}

// timeOf is the time of the first packet of some.
func timeOf(packets []byte) int64 {
	return int64(uint64(order.Uint32(packets[12:]))<<32 | uint64(order.Uint32(packets[16:])))
}

// inOrder merges packets, of each in the order of capture, by their time.
func inOrder(a, b []byte) []byte {
	out := make([]byte, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		first := &a
		if timeOf(b) < timeOf(a) {
			first = &b
		}
		n := order.Uint32((*first)[4:])
		out = append(out, (*first)[:n]...)
		*first = (*first)[n:]
	}
	return append(append(out, a...), b...)
}

// clip shortens a comment to what fits in an option, in whole characters.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxComment {
		return s
	}
	s = s[:maxComment]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

const (
	filePrefix = "whoasked-"
	fileSuffix = ".pcapng"
	tempSuffix = ".pcapng.tmp"
)

// fileName names the file of a connection, so that names sort by time.
func fileName(start time.Time, client, server netip.AddrPort) string {
	end := func(a netip.AddrPort) string {
		host := strings.ReplaceAll(strings.ReplaceAll(a.Addr().WithZone("").String(), ":", "-"), "%", "-")
		return fmt.Sprintf("%s_%d", host, a.Port())
	}
	return filePrefix + start.UTC().Format("20060102T150405.000000000Z") + "-" + end(client) + "-" + end(server) + fileSuffix
}
