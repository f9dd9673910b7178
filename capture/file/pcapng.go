package file

import (
	"encoding/binary"
	"io"
	"math"
	"math/bits"

	"whoasked/capture"
)

// Block types of draft-ietf-opsawg-pcapng §4. That of a section reads the same
// in both byte orders.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete, before Enhanced Packet Blocks
	blockSimple    = 3
	blockEnhanced  = 6
	blockSecrets   = 10
)

const (
	orderMagic = 0x1a2b3c4d

	blockHead = 8
	blockTail = 4 // the length once more
	// maxInterfaces bounds the table of interfaces of one section.
	maxInterfaces = 1 << 16
)

// pcapng reads the blocks of a file, section after section.
type pcapng struct {
	r          *Reader
	in         *input
	big        bool // byte order of the section
	interfaces []iface
	// before counts the interfaces of the sections before this one.
	before int
	last   int64 // time of the packet before, for blocks without

	secretsTo io.Writer // where key logs in the file go, nil for nowhere
	scanned   bool      // they are there already
}

func (f *pcapng) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if f.big {
		return bits.ReverseBytes16(v)
	}
	return v
}

func (f *pcapng) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if f.big {
		return bits.ReverseBytes32(v)
	}
	return v
}

func (f *pcapng) u64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if f.big {
		return bits.ReverseBytes64(v)
	}
	return v
}

// next reads blocks up to the next packet.
func (f *pcapng) next(p *Packet) error {
	in := f.in
	for {
		if len(in.data) < blockHead && !in.more(blockHead) {
			return f.r.end(f.between())
		}
		kind := f.u32(in.data)
		if kind == blockSection {
			if err := f.section(); err != nil {
				return err
			}
			continue
		}
		total := f.u32(in.data[4:])
		if total < blockHead+blockTail || total%4 != 0 {
			return f.r.damaged("block of %d bytes", total)
		}
		if !f.known(kind) || total > maxRecord {
			if err := f.pass(kind, total); err != nil {
				return err
			}
			continue
		}
		if uint32(len(in.data)) < total && !in.more(int(total)) {
			return f.r.end(f.inside(kind))
		}
		block := in.data[:total]
		if again := f.u32(block[total-blockTail:]); again != total {
			return f.r.damaged("block of %d bytes ends as one of %d", total, again)
		}
		in.data = in.data[total:]
		if done, err := f.block(kind, block[blockHead:total-blockTail], p); done || err != nil {
			return err
		}
	}
}

// between says what was cut if the file ends within a block's head.
func (f *pcapng) between() string {
	if len(f.in.data) == 0 {
		return ""
	}
	return "a block after " + f.r.lastPacket()
}

// inside says what was cut if the file ends within a block.
func (f *pcapng) inside(kind uint32) string {
	if isPacket(kind) {
		return f.r.nextPacket()
	}
	return "a block after " + f.r.lastPacket()
}

func isPacket(kind uint32) bool {
	return kind == blockEnhanced || kind == blockSimple || kind == blockPacket
}

func (f *pcapng) known(kind uint32) bool { return isPacket(kind) || kind == blockInterface }

// pass skips a block that is not read, without holding more of it than there
// is room for.
func (f *pcapng) pass(kind, total uint32) error {
	switch {
	case kind == blockInterface:
		return f.r.damaged("interface described in %d bytes", total)
	case isPacket(kind):
		f.r.stats.Overlong++
	case kind == blockSecrets:
		return f.secrets(total)
	}
	return f.leave(kind, total, int64(total)-blockTail)
}

// leave passes over the rest of a block, n bytes up to its end.
func (f *pcapng) leave(kind, total uint32, n int64) error {
	if !f.in.skip(n) || !f.in.more(blockTail) {
		return f.r.end(f.inside(kind))
	}
	if again := f.u32(f.in.data); again != total {
		return f.r.damaged("block of %d bytes ends as one of %d", total, again)
	}
	f.in.data = f.in.data[blockTail:]
	return nil
}

// block reads the body of a block of a known type and says whether it was a
// packet.
func (f *pcapng) block(kind uint32, body []byte, p *Packet) (bool, error) {
	switch kind {
	case blockInterface:
		return false, f.describe(body)
	case blockEnhanced:
		if len(body) < 20 {
			return false, f.r.damaged("packet block of %d bytes", len(body))
		}
		return true, f.packet(f.u32(body), body[4:], p)
	case blockPacket: // the interface has 2 bytes, drops the other 2
		if len(body) < 20 {
			return false, f.r.damaged("packet block of %d bytes", len(body))
		}
		return true, f.packet(uint32(f.u16(body)), body[4:], p)
	}
	return true, f.simple(body, p)
}

// packet fills p from what the two timed packet blocks share: time, lengths,
// data, options.
func (f *pcapng) packet(id uint32, body []byte, p *Packet) error {
	if id >= uint32(len(f.interfaces)) {
		return f.r.damaged("packet of interface %d of %d", id, len(f.interfaces))
	}
	i := &f.interfaces[id]
	captured, wire := f.u32(body[8:]), f.u32(body[12:])
	data := body[16:]
	if captured > uint32(len(data)) {
		return f.r.damaged("packet of %d bytes in a block with room for %d", captured, len(data))
	}
	p.Time = i.nanos(uint64(f.u32(body))<<32 | uint64(f.u32(body[4:])))
	p.Link = i.link
	p.Interface = f.before + int(id)
	p.WireLen = max(int(wire), int(captured))
	p.Data = data[:captured:captured]
	p.Comment = f.comment(data[min((captured+3)&^3, uint32(len(data))):])
	f.last = p.Time
	return nil
}

// comment returns the first comment among the options of a packet.
func (f *pcapng) comment(options []byte) string {
	for len(options) >= 4 {
		code, n := f.u16(options), int(f.u16(options[2:]))
		options = options[4:]
		switch {
		case code == 0 || n > len(options):
			return ""
		case code == 1:
			return string(options[:n])
		}
		options = options[min((n+3)&^3, len(options)):]
	}
	return ""
}

// simple fills p from a Simple Packet Block (§4.4): interface 0, no time.
func (f *pcapng) simple(body []byte, p *Packet) error {
	if len(body) < 4 || len(f.interfaces) == 0 {
		return f.r.damaged("simple packet block of %d bytes, %d interfaces", len(body), len(f.interfaces))
	}
	i := &f.interfaces[0]
	wire := f.u32(body)
	captured := min(wire, uint32(len(body)-4))
	if i.snap != 0 {
		captured = min(captured, i.snap)
	}
	p.Time = f.last
	p.Link = i.link
	p.Interface = f.before
	p.WireLen, p.Comment = int(wire), ""
	p.Data = body[4 : 4+captured : 4+captured]
	return nil
}

// section reads a Section Header Block (§4.1), which sets the byte order and
// forgets the interfaces.
func (f *pcapng) section() error {
	const fixed = blockHead + 16 // byte order, version, section length
	inside := "a section's header"
	if !f.in.more(fixed) {
		return f.r.end(inside)
	}
	head := f.in.data
	switch uint32(orderMagic) {
	case binary.LittleEndian.Uint32(head[8:]):
		f.big = false
	case binary.BigEndian.Uint32(head[8:]):
		f.big = true
	default:
		return f.r.damaged("section without a byte order")
	}
	total, major := f.u32(head[4:]), f.u16(head[12:])
	if major != 1 {
		return f.r.unsupported("is pcapng version %d; 1 is known", major)
	}
	if total < fixed+blockTail || total%4 != 0 {
		return f.r.damaged("section header of %d bytes", total)
	}
	f.before += len(f.interfaces)
	f.interfaces = f.interfaces[:0]
	return f.pass(blockSection, total)
}

// iface is what an Interface Description Block (§4.2) says.
type iface struct {
	link capture.LinkType
	snap uint32 // bytes kept of a packet, 0 for all
	// A time stamp counts units of mul/div seconds·10⁻⁹, or, with shift set, of
	// 2^-shift seconds.
	mul, div uint64
	shift    uint
	offset   int64 // nanoseconds to add
}

func (i *iface) nanos(stamp uint64) int64 {
	switch {
	case i.shift != 0:
		seconds := stamp >> i.shift
		hi, lo := bits.Mul64(stamp&(1<<i.shift-1), 1e9)
		return i.offset + int64(seconds*1e9+(hi<<(64-i.shift)|lo>>i.shift))
	case i.div != 1:
		return i.offset + int64(stamp/i.div)
	}
	return i.offset + int64(stamp*i.mul)
}

// describe reads an Interface Description Block.
func (f *pcapng) describe(body []byte) error {
	const (
		optResolution = 9
		optOffset     = 14
	)
	if len(body) < 8 {
		return f.r.damaged("interface described in %d bytes", len(body))
	}
	if len(f.interfaces) == maxInterfaces {
		return f.r.damaged("more than %d interfaces", maxInterfaces)
	}
	i := iface{link: capture.LinkType(f.u16(body)), snap: f.u32(body[4:]), mul: 1000, div: 1}
	for options := body[8:]; len(options) >= 4; {
		code, n := f.u16(options), int(f.u16(options[2:]))
		options = options[4:]
		if code == 0 || n > len(options) {
			break // the end, or an option that leaves the block
		}
		switch {
		case code == optResolution && n == 1:
			if !i.resolution(options[0]) {
				return f.r.unsupported("has time stamps of unknown resolution %#02x", options[0])
			}
		case code == optOffset && n == 8:
			i.offset = int64(f.u64(options)) * 1e9
		}
		options = options[min((n+3)&^3, len(options)):]
	}
	f.interfaces = append(f.interfaces, i)
	return nil
}

// resolution sets the unit of time stamps: a power of 2 with the top bit set,
// else of 10.
func (i *iface) resolution(v byte) bool {
	const (
		base2      = 0x80
		maxDecimal = 9 + 19 // 10^19 fits into 64 bits
	)
	n := uint(v &^ base2)
	switch {
	case v == base2:
		i.mul, i.div = 1e9, 1
	case v&base2 != 0:
		i.shift = n
		return n < 64
	case n <= 9:
		i.mul = uint64(math.Pow10(int(9 - n)))
	case n <= maxDecimal:
		i.div = uint64(math.Pow10(int(n - 9)))
	default:
		return false
	}
	return true
}
