package file

import (
	"encoding/binary"
	"math/bits"

	"whoasked/capture"
)

// pcapVariant is what the magic number tells.
type pcapVariant struct {
	big   bool  // byte order
	nanos int64 // nanoseconds per unit of a time stamp's fraction
	extra int   // bytes between a packet's header and its data
}

// pcapVariants is by magic number, as big-endian bytes. The last two were
// written by a patched libpcap of the nineties.
var pcapVariants = map[uint32]pcapVariant{
	0xa1b2c3d4: {big: true, nanos: 1000},
	0xd4c3b2a1: {nanos: 1000},
	0xa1b23c4d: {big: true, nanos: 1},
	0x4d3cb2a1: {nanos: 1},
	0xa1b2cd34: {big: true, nanos: 1000, extra: 8},
	0x34cdb2a1: {nanos: 1000, extra: 8},
}

// pcap reads the format of draft-ietf-opsawg-pcap.
type pcap struct {
	r       *Reader
	in      *input
	variant pcapVariant
	link    capture.LinkType
}

func (f *pcap) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if f.variant.big {
		return bits.ReverseBytes32(v)
	}
	return v
}

// header reads the file header.
func (f *pcap) header() error {
	const length = 24
	if !f.in.more(length) {
		return f.r.end("its header")
	}
	head := f.in.data[:length]
	major := binary.LittleEndian.Uint16(head[4:])
	if f.variant.big {
		major = bits.ReverseBytes16(major)
	}
	if major != 2 {
		return f.r.unsupported("is pcap version %d; 2 is known", major)
	}
	// The upper half holds the length of a frame check sequence.
	f.link = capture.LinkType(f.u32(head[20:]))
	f.in.data = f.in.data[length:]
	return nil
}

func (f *pcap) next(p *Packet) error {
	in := f.in
	head := 16 + f.variant.extra
	if len(in.data) < head && !in.more(head) {
		return f.r.end("")
	}
	captured, wire := f.u32(in.data[8:]), f.u32(in.data[12:])
	if captured > maxPacket {
		return f.r.damaged("packet of %d bytes", captured)
	}
	end := head + int(captured)
	if len(in.data) < end && !in.more(end) {
		return f.r.end("")
	}
	data := in.data
	if captured == 0 && wire == 0 && f.again(data) {
		return &Error{Name: f.r.name, Kind: Damaged, Text: "another capture begins behind " + f.r.lastPacket(),
			Hint: "files were joined as they are, as cat does; mergecap joins captures"}
	}
	p.Time = int64(f.u32(data))*1e9 + int64(f.u32(data[4:]))*f.variant.nanos
	p.Link = f.link
	p.Interface = 0
	p.WireLen = max(int(wire), int(captured))
	p.Data = data[head:end:end]
	in.data = data[end:]
	return nil
}

// again reports whether what stands where a packet's header is due is a file's.
func (f *pcap) again(b []byte) bool {
	v, ok := pcapVariants[binary.BigEndian.Uint32(b)]
	return ok && v == f.variant && f.u32(b[4:]) == 4<<16|2 // version 2.4
}
