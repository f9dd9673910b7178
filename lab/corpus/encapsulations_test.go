package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"whoasked/attribute"
	"whoasked/capture"
)

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func u16(v ...uint16) (b []byte) {
	for _, v := range v {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// outer4 and outer6 are the packets of a tunnel between two routers.
func outer4(proto byte, payload []byte) []byte {
	head := cat([]byte{0x45, 0}, u16(uint16(20+len(payload)), 1, 0), []byte{64, proto, 0, 0, 198, 18, 200, 1, 198, 18, 200, 2})
	sumHeader(head)
	return cat(head, payload)
}

// sumHeader fills in the checksum of an IPv4 header, which is 0 so far.
func sumHeader(head []byte) {
	sum := uint32(0)
	for i := 0; i < len(head); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(head[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(head[10:], ^uint16(sum>>16+sum))
}

func outer6(next byte, payload []byte) []byte {
	addr := func(last byte) []byte { return cat([]byte{0x20, 1, 0xd, 0xb8}, make([]byte, 11), []byte{last}) }
	return cat([]byte{0x60, 0, 0, 0}, u16(uint16(len(payload))), []byte{next, 64}, addr(1), addr(2), payload)
}

func datagram(port uint16, payload []byte) []byte {
	return cat(u16(40000, port, uint16(8+len(payload)), 0), payload)
}

func ether(etherType uint16, payload []byte) []byte {
	return cat([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, u16(etherType), payload)
}

func vxlanOf(frame []byte) []byte { return cat(u32(0x08000000), u32(800<<8), frame) }

// encapsulations is how each encapsulation wraps an Ethernet frame of IP, and what it
// is called. Whatever is added to the decoder joins here.
var encapsulations = []struct {
	name string
	via  string
	wrap func(frame []byte) []byte // to another Ethernet frame
}{
	{"plain", "", func(f []byte) []byte { return f }},
	{"VLAN", "vlan 12", func(f []byte) []byte { return cat(f[:12], u16(0x8100, 12), f[12:]) }},
	{"QinQ", "vlan 12/vlan 13", func(f []byte) []byte { return cat(f[:12], u16(0x88a8, 12, 0x8100, 13), f[12:]) }},
	{"MPLS", "mpls", func(f []byte) []byte { return ether(0x8847, cat(u32(16<<12|0x40), u32(17<<12|0x140), f[14:])) }},
	{"MPLS pseudowire", "mpls", func(f []byte) []byte { return ether(0x8847, cat(u32(17<<12|0x140), u32(0), f)) }},
	{"PPPoE", "pppoe 5", func(f []byte) []byte {
		return ether(0x8864, cat([]byte{0x11, 0}, u16(5, uint16(len(f)-12), 0x0021), f[14:]))
	}},
	{"GRE with key and sequence", "gre", func(f []byte) []byte {
		return ether(0x0800, outer4(47, cat(u16(0x3000, 0x0800), u32(7), u32(1), f[14:])))
	}},
	{"GRE, bridged", "gre", func(f []byte) []byte { return ether(0x86dd, outer6(47, cat(u16(0, 0x6558), f))) }},
	{"ERSPAN I", "gre/erspan", func(f []byte) []byte { return ether(0x0800, outer4(47, cat(u16(0, 0x88be), f))) }},
	{"ERSPAN II", "gre/erspan 20", func(f []byte) []byte {
		return ether(0x0800, outer4(47, cat(u16(0x1000, 0x88be), u32(1), u16(0x1000, 20), u32(0), f)))
	}},
	{"ERSPAN III", "gre/erspan 20", func(f []byte) []byte {
		return ether(0x0800, outer4(47, cat(u16(0x1000, 0x22eb), u32(1), u16(0x2000, 20), make([]byte, 8), f)))
	}},
	{"VXLAN", "vxlan 800", func(f []byte) []byte { return ether(0x0800, outer4(17, datagram(4789, vxlanOf(f)))) }},
	{"VXLAN of Azure", "vxlan 800", func(f []byte) []byte { return ether(0x0800, outer4(17, datagram(10801, vxlanOf(f)))) }},
	{"VXLAN by shape", "vxlan 800", func(f []byte) []byte { return ether(0x0800, outer4(17, datagram(7777, vxlanOf(f)))) }},
	{"Geneve with options", "geneve 11", func(f []byte) []byte {
		return ether(0x0800, outer4(17, datagram(6081, cat(u16(0x0200, 0x6558), u32(11<<8), u16(1, 1), u32(0), f))))
	}},
	{"IP in IP", "ipip", func(f []byte) []byte { return ether(0x0800, outer4(4, f[14:])) }},
	{"4in6", "ipip", func(f []byte) []byte { return ether(0x86dd, outer6(4, f[14:])) }},
	{"GTP-U", "gtp", func(f []byte) []byte {
		return ether(0x0800, outer4(17, datagram(2152, cat([]byte{0x30, 255}, u16(uint16(len(f)-14)), u32(99), f[14:]))))
	}},
	{"L2TP", "l2tp", func(f []byte) []byte {
		return ether(0x0800, outer4(17, datagram(1701, cat(u16(0x0002, 1, 2, 0xff03, 0x0021), f[14:]))))
	}},
	{"L2TPv3", "l2tpv3", func(f []byte) []byte { return ether(0x0800, outer4(115, cat(u32(77), f))) }},
	{"VXLAN in VLAN in GRE", "gre/vlan 3/vxlan 800", func(f []byte) []byte {
		inside := ether(0x0800, outer4(17, datagram(4789, vxlanOf(f))))
		return ether(0x0800, outer4(47, cat(u16(0, 0x6558), inside[:12], u16(0x8100, 3), inside[12:])))
	}},
}

// wrapped puts a capture of Ethernet frames into a tunnel.
func wrapped(pkts []packet, wrap func([]byte) []byte) []packet {
	out := slices.Clone(pkts)
	for i := range out {
		out[i].data = wrap(pkts[i].data)
		out[i].wire = len(out[i].data)
	}
	return out
}

// sources are the captures that tunnels are tried on: generated, and eight
// recorded connections where they are there.
func sources(t *testing.T, run func(t *testing.T, pkts []packet, whole map[pair][]attribute.Verdict)) {
	t.Run("generated", func(t *testing.T) {
		pkts, _ := generated(t, 40)
		run(t, pkts, answers(judge(pkts)))
	})
	t.Run("one", func(t *testing.T) {
		pkts := load(t, filepath.Join(shared(t), "matrix", "one.pcap"))
		run(t, pkts, answers(judge(pkts)))
	})
}

// TestEncapsulations: in whatever a capture is wrapped, the answers are the same, and
// via names every layer.
func TestEncapsulations(t *testing.T) {
	sources(t, func(t *testing.T, pkts []packet, whole map[pair][]attribute.Verdict) {
		for _, tt := range encapsulations {
			got := judge(wrapped(pkts, tt.wrap))
			same(t, tt.name, got, whole)
			for i := range got {
				if via := got[i].Flow.Via; via != tt.via {
					t.Fatalf("%s: via %q, want %q", tt.name, via, tt.via)
				}
			}
		}
	})
}

// TestSplit: where the two directions of a connection come by different tunnels,
// the answers are the same, and via names both.
func TestSplit(t *testing.T) {
	sources(t, func(t *testing.T, pkts []packet, whole map[pair][]attribute.Verdict) {
		for i, a := range encapsulations {
			b := encapsulations[(i+7)%len(encapsulations)]
			split := slices.Clone(pkts)
			for i := range split {
				var seg segment
				if !seg.decode(pkts[i]) {
					t.Fatalf("packet %d is none of TCP", i)
				}
				wrap := a.wrap
				if bytes.Compare(seg.Src[:], seg.Dst[:]) > 0 || seg.Src == seg.Dst && seg.SrcPort > seg.DstPort {
					wrap = b.wrap
				}
				split[i].data = wrap(pkts[i].data)
				split[i].wire = len(split[i].data)
			}
			name := a.name + " and " + b.name
			got := judge(split)
			same(t, name, got, whole)
			for i := range got {
				there, back := capture.CutVias(got[i].Flow.Via)
				if !(there == a.via && back == b.via || there == b.via && back == a.via) {
					t.Fatalf("%s: via %q", name, got[i].Flow.Via)
				}
			}
		}
	})
}

// fragmented cuts the IP packet in an Ethernet frame at places drawn from rng.
func fragmented(rng *rand.Rand, p packet, id uint16) []packet {
	const link, head = 14, 20
	if binary.BigEndian.Uint16(p.data[12:]) != 0x0800 || p.data[link] != 0x45 {
		return []packet{p}
	}
	ip := p.data[link:][:binary.BigEndian.Uint16(p.data[link+2:])]
	payload := ip[head:]
	var out []packet
	for at := 0; at < len(payload); {
		n := min(8*(1+rng.IntN(80)), len(payload)-at)
		field := uint16(at / 8)
		if at+n < len(payload) {
			field |= 0x2000
		}
		part := cat(p.data[:link], ip[:2], u16(uint16(head+n), id, field), ip[8:head], payload[at:at+n])
		out = append(out, packet{at: p.at, link: p.link, wire: len(part), data: part})
		at += n
	}
	return out
}

// TestFragmented: cutting every packet in any way, the pieces coming in any
// order, inside and outside of a tunnel, changes no answer.
func TestFragmented(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	vxlan := func(f []byte) []byte { return ether(0x0800, outer4(17, datagram(4789, vxlanOf(f)))) }
	sources(t, func(t *testing.T, pkts []packet, whole map[pair][]attribute.Verdict) {
		for _, where := range []string{"plain", "inside VXLAN", "around VXLAN", "both"} {
			for round := range 4 {
				var cut []packet
				for i, p := range pkts {
					parts := []packet{p}
					if where != "around VXLAN" {
						parts = fragmented(rng, p, uint16(i))
					}
					if where != "plain" {
						parts = wrapped(parts, vxlan)
					}
					if where == "around VXLAN" || where == "both" {
						var again []packet
						for k, p := range parts {
							again = append(again, fragmented(rng, p, uint16(131*i+k))...)
						}
						parts = again
					}
					rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
					cut = append(cut, parts...)
				}
				same(t, fmt.Sprintf("%s, round %d", where, round), judge(cut), whole)
			}
		}
	})
}

// TestSeenInsideAndOutside: a capture that shows everything plain and in two
// tunnels has three sightings of each connection, which count once.
func TestSeenInsideAndOutside(t *testing.T) {
	sources(t, func(t *testing.T, pkts []packet, whole map[pair][]attribute.Verdict) {
		var thrice []packet
		for _, p := range pkts {
			thrice = append(thrice, p)
			for _, port := range []uint16{10800, 10801} { // both legs of a Gateway Load Balancer
				vni := uint32(port - 10000)
				frame := ether(0x0800, outer4(17, datagram(port, cat(u32(0x08000000), u32(vni<<8), p.data))))
				thrice = append(thrice, packet{at: p.at, link: p.link, wire: len(frame), data: frame})
			}
		}
		count := func(pkts []packet) (sum attribute.Asker, again int) {
			book := attribute.NewBook()
			for i, c := range judge(pkts) {
				client, server := c.Ends()
				n := book.Add(&attribute.Connection{ID: uint64(i + 1), Client: client, Server: server, Handshake: c.Handshake, Verdict: c.verdict})
				if n.Again {
					again++
				}
			}
			_, askers := book.Finish()
			for _, a := range askers {
				sum.Full += a.Full
				sum.Asked += a.Asked
				sum.NotAsked += a.NotAsked
				sum.Resumed += a.Resumed
				sum.Unknown += a.Unknown
			}
			return sum, again
		}
		once, none := count(pkts)
		three, again := count(thrice)
		connections := len(judge(pkts))
		if fmt.Sprint(once) != fmt.Sprint(three) || none != 0 || again != 2*connections {
			t.Errorf("once %+v, three times %+v; %d connections, %d again", once, three, connections, again)
		}
	})
}
