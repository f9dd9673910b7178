package capture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// pieces cuts the payload of an IP packet at multiples of 8 bytes drawn from
// rng. The packet has no extension headers.
func pieces(rng *rand.Rand, packet []byte, id uint32) [][]byte {
	v6 := packet[0]>>4 == 6
	head := 20
	if v6 {
		head = 40
	}
	payload := packet[head:]
	var out [][]byte
	for at := 0; at < len(payload); {
		n := 8 * (1 + rng.IntN(1+len(payload)/16))
		more := at+n < len(payload)
		n = min(n, len(payload)-at)
		out = append(out, piece4or6(packet, head, payload[at:at+n], at, more, id))
		at += n
	}
	return out
}

func piece4or6(packet []byte, head int, part []byte, offset int, more bool, id uint32) []byte {
	flag := 0
	if more {
		flag = 1
	}
	if head == 40 {
		return ipv6At(packet, 44, cat([]byte{packet[6], 0}, u16(uint16(offset|flag)), u32(id), part))
	}
	field := uint16(offset/8 | flag<<13)
	header := with(packet[:20], 2, u16(uint16(20+len(part)), uint16(id), field)...)
	return cat(summed(header), part)
}

// ipv6At is the header of a packet before another payload.
func ipv6At(packet []byte, next byte, payload []byte) []byte {
	header := with(packet[:40], 4, u16(uint16(len(payload)))...)
	header[6] = next
	return cat(header, payload)
}

// wraps are the places a fragmented packet may be found in.
var wraps = []struct {
	name string
	via  string
	wrap func(etherType uint16, packet []byte) []byte
}{
	{"Ethernet", "", ether},
	{"VLAN", "vlan 7", func(e uint16, p []byte) []byte { return ether(0x8100, vlan(7, e, p)) }},
	{"VXLAN", "vxlan 5", func(e uint16, p []byte) []byte {
		return ether(0x0800, ipv4(17, datagram(1, 4789, vxlanFrame(5, ether(e, p)))))
	}},
	{"GRE", "gre", func(e uint16, p []byte) []byte { return ether(0x0800, ipv4(47, cat(u16(0, e), p))) }},
}

// A packet cut into fragments in any way, which come in any order, some of them
// twice, is the packet.
func TestFragmentsInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	payload := strings.Repeat("0123456789abcdef-", 80)
	for round := range 400 {
		text := payload[:rng.IntN(len(payload))]
		packet, etherType := ipv4(6, segment(text)), uint16(0x0800)
		if round%2 == 1 {
			packet, etherType = ipv6(6, segment(text)), 0x86dd
		}
		w := wraps[rng.IntN(len(wraps))]
		parts := pieces(rng, packet, uint32(round))
		for range rng.IntN(3) {
			parts = append(parts, parts[rng.IntN(len(parts))])
		}
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		d := NewDecoder()
		d.Advance(int64(round))
		got := 0
		for _, p := range parts {
			frame := w.wrap(etherType, p)
			var seg Segment
			switch out := d.Decode(1, frame, len(frame), &seg); out {
			case TCP:
				got++
				if string(seg.Payload) != text || seg.Missing != 0 || seg.SrcPort != 50000 || d.ViaName(seg.Via) != w.via {
					t.Fatalf("round %d, %s: %d of %d bytes, via %q", round, w.name, len(seg.Payload), len(text), d.ViaName(seg.Via))
				}
			case Fragment:
			default:
				t.Fatalf("round %d, %s: %v", round, w.name, out)
			}
		}
		s := d.Stats().Fragments
		if whole := len(parts) == 1; !whole && (got != 1 || s.Reassembled != 1 || s.Incomplete != 0 || s.Conflict != 0 || s.Fragments != int64(len(parts))) {
			t.Fatalf("round %d, %s, %d parts: %d segments, %+v", round, w.name, len(parts), got, s)
		}
	}
}

// Fragments of a tunnel's packet, of the packet in it, and of both.
func TestFragmentsInsideFragments(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	text := strings.Repeat("x", 3000)
	d := NewDecoder()
	found := 0
	for i, inside := range pieces(rng, ipv4(6, segment(text)), 9) {
		outer := ipv6(17, datagram(1, 4789, vxlanFrame(5, ether(0x0800, inside))))
		parts := pieces(rng, outer, uint32(i))
		slices.Reverse(parts)
		for _, p := range parts {
			frame := ether(0x86dd, p)
			var seg Segment
			if d.Decode(1, frame, len(frame), &seg) == TCP {
				found++
				if string(seg.Payload) != text || d.ViaName(seg.Via) != "vxlan 5" {
					t.Errorf("%d bytes via %q", len(seg.Payload), d.ViaName(seg.Via))
				}
			}
		}
	}
	if s := d.Stats().Fragments; found != 1 || s.Incomplete != 0 {
		t.Errorf("%d segments, %+v", found, s)
	}
}

// parts gives a decoder parts of one IPv4 packet: offset, length and byte of
// which each consists; a negative length is a last one.
func feedParts(d *Decoder, id uint16, parts ...[3]int) (out Outcome, seg Segment) {
	for _, p := range parts {
		n, more := p[1], true
		if n < 0 {
			n, more = -n, false
		}
		b := bytes.Repeat([]byte{byte(p[2])}, n)
		if p[0] == 0 {
			copy(b, segment(""))
		}
		frame := piece4or6(ipv4(6, nil), 20, b, p[0], more, uint32(id))
		out = d.Decode(101, frame, len(frame), &seg)
	}
	return out, seg
}

func TestOverlappingFragments(t *testing.T) {
	d := NewDecoder()
	// The first copy wins, also where a later one reaches further.
	out, seg := feedParts(d, 1, [3]int{0, 48, 'a'}, [3]int{40, 24, 'b'}, [3]int{56, -16, 'c'})
	if want := "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbcccccccc"; out != TCP || string(seg.Payload) != want {
		t.Errorf("%v, %q", out, seg.Payload)
	}
	if s := d.Stats().Fragments; s.Overlaps != 2 || s.Conflict != 16 || s.Reassembled != 1 {
		t.Errorf("%+v", s)
	}
	// What names another end is not believed.
	out, seg = feedParts(d, 2, [3]int{40, -8, 'b'}, [3]int{48, 8, 'x'}, [3]int{32, -8, 'x'}, [3]int{0, 40, 'a'})
	if want := "aaaaaaaabbbbbbbb"; out != TCP || string(seg.Payload) != want {
		t.Errorf("%v, %q", out, seg.Payload)
	}
	// Copies that come behind are no new packet.
	if out, _ := feedParts(d, 2, [3]int{0, 40, 'a'}, [3]int{40, -8, 'b'}); out != Fragment {
		t.Errorf("copies: %v", out)
	}
	if s := d.Stats().Fragments; s.Duplicates != 2 || s.Overlaps != 4 || s.Reassembled != 2 || s.Incomplete != 0 {
		t.Errorf("%+v", s)
	}
	// Much later they are.
	d.Advance(fragmentLinger + 1)
	if out, _ := feedParts(d, 2, [3]int{0, 40, 'a'}, [3]int{40, -8, 'b'}); out != TCP {
		t.Errorf("used again: %v", out)
	}
}

// A fragment cut by the snap length costs what is behind the cut.
func TestFragmentsCutBySnapLength(t *testing.T) {
	packet := ipv4(6, segment(strings.Repeat("a", 8)+strings.Repeat("b", 16)+strings.Repeat("c", 8)))
	d := NewDecoder()
	var seg Segment
	var out Outcome
	for _, p := range []struct{ from, to, cut int }{{0, 40, 0}, {40, 56, 5}, {56, 64, 0}} {
		frame := piece4or6(packet, 20, packet[20+p.from:20+p.to], p.from, p.to < 64, 1)
		out = d.Decode(101, frame[:len(frame)-p.cut], len(frame), &seg)
	}
	if out != TCP || string(seg.Payload) != "aaaaaaaabbbbbbbbbbb" || seg.Missing != 13 {
		t.Errorf("%v: %q and %d missing", out, seg.Payload, seg.Missing)
	}
}

func TestFragmentsAreBounded(t *testing.T) {
	d := NewDecoder()
	send := func(src byte, id uint16, offset int) {
		frame := with(piece4or6(ipv4(6, nil), 20, make([]byte, 1024), offset, true, uint32(id)), 15, src)
		var seg Segment
		if out := d.Decode(101, frame, len(frame), &seg); out != Fragment {
			t.Fatal(out)
		}
		if fs := &d.fragments; fs.bytes > maxFragmentBytes || len(fs.order) > maxDatagrams || len(fs.open) != len(fs.order) {
			t.Fatalf("%d bytes, %d and %d packets", fs.bytes, len(fs.order), len(fs.open))
		}
	}
	// One source cannot displace others …
	send(200, 1, 0)
	for id := range uint16(1000) {
		send(1, id, 0)
	}
	if n := len(d.fragments.order); n != maxPerSource+1 || d.fragments.order[0].key.src[15] != 200 {
		t.Errorf("%d packets kept", n)
	}
	// … nor can many go beyond what is kept of all.
	for id := range uint16(2000) {
		send(byte(id%199), id, 62<<10)
	}
	s := d.Stats().Fragments
	if s.Evicted == 0 || s.Incomplete != 3001 {
		t.Errorf("%+v", s)
	}
	var sum int
	for _, g := range d.fragments.order {
		sum += cap(g.buf)
	}
	if sum != d.fragments.bytes {
		t.Errorf("%d bytes counted, %d there", d.fragments.bytes, sum)
	}
	// All of it is forgotten in time, whichever way the clock jumps.
	for _, at := range []int64{2 * fragmentTime, -5 * fragmentTime} {
		d.Advance(at)
		send(1, 1, 0)
		if n := len(d.fragments.order); n != 1 {
			t.Errorf("%d packets after the clock went to %d", n, at)
		}
	}
}

func TestFragmentsDoNotAllocate(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	parts := pieces(rng, ipv4(6, segment(strings.Repeat("x", 4000))), 0)
	d := NewDecoder()
	id := uint16(0)
	var seg Segment
	run := func() {
		id++
		d.Advance(int64(id) * int64(fragmentLinger))
		for _, p := range parts {
			p[4], p[5] = byte(id>>8), byte(id)
			d.Decode(101, p, len(p), &seg)
		}
	}
	for range 10 {
		run()
	}
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations a packet of %d fragments", n, len(parts))
	}
}

// model puts packets together in the plainest way, without bounds: the first
// copy of 8 bytes wins.
type model map[uint8]*modelPacket

type modelPacket struct {
	units map[int][]byte
	end   int
	high  int
	done  bool
}

func (m model) add(id uint8, offset int, data []byte, more bool) (whole []byte) {
	p := m[id]
	if p == nil {
		p = &modelPacket{units: map[int][]byte{}, end: -1}
		m[id] = p
	}
	end := offset + len(data)
	if p.done {
		return nil
	}
	if !more && p.end < 0 && end >= p.high {
		p.end = end
	}
	if p.end >= 0 && end > p.end || !more && end != p.end {
		return nil
	}
	p.high = max(p.high, end)
	for at := 0; at < len(data); at += 8 {
		if _, ok := p.units[offset+at]; !ok {
			p.units[offset+at] = slices.Clone(data[at:min(at+8, len(data))])
		}
	}
	if p.end < 0 {
		return nil
	}
	for at := 0; at < p.end; at += 8 {
		u, ok := p.units[at]
		if !ok {
			return nil
		}
		whole = append(whole, u...)
	}
	p.done = true
	return whole
}

// FuzzFragments reads its input as fragments of a few packets, four bytes each,
// and compares what becomes complete with a model.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{0, 0, 3, 'a', 0, 3, 0x82, 'b'})
	f.Add([]byte{1, 2, 1, 'a', 1, 1, 0x81, 'b', 1, 0, 1, 'c', 1, 0, 3, 'd'})
	f.Add([]byte{0, 0, 1, 'a', 1, 0, 1, 'a', 0, 1, 0x93, 'b', 1, 1, 0x81, 'b', 0, 1, 2, 'c'})
	f.Fuzz(func(t *testing.T, in []byte) {
		var fs fragments
		m := model{}
		for ; len(in) >= 4; in = in[4:] {
			// packet, offset, length with the bit for the last one, content
			id, offset, more := in[0]&7, 8*int(in[1]&31), in[2]&0x80 == 0
			n := 8 * int(1+in[2]&15)
			if !more {
				n -= int(in[2] >> 4 & 7)
			}
			data := bytes.Repeat(in[3:4], n)
			fs.release()
			got, cut, _, ok := fs.add(1, &fragment{key: fragmentKey{id: uint32(id)}, offset: offset, data: data, length: n, more: more})
			want := m.add(id, offset, data, more)
			if ok != (want != nil) || !bytes.Equal(got, want) || cut != 0 {
				t.Fatalf("%v, %q, cut %d; want %q", ok, got, cut, want)
			}
		}
		s := fs.count()
		open := int64(0)
		for _, p := range m {
			if !p.done {
				open++
			}
		}
		if s.Incomplete != open || s.Reassembled != int64(len(m))-open {
			t.Fatalf("%+v, %d open of %d", s, open, len(m))
		}
	})
}

func BenchmarkFragments(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, size := range []int{1400, 8000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			packet := ipv4(6, segment(strings.Repeat("x", size)))
			parts := pieces(rng, packet, 0)[:0]
			for at := 20; at < len(packet); at += 1000 {
				end := min(at+1000, len(packet))
				parts = append(parts, piece4or6(packet, 20, packet[at:end], at-20, end < len(packet), 0))
			}
			d := NewDecoder()
			var seg Segment
			var n uint32
			b.ReportAllocs()
			for b.Loop() {
				n++
				d.Advance(int64(n) * 1000)
				for _, p := range parts {
					p[4], p[5] = byte(n>>8), byte(n)
					d.Decode(101, p, len(p), &seg)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(parts)), "ns/fragment")
		})
	}
}
