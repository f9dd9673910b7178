package file

import (
	"encoding/binary"
	"slices"

	"whoasked/capture"
)

// order is what both byte orders of encoding/binary are.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// u32s appends words in the given order.
func u32s(o order, b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = o.AppendUint32(b, w)
	}
	return b
}

// stamped is a packet to write, with the time in the format's own unit.
type stamped struct {
	sec, frac uint32
	wire      int
	data      []byte
}

// writePcap builds a pcap file of Ethernet packets.
func writePcap(o order, magic uint32, extra int, packets ...stamped) []byte {
	b := u32s(o, nil, magic)
	b = o.AppendUint16(b, 2)
	b = o.AppendUint16(b, 4)
	b = u32s(o, b, 0, 0, 65535, 1)
	for _, p := range packets {
		b = u32s(o, b, p.sec, p.frac, uint32(len(p.data)), uint32(p.wire))
		b = append(b, make([]byte, extra)...)
		b = append(b, p.data...)
	}
	return b
}

// ng builds pcapng files block by block.
type ng struct {
	order order
	b     []byte
}

func (w *ng) block(kind uint32, body []byte) *ng {
	body = append(slices.Clip(body), make([]byte, -len(body)&3)...)
	total := uint32(len(body) + 12)
	w.b = u32s(w.order, w.b, kind, total)
	w.b = append(w.b, body...)
	w.b = u32s(w.order, w.b, total)
	return w
}

func (w *ng) section(o order) *ng {
	w.order = o
	body := u32s(o, nil, 0x1a2b3c4d)
	body = o.AppendUint16(body, 1)
	body = o.AppendUint16(body, 0)
	return w.block(blockSection, o.AppendUint64(body, 1<<64-1))
}

// option is one option of a block.
type option struct {
	code  uint16
	value []byte
}

func (w *ng) iface(link capture.LinkType, snap uint32, options ...option) *ng {
	body := w.order.AppendUint16(nil, uint16(link))
	body = w.order.AppendUint16(body, 0)
	body = u32s(w.order, body, snap)
	for _, opt := range options {
		body = w.order.AppendUint16(body, opt.code)
		body = w.order.AppendUint16(body, uint16(len(opt.value)))
		body = append(body, opt.value...)
		body = append(body, make([]byte, -len(opt.value)&3)...)
	}
	if options != nil {
		body = u32s(w.order, body, 0)
	}
	return w.block(blockInterface, body)
}

func (w *ng) enhanced(id uint32, stamp uint64, wire int, data []byte) *ng {
	body := u32s(w.order, nil, id, uint32(stamp>>32), uint32(stamp), uint32(len(data)), uint32(wire))
	body = append(body, data...)
	body = append(body, make([]byte, -len(data)&3)...)
	return w.block(blockEnhanced, u32s(w.order, body, 0)) // the end of options
}

func (w *ng) obsolete(id uint16, stamp uint64, wire int, data []byte) *ng {
	body := w.order.AppendUint16(nil, id)
	body = w.order.AppendUint16(body, 7) // drops
	body = u32s(w.order, body, uint32(stamp>>32), uint32(stamp), uint32(len(data)), uint32(wire))
	return w.block(blockPacket, append(body, data...))
}

func (w *ng) simple(wire int, data []byte) *ng {
	return w.block(blockSimple, append(u32s(w.order, nil, uint32(wire)), data...))
}
