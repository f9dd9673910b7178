package capture

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// checksummed fills in the checksum of an IP packet with a TCP segment.
func checksummed(packet []byte) []byte {
	head := 20
	var seg Segment
	if packet[0]>>4 == 6 {
		head = 40
		seg.Src, seg.Dst = [16]byte(packet[8:24]), [16]byte(packet[24:40])
	} else {
		mapIPv4(&seg.Src, packet[12:16])
		mapIPv4(&seg.Dst, packet[16:20])
	}
	tcp := with(packet[head:], 16, 0, 0)
	sum := sumPseudo(&seg, len(tcp))
	for i := 0; i < len(tcp); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(append(slices.Clone(tcp), 0)[i:]))
	}
	return cat(packet[:head], with(tcp, 16, u16(^fold32(sum))...))
}

func note(d *Decoder, kind string) Note {
	for _, n := range d.Notes() {
		if n.Kind == kind {
			return n
		}
	}
	return Note{}
}

func decodeAll(d *Decoder, packets ...[]byte) {
	for _, p := range packets {
		var seg Segment
		d.Decode(101, p, len(p), &seg)
	}
}

func TestChecksums(t *testing.T) {
	good := checksummed(ipv4(6, segment("hello")))
	if good[36] == 0 && good[37] == 0 {
		t.Fatal("no checksum")
	}
	odd, even, six := good, checksummed(ipv4(6, segment("hell"))), checksummed(ipv6(6, segment("hello")))
	d := NewDecoder()
	decodeAll(d, odd, even, six, ipv4(6, segment("none at all")))
	if s := d.Stats(); s.Summed != 2 || s.Unsummed != 0 || s.WrongSums != 0 || len(d.Notes()) != 0 {
		t.Errorf("right ones: %+v, %v", s, d.Notes()) // ::1 does not count
	}
	// Linux' partial checksum: the sum of the pseudo header, not inverted.
	var seg Segment
	mapIPv4(&seg.Src, good[12:16])
	mapIPv4(&seg.Dst, good[16:20])
	partial := with(good, 36, u16(fold32(sumPseudo(&seg, len(good)-20)))...)
	decodeAll(d, partial, with(good, 36, 1, 2))
	if s := d.Stats(); s.Summed != 4 || s.Unsummed != 1 || s.WrongSums != 1 {
		t.Errorf("%+v", s)
	}
	if n := note(d, "checksum-offload"); n.Count != 1 || !strings.HasPrefix(n.Text, "1 of 4") {
		t.Errorf("%+v", n)
	}
	// A single wrong one among many is no note.
	for range 30 * sampleEvery {
		decodeAll(d, good)
	}
	if n := note(d, "wrong-checksums"); n.Count != 0 {
		t.Errorf("%+v", n)
	}
	if s := d.Stats(); s.Summed > 3*sampleAll {
		t.Errorf("%d checksums looked at", s.Summed)
	}
}

// The checksum of a SYN from 198.18.0.1:50000 to 198.18.0.2:8443, by hand.
func TestSumByHand(t *testing.T) {
	tcp := cat(u16(50000, 8443), u32(7), u32(9), []byte{5 << 4, FlagSYN}, u16(1024, 0, 0))
	// c612+0001+c612+0002 (addresses) + 0006 + 0014 (protocol, length)
	// + c350+20fb + 0000+0007 + 0000+0009 + 5002 + 0400 = 2c49e → c4a0, inverted 3b5f
	packet := ipv4(6, with(tcp, 16, 0x3b, 0x5f))
	d := NewDecoder()
	decodeAll(d, packet)
	if s := d.Stats(); s.Summed != 1 || s.WrongSums != 0 {
		t.Errorf("%+v", s)
	}
}

func TestSegmentationOffload(t *testing.T) {
	d := NewDecoder()
	big := ipv4(6, segment(strings.Repeat("x", 20_000)))
	loopback := with(big, 12, 127, 0, 0, 1, 127, 0, 0, 1)
	jumbo := ipv4(6, segment(strings.Repeat("x", 8900)))
	decodeAll(d, big, loopback, jumbo)
	if n := note(d, "segmentation-offload"); n.Count != 1 || !strings.Contains(n.Text, "20052 bytes") {
		t.Errorf("%+v", n)
	}
}

func TestTunnelsThatCannotBeOpened(t *testing.T) {
	d := NewDecoder()
	body := make([]byte, 64)
	pppSealed := cat(u16(0x00fd), body)
	decodeAll(d,
		ipv4(50, body), ipv4(17, datagram(4500, 1, cat(u32(7), body))),
		ipv4(17, datagram(4500, 4500, cat(u32(0), body))), ipv4(17, datagram(4500, 4500, []byte{0xff})),
		ipv4(17, datagram(1, 51820, cat([]byte{1, 0, 0, 0}, body))), ipv4(17, datagram(1, 51820, body)),
		ipv4(17, datagram(1194, 1, cat([]byte{9 << 3}, body))), ipv4(17, datagram(1, 5247, cat([]byte{1, 0, 0, 0, 23}, body))),
		ipv4(47, cat(u16(0, 0x880b), pppSealed)))
	packet := ether(0x88e5, body)
	var seg Segment
	d.Decode(1, packet, len(packet), &seg)
	frame := dataFrame(8, 0x41, body)
	d.Decode(105, frame, len(frame), &seg)
	want := [numOpaques]int64{opaqueESP: 2, opaqueWireGuard: 1, opaqueOpenVPN: 1, opaqueCAPWAP: 1, opaqueMACsec: 1, opaquePPP: 1, opaqueWiFi: 1}
	if s := d.Stats(); s.Opaque != want {
		t.Errorf("%v, want %v", s.Opaque, want)
	}
	n := 0
	for _, note := range d.Notes() {
		if note.Kind == "opaque-tunnel" {
			n++
		}
	}
	if kinds := len(want) - 1; n != kinds {
		t.Errorf("%d notes for %d kinds of tunnel", n, kinds)
	}
}

func TestUnknownTunnels(t *testing.T) {
	d := NewDecoder()
	inside := summed(ipv4(6, segment(strings.Repeat("x", 100))))
	wrapped := ipv4(17, datagram(1, 7777, cat(make([]byte, 12), inside)))
	v6 := ipv4(17, datagram(1, 7778, cat(make([]byte, 4), ipv6(6, segment(strings.Repeat("x", 100))))))
	broken := ipv4(17, datagram(1, 7779, cat(make([]byte, 12), with(inside, 10, 1, 2))))
	for range 10 {
		decodeAll(d, wrapped, v6, broken, ipv4(17, datagram(1, 7780, make([]byte, 300))))
	}
	var texts []string
	for _, n := range d.Notes() {
		if n.Kind == "unknown-tunnel" {
			texts = append(texts, n.Text)
		}
	}
	if len(texts) != 2 || !strings.Contains(texts[0], "port 7777, 10 hold an IP packet 12 bytes in") ||
		!strings.Contains(texts[1], "port 7778, 10 hold an IP packet 4 bytes in") {
		t.Errorf("%q", texts)
	}
	for port := range uint16(1000) {
		decodeAll(d, with(wrapped, 22, u16(10_000+port)...))
	}
	if len(d.suspects) > maxSuspects {
		t.Errorf("%d ports kept", len(d.suspects))
	}
}

func TestVXLANPorts(t *testing.T) {
	d := NewDecoder()
	d.VXLANPorts([]uint16{9999})
	packet := ipv4(17, datagram(1, 9999, vxlanFrame(8, ether(0x0800, ipv4(6, segment("hello")))))) // no checksum: no shape
	var seg Segment
	if out := d.Decode(101, packet, len(packet), &seg); out != TCP || d.ViaName(seg.Via) != "vxlan 8" {
		t.Errorf("%v via %q", out, d.ViaName(seg.Via))
	}
	if out := NewDecoder().Decode(101, packet, len(packet), &seg); out == TCP {
		t.Error("found without the setting")
	}
}
