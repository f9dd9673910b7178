package capture

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"whoasked/parse"
)

// strangers makes datagrams that are no tunnel's: packets of QUIC with long and
// short header, records of DTLS, DNS, and STUN; what is sealed or chosen at random
// in them comes from rng.
func strangers(rng *rand.Rand) [][]byte {
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	sealed := random(30 + rng.IntN(1200))
	long := cat([]byte{0xc0 | byte(rng.IntN(64))}, u32(1), []byte{8}, random(8), []byte{8}, random(8), []byte{0}, u16(0x4000|uint16(len(sealed))), sealed)
	short := cat([]byte{0x40 | byte(rng.IntN(64))}, random(8), sealed)
	record := func(typ byte, epoch uint16, body []byte) []byte {
		return cat([]byte{typ, 0xfe, 0xfd}, u16(epoch, 0, 0, uint16(rng.IntN(9)), uint16(len(body))), body)
	}
	hello := record(22, 0, cat([]byte{1, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 100, 0xfe, 0xfd}, random(98)))
	return [][]byte{
		long, short, hello, record(20, 0, []byte{1}), record(22, 1, sealed), record(23, 1, sealed), record(21, 1, sealed),
		cat(random(2), u16(0x0100, 1, 0, 0, 0), []byte("\x03www\x07contoso\x04test\x00"), u16(1, 1)),
		cat(u16(1, 0), u32(0x2112a442), random(12)),
	}
}

// TestPortsByChance: what comes from or goes to a tunnel's port and has not its
// form is a datagram like any other, leaves no name of a layer behind, and is no
// note about a tunnel. No beginning of QUIC or DTLS is lost, and next to none of
// what is sealed.
func TestPortsByChance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, port := range slices.Sorted(maps.Keys(udpTunnels)) {
		d := NewDecoder()
		tried, lost := 0, 0
		for range 300 {
			for _, data := range strangers(rng) {
				for _, packet := range [][]byte{ipv4(17, datagram(443, port, data)), ipv6(17, datagram(port, 443, data))} {
					var seg Segment
					tried++
					switch out := d.Decode(101, packet, len(packet), &seg); {
					case out != UDP && parse.OpeningOf(data) == parse.NoOpening:
						lost++
					case out != UDP:
						t.Fatalf("port %d: %x is %v", port, data, out)
					case !bytes.Equal(seg.Payload, data) || seg.Via != 0:
						t.Fatalf("port %d: %x became %x, via %q", port, data, seg.Payload, d.ViaName(seg.Via))
					}
				}
			}
		}
		if lost > tried/1000 || len(d.vias.names) > 2+lost {
			t.Errorf("port %d: %d of %d datagrams lost, %d names", port, lost, tried, len(d.vias.names)-2)
		}
		// Of sealed bytes some look like ESP, or like data of OpenVPN.
		if s := d.Stats(); port != 4500 && port != 1194 && s.Opaque != (DecodeStats{}).Opaque {
			t.Errorf("port %d: %v", port, s.Opaque)
		}
	}
}

// TestTunnelBySourcePort: what the end that has the tunnel's port sends is opened
// as what is sent to it.
func TestTunnelBySourcePort(t *testing.T) {
	tcp4 := summed(ipv4(6, segment("hello")))
	for via, packet := range map[string][]byte{
		"l2tp":   datagram(1701, 50001, cat(u16(0x0002, 1, 2, 0xff03, 0x0021), tcp4)),
		"teredo": datagram(3544, 50001, ipv6(6, segment("hello"))),
		"capwap": datagram(5247, 50001, cat([]byte{0, 2 << 3, 0x43, 0, 0, 0, 0, 0}, dataFrame(8, 2, tcp4))),
		"gtp":    datagram(2152, 51820, cat([]byte{0x30, 255}, u16(uint16(len(tcp4))), u32(99), tcp4)),
	} {
		d := NewDecoder()
		var seg Segment
		packet = ipv4(17, packet)
		if out := d.Decode(101, packet, len(packet), &seg); out != TCP || d.ViaName(seg.Via) != via || string(seg.Payload) != "hello" {
			t.Errorf("%s: %v, %q", via, out, d.ViaName(seg.Via))
		}
	}
}

// TestTunnelHoldsIP: lengths and checksums as real tunnels have them.
func TestTunnelHoldsIP(t *testing.T) {
	whole := summed(ipv4(6, segment("hello")))
	set := func(b []byte, at int, v uint16) []byte {
		b = bytes.Clone(b)
		binary.BigEndian.PutUint16(b[at:], v)
		return b
	}
	six := ipv6(6, segment("hello"))
	for _, c := range []struct {
		name string
		data []byte
		cut  int
		want bool
	}{
		{"whole", whole, 0, true},
		{"padded", cat(whole, make([]byte, 6)), 0, true},
		{"checksum left to the card", set(whole, 10, 0), 0, true},
		{"checksum wrong, length right", set(whole, 10, 7), 0, true},
		{"checksum wrong, padded", cat(set(whole, 10, 7), make([]byte, 6)), 0, false},
		{"not yet segmented", set(set(whole, 2, 0), 10, 7), 0, true},
		{"cut in the payload", whole[:42], len(whole) - 42, true},
		{"cut in the header", whole[:12], len(whole) - 12, true},
		{"ends in the header", whole[:12], 0, false},
		{"header too short", set(whole, 0, 0x4400), 0, false},
		{"IPv6", six, 0, true},
		{"IPv6, padded", cat(six, make([]byte, 6)), 0, true},
		{"IPv6, not yet segmented", set(six, 4, 0), 0, true},
		{"IPv6, longer than it is", set(six, 4, 500), 0, false},
		{"IPv6, cut", six[:50], len(six) - 50, true},
	} {
		etherType := ipEtherType(c.data)
		if got := holds(etherType, c.data, c.cut); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		frame := ether(0x8100, vlan(4, etherType, c.data))
		if got := holds(etherBridged, frame, c.cut); got != c.want {
			t.Errorf("%s, in a frame: %v", c.name, got)
		}
	}
	for name, frame := range map[string][]byte{"ARP": ether(0x0806, make([]byte, 28)), "spanning tree": ether(38, make([]byte, 38)), "tags without end": bytes.Repeat([]byte{0x81, 0}, 40)} {
		if holds(etherBridged, frame, 0) {
			t.Errorf("%s: taken", name)
		}
	}
}
