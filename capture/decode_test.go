package capture

import (
	"testing"
)

func TestDecode(t *testing.T) {
	tcp4 := ipv4(6, segment("hello"))
	tcp6 := ipv6(6, segment("hello"))
	ext := func(next byte, length int) []byte {
		return cat([]byte{next, byte(length/8 - 1)}, make([]byte, length-2))
	}
	pppIPv4 := cat(u16(0x0021), tcp4)

	for _, c := range []struct {
		name   string
		link   LinkType
		packet []byte
		via    string
		v6     bool
	}{
		{"Ethernet", 1, ether(0x0800, tcp4), "", false},
		{"Ethernet with padding", 1, cat(ether(0x0800, tcp4), make([]byte, 9)), "", false},
		{"IPv6 with padding", 1, cat(ether(0x86dd, tcp6), make([]byte, 9)), "", true},
		{"VLAN", 1, ether(0x8100, vlan(12, 0x0800, tcp4)), "vlan 12", false},
		{"priority tag", 1, ether(0x8100, vlan(0, 0x0800, tcp4)), "", false},
		{"QinQ", 1, ether(0x88a8, vlan(12, 0x8100, vlan(13, 0x86dd, tcp6))), "vlan 12/vlan 13", true},
		{"old QinQ", 1, ether(0x9100, vlan(1, 0x9100, vlan(2, 0x8100, vlan(3, 0x0800, tcp4)))), "vlan 1/vlan 2/vlan 3", false},
		{"SNAP", 1, ether(64, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, tcp4)), "", false},
		{"raw 12", 12, tcp4, "", false},
		{"raw 14", 14, tcp6, "", true},
		{"raw 101", 101, tcp4, "", false},
		{"raw 228", 228, tcp4, "", false},
		{"raw 229", 229, tcp6, "", true},
		{"NULL, little-endian", 0, cat([]byte{2, 0, 0, 0}, tcp4), "", false},
		{"NULL, big-endian", 0, cat([]byte{0, 0, 0, 2}, tcp4), "", false},
		{"NULL, Darwin", 0, cat([]byte{30, 0, 0, 0}, tcp6), "", true},
		{"LOOP, OpenBSD", 108, cat([]byte{0, 0, 0, 24}, tcp6), "", true},
		{"SLL", 113, cat(make([]byte, 14), u16(0x0800), tcp4), "", false},
		{"SLL with VLAN", 113, cat(make([]byte, 14), u16(0x8100), vlan(12, 0x0800, tcp4)), "vlan 12", false},
		{"SLL2", 276, cat(u16(0x86dd), make([]byte, 18), tcp6), "", true},
		{"Cisco HDLC", 104, cat(u16(0x0f00, 0x0800), tcp4), "", false},
		{"Cisco HDLC as PPP", 50, cat(u16(0x0f00, 0x0800), tcp4), "", false},
		{"PPP", 9, cat(u16(0xff03), pppIPv4), "", false},
		{"NFLOG", 239, cat([]byte{2, 0, 0, 0}, []byte{5, 0, 10, 0, 'x', 0, 0, 0},
			[]byte{byte(4 + len(tcp4)), 0, 9, 0}, tcp4), "", false},
		{"802.11", 105, cat([]byte{8, 0}, make([]byte, 22), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, tcp4), "", false},
		{"radiotap", 127, cat([]byte{0, 0, 8, 0, 0, 0, 0, 0}, []byte{8, 0}, make([]byte, 22),
			[]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, tcp4), "", false},
		{"IPv4 options", 101, cat([]byte{0x46, 0}, u16(uint16(len(tcp4)+4)), tcp4[4:20], []byte{1, 1, 1, 0}, tcp4[20:]), "", false},
		{"IPv4 before segmentation by the card", 101, with(tcp4, 2, 0, 0), "", false},
		{"IPv6 before segmentation by the card", 101, with(tcp6, 4, 0, 0), "", true},
		{"IPv4 with AH", 101, ipv4(51, cat([]byte{6, 4}, make([]byte, 22), segment("hello"))), "", false},
		{"IPv6 extension headers", 101, ipv6(0, cat(ext(43, 8), ext(60, 24), ext(44, 16),
			[]byte{51, 0, 0, 0, 0, 0, 0, 0}, []byte{60, 4}, make([]byte, 22), ext(6, 8), segment("hello"))), "", true},
		{"IP in IP", 101, ipv4(4, tcp4), "ipip", false},
		{"6in4", 101, ipv4(41, tcp6), "6in4", true},
		{"4in6", 101, ipv6(4, tcp4), "ipip", false},
		{"GRE", 101, ipv4(47, cat(u16(0, 0x0800), tcp4)), "gre", false},
		{"GRE with key and sequence", 101, ipv4(47, cat(u16(0x3000, 0x0800), make([]byte, 8), tcp4)), "gre", false},
		{"GRE, bridged", 101, ipv4(47, cat(u16(0, 0x6558), ether(0x8100, vlan(4, 0x0800, tcp4)))), "gre/vlan 4", false},
		{"GRE, PPP", 101, ipv4(47, cat(u16(0, 0x880b), pppIPv4)), "gre", false},
		{"ERSPAN II", 101, ipv4(47, cat(u16(0x1000, 0x88be), u32(1), u16(0x1000, 20), u32(0), ether(0x0800, tcp4))), "gre/erspan 20", false},
		{"EtherIP", 101, ipv4(97, cat(u16(0x3000), ether(0x0800, tcp4))), "etherip", false},
		{"MPLS", 1, ether(0x8847, cat(u32(16<<12|0x140), tcp4)), "mpls", false},
		{"MPLS, two labels", 1, ether(0x8848, cat(u32(16<<12|0x40), u32(17<<12|0x140), tcp6)), "mpls", true},
		{"MPLS pseudowire", 1, ether(0x8847, cat(u32(16<<12|0x140), u32(0), ether(0x0800, tcp4))), "mpls", false},
		{"MPLS in IP", 101, ipv4(137, cat(u32(16<<12|0x140), tcp4)), "mpls", false},
		{"PPPoE", 1, ether(0x8864, cat([]byte{0x11, 0}, u16(757, uint16(len(pppIPv4))), pppIPv4)), "pppoe 757", false},
		{"VXLAN", 101, ipv4(17, datagram(1, 4789, vxlanFrame(800, ether(0x0800, tcp4)))), "vxlan 800", false},
		{"VXLAN of Azure, internal", 101, ipv4(17, datagram(1, 10800, vxlanFrame(800, ether(0x0800, tcp4)))), "vxlan 800", false},
		{"VXLAN of Azure, external", 101, ipv4(17, datagram(1, 10801, vxlanFrame(801, ether(0x0800, tcp4)))), "vxlan 801", false},
		{"VXLAN in VLAN over IPv6", 1, ether(0x8100, vlan(5, 0x86dd, ipv6(17, datagram(1, 4789, vxlanFrame(7, ether(0x8100, vlan(6, 0x86dd, tcp6))))))),
			"vlan 5/vxlan 7/vlan 6", true},
		{"Geneve with options", 101, ipv4(17, datagram(1, 6081, cat(u16(0x0200, 0x6558), u32(11<<8), u16(1, 1), u32(0), ether(0x0800, tcp4)))), "geneve 11", false},
		{"Geneve with IP", 101, ipv4(17, datagram(1, 6081, cat(u16(0, 0x0800), u32(0), tcp4))), "geneve 0", false},
		{"GTP-U", 101, ipv4(17, datagram(1, 2152, cat([]byte{0x30, 255}, u16(uint16(len(tcp4))), u32(99), tcp4))), "gtp", false},
		{"GTP-U with extension", 101, ipv4(17, datagram(1, 2152, cat([]byte{0x34, 255}, u16(uint16(len(tcp6)+8)), u32(99),
			[]byte{0, 0, 0, 0x85}, []byte{1, 0, 1, 0}, tcp6))), "gtp", true},
		{"ERSPAN I", 101, ipv4(47, cat(u16(0, 0x88be), ether(0x0800, tcp4))), "gre/erspan", false},
		{"ERSPAN III", 101, ipv4(47, cat(u16(0x1000, 0x22eb), u32(1), u16(0x2000, 20), make([]byte, 8), ether(0x0800, tcp4))), "gre/erspan 20", false},
		{"ERSPAN III with platform header", 101, ipv4(47, cat(u16(0x1000, 0x22eb), u32(1), u16(0x2000, 20), make([]byte, 7), []byte{1}, make([]byte, 8), ether(0x0800, tcp4))), "gre/erspan 20", false},
		{"ERSPAN III of IP", 101, ipv4(47, cat(u16(0x1000, 0x22eb), u32(1), u16(0x2000, 20), make([]byte, 6), []byte{2 << 2, 0}, tcp4)), "gre/erspan 20", false},
		{"GRE with checksum and routing", 101, ipv4(47, cat(u16(0xc000, 0x0800), u32(0), u16(0x0800), []byte{0, 4}, u32(9), u32(0), tcp4)), "gre", false},
		{"PPTP", 101, ipv4(47, cat(u16(0x3081, 0x880b), u16(0, 7), u32(1), u32(2), pppIPv4)), "gre", false},
		{"WCCP", 101, ipv4(47, cat(u16(0, 0x883e), u32(0x80000001), tcp4)), "gre/wccp", false},
		{"WCCP 1", 101, ipv4(47, cat(u16(0, 0x883e), tcp4)), "gre/wccp", false},
		{"Aruba", 101, ipv4(47, cat(u16(0, 0x8200), dataFrame(8, 0, tcp4))), "gre", false},
		{"VXLAN at a port of its own, by shape", 101, ipv4(17, datagram(1, 9999, vxlanFrame(8, ether(0x0800, summed(tcp4))))), "vxlan 8", false},
		{"the same with a tag and IPv6", 101, ipv6(17, datagram(1, 9999, vxlanFrame(8, ether(0x8100, vlan(3, 0x86dd, tcp6))))), "vxlan 8/vlan 3", true},
		{"VXLAN-GPE", 101, ipv4(17, datagram(1, 4790, cat([]byte{0x0c, 0, 0, 1}, u32(7<<8), tcp4))), "vxlan 7", false},
		{"VXLAN-GPE with NSH", 101, ipv4(17, datagram(1, 4790, cat([]byte{0x0c, 0, 0, 4}, u32(7<<8), []byte{0, 6, 1, 3}, make([]byte, 20), ether(0x0800, tcp4)))), "vxlan 7/nsh", false},
		{"NSH", 1, ether(0x894f, cat([]byte{0, 2, 2, 1}, u32(0), tcp4)), "nsh", false},
		{"provider backbone", 1, ether(0x88e7, cat(u32(0x01000005), ether(0x0800, tcp4))), "pbb 5", false},
		{"L2TP", 101, ipv4(17, datagram(1701, 1701, cat(u16(0x0002, 1, 2), pppIPv4))), "l2tp", false},
		{"L2TP with everything", 101, ipv4(17, datagram(1701, 1701, cat(u16(0x4a02, 99, 1, 2, 3, 4, 2, 0), u16(0xff03), pppIPv4))), "l2tp", false},
		{"L2TPv3 over IP", 101, ipv4(115, cat(u32(77), ether(0x0800, summed(tcp4)))), "l2tpv3", false},
		{"L2TPv3 over UDP with cookie and sublayer", 101, ipv4(17, datagram(1701, 1701, cat(u16(3, 0), u32(77), make([]byte, 12), ether(0x0800, summed(tcp4))))), "l2tpv3", false},
		{"Teredo", 101, ipv4(17, datagram(3544, 3544, cat([]byte{0, 1, 0, 0}, make([]byte, 9), u16(0), make([]byte, 6), tcp6))), "teredo", true},
		{"LISP", 101, ipv4(17, datagram(4341, 4341, cat(make([]byte, 8), tcp4))), "lisp", false},
		{"CAPWAP", 101, ipv4(17, datagram(5247, 5247, cat([]byte{0, 2 << 3, 0x43, 0, 0, 0, 0, 0}, dataFrame(8, 0, tcp4)))), "capwap", false},
		{"CAPWAP of Cisco", 101, ipv4(17, datagram(5247, 5247, cat([]byte{0, 4 << 3, 3, 0x20, 0, 0, 0, 0}, make([]byte, 8),
			with(dataFrame(8, 1, tcp4), 0, 1, 8)))), "capwap", false},
		{"TZSP", 101, ipv4(17, datagram(37008, 37008, cat([]byte{1, 0, 0, 1}, []byte{0, 10, 1, 9, 1}, ether(0x0800, tcp4)))), "tzsp", false},
		{"PPP in HDLC, protocol in one byte", 9, cat(u16(0xff03), []byte{0x21}, tcp4), "", false},
		{"PPP with direction", 204, cat([]byte{1}, pppIPv4), "", false},
		{"PPPoE as a link", 51, cat([]byte{0x11, 0}, u16(757, uint16(len(pppIPv4))), pppIPv4), "pppoe 757", false},
		{"MPLS as a link", 219, cat(u32(16<<12|0x140), tcp4), "mpls", false},
		{"frame relay", 107, cat(u16(0x1841), []byte{3, 0xcc}, tcp4), "", false},
		{"frame relay, SNAP", 107, cat(u16(0x1841), []byte{3, 0, 0x80, 0, 0, 0}, u16(0x86dd), tcp6), "", true},
		{"frame relay of Cisco", 107, cat(u16(0x1841, 0x0800), tcp4), "", false},
		{"ATM", 100, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, tcp4), "", false},
		{"SLIP", 8, cat(make([]byte, 16), tcp4), "", false},
		{"switch tag", 281, cat(make([]byte, 16), u16(0x0800), tcp4), "", false},
		{"switch tag in front", 282, cat(make([]byte, 4), ether(0x0800, tcp4)), "", false},
		{"PPI", 192, cat([]byte{0, 0, 12, 0, 105, 0, 0, 0, 1, 2, 3, 4}, dataFrame(8, 0, tcp4)), "", false},
		{"PKTAP", 258, cat([]byte{16, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 2, 3, 4}, tcp6), "", true},
		{"AVS", 163, cat(u32(0x80211001), u32(64), make([]byte, 56), dataFrame(8, 0, tcp4)), "", false},
		{"Wi-Fi, QoS, between access points", 105, dataFrame(0x88, 3, tcp4), "", false},
		{"Wi-Fi, opened by the driver", 105, dataFrame(0x08, 0x42, cat(u32(1), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, tcp4)), "", false},
		{"NFLOG, big-endian", 239, cat([]byte{2, 0, 0, 0}, []byte{0, 8, 0, 1, 1, 2, 3, 4}, u16(uint16(4+len(tcp4)), 9), tcp4), "", false},
		{"exported IP", 252, exported("ip", 0, nil, string(tcp4)), "", false},
		{"exported with numbers", 252, exported("tls_tcp", 2, cat(u16(1), u32(7), u32(12), u32(9), []byte{0}, u16(0x18, 0)), "hello"), "", false},
		{"tunnels in tunnels", 101, ipv4(4, ipv4(47, cat(u16(0, 0x0800), ipv4(17, datagram(1, 4789, vxlanFrame(1, ether(0x0800, tcp4))))))), "ipip/gre/vxlan 1", false},
	} {
		d := NewDecoder()
		seg := Segment{Missing: 99}
		if out := d.Decode(c.link, c.packet, len(c.packet), &seg); out != TCP {
			t.Errorf("%s: %v", c.name, out)
			continue
		}
		src, dst := "198.18.0.1:50000", "198.18.0.2:8443"
		if c.v6 {
			src, dst = "[::1]:50000", "[::2]:8443"
		}
		if seg.SrcAddr().String() != src || seg.DstAddr().String() != dst || seg.Seq != 7 || seg.Ack != 9 ||
			seg.Flags&FlagACK == 0 || string(seg.Payload) != "hello" || seg.Missing != 0 {
			t.Errorf("%s: %v to %v, %+v", c.name, seg.SrcAddr(), seg.DstAddr(), seg)
		}
		if exported := c.link == 252 && c.name != "exported IP"; !exported && (seg.TTL != 64 || len(seg.Options) != 12) {
			t.Errorf("%s: hop limit %d, %d bytes of options", c.name, seg.TTL, len(seg.Options))
		}
		if via := d.ViaName(seg.Via); via != c.via {
			t.Errorf("%s: via %q, want %q", c.name, via, c.via)
		}
		if s := d.Stats(); s.Panics != 0 || s.Packets != 1 || s.Outcomes[TCP] != 1 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestOtherOutcomes(t *testing.T) {
	tcp4 := ipv4(6, segment("hello"))
	deep := tcp4
	for range maxDepth + 1 {
		deep = ipv4(4, deep)
	}
	tags := tcp4
	for range maxTags + 1 {
		tags = vlan(1, 0x8100, tags)
	}
	for _, c := range []struct {
		name   string
		link   LinkType
		packet []byte
		want   Outcome
	}{
		{"ARP", 1, ether(0x0806, make([]byte, 28)), NotTCP},
		{"spanning tree", 1, ether(38, make([]byte, 38)), NotTCP},
		{"ICMP", 101, ipv4(1, make([]byte, 8)), NotTCP},
		{"DNS", 101, ipv4(17, datagram(1, 53, nil)), UDP},
		{"EAPOL", 1, ether(0x888e, []byte{2, 0, 0, 5, 1, 7, 0, 5, 1, 0, 0}), EAPOL},
		{"EAPOL-Start", 1, ether(0x888e, []byte{2, 1, 0, 0}), NotTCP},
		{"EAPOL, empty", 1, ether(0x888e, nil), Bad},
		{"no next header", 101, ipv6(59, nil), NotTCP},
		{"first fragment", 101, with(ipv4(6, segment("12345678")), 6, 0x20), Fragment},
		{"fragment of odd length", 101, with(tcp4, 6, 0x20), Bad},
		{"fragment beyond the longest packet", 101, with(tcp4, 6, 0x1f, 0xff), Bad},
		{"empty fragment", 101, with(ipv4(6, nil), 6, 0, 9), Bad},
		{"last fragment", 101, with(tcp4, 7, 1), Fragment},
		{"IPv6 fragment", 101, ipv6(44, cat([]byte{6, 0}, u16(1), u32(1), segment("12345678"))), Fragment},
		{"UDP at VXLAN's port", 101, ipv4(17, datagram(1, 10800, make([]byte, 40))), UDP},
		{"GTP echo", 101, ipv4(17, datagram(1, 2152, []byte{0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0})), UDP},
		{"GTP extension of no length", 101, ipv4(17, datagram(1, 2152, with(make([]byte, 40), 0, 0x34, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1))), UDP},
		{"GTP extension beyond the end", 101, ipv4(17, datagram(1, 2152, with(make([]byte, 40), 0, 0x34, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 200))), UDP},
		{"PPP, LCP", 9, u16(0xff03, 0xc021, 1), NotTCP},
		{"unknown link", 147, tcp4, UnknownLink},
		{"unknown link, high", 4711, tcp4, UnknownLink},
		{"NULL, other family", 0, make([]byte, 24), NotTCP},
		{"empty Ethernet", 1, nil, Bad},
		{"empty raw", 101, nil, Bad},
		{"empty PPP", 9, nil, Bad},
		{"IPv4, version", 1, ether(0x0800, with(tcp4, 0, 0x65)), Bad},
		{"IPv4, header length", 1, ether(0x0800, with(tcp4, 0, 0x44)), Bad},
		{"IPv4, total length", 1, ether(0x0800, with(tcp4, 2, 0, 19)), Bad},
		{"IPv6, version", 1, ether(0x86dd, ipv4(6, make([]byte, 40))), Bad},
		{"TCP, data offset below 5", 101, ipv4(6, with(segment(""), 12, 0x40)), Bad},
		{"TCP, data offset beyond the end", 101, ipv4(6, with(segment(""), 12, 0xf0)), Bad},
		{"too many tags", 1, ether(0x8100, tags), Bad},
		{"too deep", 101, deep, Bad},
		{"PPPoE length beyond the end", 1, ether(0x8864, cat([]byte{0x11, 0}, u16(1, 999), u16(0x0021), tcp4)), Bad},
		{"labels without end", 1, ether(0x8847, make([]byte, 4000)), Bad},
		{"GRE keepalive", 101, ipv4(47, u16(0, 0)), NotTCP},
		{"GRE version 2", 101, ipv4(47, cat(u16(2, 0x0800), tcp4)), Bad},
		{"L2TP control", 101, ipv4(17, datagram(1701, 1701, u16(0xc802, 12, 0, 0, 0, 0))), UDP},
		{"L2TPv3 without a frame", 101, ipv4(115, make([]byte, 64)), NotTCP},
		{"CAPWAP over DTLS", 101, ipv4(17, datagram(1, 5247, cat(u32(1<<24), []byte{23}, make([]byte, 64)))), UDP},
		{"ESP", 101, ipv4(50, make([]byte, 64)), NotTCP},
		{"WireGuard", 101, ipv4(17, datagram(1, 51820, cat([]byte{4, 0, 0, 0}, make([]byte, 64)))), UDP},
		{"VXLAN's shape with a wrong checksum", 101, ipv4(17, datagram(1, 9999, vxlanFrame(8, ether(0x0800, with(summed(tcp4), 10, 1))))), UDP},
		{"VXLAN's shape with a reserved bit", 101, ipv4(17, datagram(1, 9999, with(vxlanFrame(8, ether(0x0800, summed(tcp4))), 7, 1))), UDP},
		{"exported UDP", 252, exported("dns", 3, nil, "hello"), NotTCP},
		{"export without end", 252, u16(12, 3), Bad},
		{"Prism header cut", 119, make([]byte, 20), Bad},
	} {
		d := NewDecoder()
		var seg Segment
		if out := d.Decode(c.link, c.packet, len(c.packet), &seg); out != c.want {
			t.Errorf("%s: %v, want %v", c.name, out, c.want)
		}
		s := d.Stats()
		if s.Outcomes[c.want] != 1 || s.Cut != 0 {
			t.Errorf("%s: %+v", c.name, s)
		}
		if panics := c.name == "Prism header cut"; panics != (s.Panics == 1) {
			t.Errorf("%s: %d panics", c.name, s.Panics)
		}
	}
}

// A packet cut anywhere by the snap length keeps its place in the stream once
// its TCP header's fixed part is there.
func TestCutBySnapLength(t *testing.T) {
	for name, packet := range map[string][]byte{
		"Ethernet":   ether(0x0800, ipv4(6, segment("hello"))),
		"card":       ether(0x0800, with(ipv4(6, segment("hello")), 2, 0, 0)),
		"IPv6, VLAN": ether(0x8100, vlan(9, 0x86dd, ipv6(0, cat([]byte{6, 0}, make([]byte, 6), segment("hello"))))),
		"GRE":        ether(0x0800, ipv4(47, cat(u16(0, 0x0800), ipv4(6, segment("hello"))))),
		"ERSPAN III": ether(0x0800, ipv4(47, cat(u16(0x1000, 0x22eb), u32(1), u16(0x2000, 20), make([]byte, 8), ether(0x0800, ipv4(6, segment("hello")))))),
		"MPLS":       ether(0x8847, cat(u32(16<<12|0x40), u32(17<<12|0x140), ipv4(6, segment("hello")))),
		"Geneve":     ether(0x0800, ipv4(17, datagram(1, 6081, cat(u16(0x0200, 0x6558), u32(11<<8), u16(1, 1), u32(0), ether(0x0800, ipv4(6, segment("hello"))))))),
		"L2TP":       ether(0x0800, ipv4(17, datagram(1, 1701, cat(u16(0x4002, 90, 1, 2), u16(0xff03, 0x0021), ipv4(6, segment("hello")))))),
		"VXLAN":      ether(0x0800, ipv4(17, datagram(1, 4789, vxlanFrame(5, ether(0x0800, ipv4(6, segment("hello"))))))),
	} {
		d := NewDecoder()
		fixed := len(packet) - len("hello") - 12
		for n := range packet {
			var seg Segment
			out := d.Decode(1, packet[:n], len(packet), &seg)
			switch {
			case n < fixed && out != Truncated:
				t.Errorf("%s cut at %d: %v", name, n, out)
			case n >= fixed && (out != TCP || len(seg.Payload)+seg.Missing != len("hello")):
				t.Errorf("%s cut at %d: %v, %d bytes and %d missing", name, n, out, len(seg.Payload), seg.Missing)
			}
		}
		if s := d.Stats(); s.Cut != int64(len(packet)) || s.Longest != len(packet) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestViaNamesAreBounded(t *testing.T) {
	d := NewDecoder()
	seen := map[uint32]string{}
	for outer := uint16(1); outer <= 3; outer++ {
		for id := uint16(1); id < 4095; id++ {
			packet := ether(0x88a8, vlan(outer, 0x8100, vlan(id, 0x0800, ipv4(6, segment("")))))
			var seg Segment
			if out := d.Decode(1, packet, len(packet), &seg); out != TCP {
				t.Fatal(out)
			}
			name := d.ViaName(seg.Via)
			if before, ok := seen[seg.Via]; ok && seg.Via != viaOther {
				t.Fatalf("%q and %q share a number", before, name)
			}
			seen[seg.Via] = name
		}
	}
	if len(d.vias.names) != maxVias || d.Stats().ViaOverflow == 0 || seen[viaOther] != "other" {
		t.Errorf("%d names, %d beyond", len(d.vias.names), d.Stats().ViaOverflow)
	}
	if name := d.ViaName(1 << 31); name != "" {
		t.Errorf("an unknown number is called %q", name)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	d := NewDecoder()
	var seg Segment
	for name, packet := range map[string][]byte{
		"IPv4":   ether(0x0800, ipv4(6, segment("hello"))),
		"QinQ":   ether(0x88a8, vlan(12, 0x8100, vlan(13, 0x86dd, ipv6(6, segment("hello"))))),
		"UDP":    ether(0x0800, ipv4(17, datagram(1, 53, nil))),
		"VXLAN":  ether(0x0800, ipv4(17, datagram(1, 4789, vxlanFrame(800, ether(0x0800, ipv4(6, segment("hello"))))))),
		"shape":  ether(0x0800, ipv4(17, datagram(1, 9999, vxlanFrame(800, ether(0x0800, summed(ipv4(6, segment("hello")))))))),
		"Geneve": ether(0x0800, ipv4(17, datagram(1, 6081, cat(u16(0x0200, 0x6558), u32(11<<8), u16(1, 1), u32(0), ether(0x0800, ipv4(6, segment("hello"))))))),
		"ERSPAN": ether(0x0800, ipv4(47, cat(u16(0x1000, 0x88be), u32(1), u16(0x1000, 20), u32(0), ether(0x0800, ipv4(6, segment("hello")))))),
		"MPLS":   ether(0x8847, cat(u32(16<<12|0x140), ipv4(6, segment("hello")))),
		"ARP":    ether(0x0806, make([]byte, 28)),
	} {
		if n := testing.AllocsPerRun(100, func() { d.Decode(1, packet, len(packet), &seg) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	tcp4 := ipv4(6, segment("hello"))
	f.Add(uint16(1), ether(0x8100, vlan(1, 0x0800, tcp4)), 0)
	f.Add(uint16(101), ipv6(0, cat([]byte{6, 0}, make([]byte, 6), segment("hello"))), 10)
	f.Add(uint16(101), ipv4(47, cat(u16(0x1000, 0x88be), u32(1), u16(0x1000, 20), u32(0), ether(0x0800, tcp4))), 0)
	f.Add(uint16(101), ipv4(17, datagram(1, 6081, cat(u16(0x0200, 0x6558), u32(11<<8), u16(1, 1), u32(0), ether(0x0800, tcp4)))), 0)
	f.Add(uint16(101), ipv4(17, datagram(1, 2152, cat([]byte{0x34, 255}, make([]byte, 9), []byte{0x85, 1, 0, 1, 0}, tcp4))), 0)
	f.Add(uint16(1), ether(0x8847, cat(u32(16<<12|0x140), u32(0), ether(0x0800, tcp4))), 0)
	framed := ether(0x0800, summed(tcp4))
	for _, packet := range [][]byte{
		ipv4(47, cat(u16(0x3081, 0x880b), u16(0, 7), u32(1), u32(2), u16(0x0021), tcp4)),
		ipv4(47, cat(u16(0x4000, 0x0800), u32(0), u16(0x0800), []byte{0, 4}, u32(9), u32(0), tcp4)),
		ipv4(47, cat(u16(0x1000, 0x22eb), u32(1), u16(0x2000, 20), make([]byte, 8), framed)),
		ipv4(17, datagram(1, 4789, vxlanFrame(5, ether(0x8100, vlan(6, 0x0800, tcp4))))),
		ipv4(17, datagram(1, 9999, vxlanFrame(5, framed))),
		ipv4(17, datagram(1, 4790, cat([]byte{0x0c, 0, 0, 4}, u32(7<<8), []byte{0, 6, 1, 3}, make([]byte, 20), framed))),
		ipv4(17, datagram(1, 1701, cat(u16(0x4a02, 99, 1, 2, 3, 4, 2, 0), u16(0xff03, 0x0021), tcp4))),
		ipv4(115, cat(u32(77), framed)),
		ipv4(17, datagram(1, 3544, cat([]byte{0, 1, 0, 0}, make([]byte, 9), u16(0), make([]byte, 6), ipv6(6, segment("hello"))))),
		ipv4(17, datagram(1, 5247, cat([]byte{0, 2 << 3, 0x43, 0, 0, 0, 0, 0}, dataFrame(0x88, 3, tcp4)))),
		ipv4(17, datagram(1, 37008, cat([]byte{1, 0, 0, 1}, []byte{0, 10, 1, 9, 1}, framed))),
		with(ipv4(6, segment("12345678")), 6, 0x20),
		ipv6(44, cat([]byte{6, 0}, u16(1), u32(1), segment("12345678"))),
	} {
		f.Add(uint16(101), packet, 0)
	}
	f.Add(uint16(252), exported("tls_tcp", 2, cat(u16(1), u32(7), u32(12), u32(9), []byte{0}, u16(0x18, 0)), "hello"), 0)
	f.Add(uint16(192), cat([]byte{0, 0, 12, 0, 105, 0, 0, 0, 1, 2, 3, 4}, dataFrame(8, 0, tcp4)), 0)
	f.Add(uint16(258), cat([]byte{16, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 2, 3, 4}, tcp4), 0)
	f.Add(uint16(107), cat(u16(0x1841), []byte{3, 0, 0x80, 0, 0, 0}, u16(0x0800), tcp4), 0)
	f.Add(uint16(127), cat([]byte{0, 0, 8, 0, 0, 0, 0, 0}, []byte{8, 0}, make([]byte, 22), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, tcp4), 0)
	f.Fuzz(func(t *testing.T, link uint16, data []byte, cut int) {
		d := NewDecoder()
		var seg Segment
		wire := len(data) + cut&0xffff
		out := d.Decode(LinkType(link), data, wire, &seg)
		s := d.Stats()
		if s.Outcomes[out] != 1 || s.Panics > 0 && out != Bad {
			t.Fatalf("%v: %+v", out, s)
		}
		if out == TCP && (seg.Missing < 0 || seg.Missing > max(wire, 1<<16) || len(seg.Payload) > len(data)) {
			t.Fatalf("%d bytes and %d missing of %d", len(seg.Payload), seg.Missing, wire)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, packet := range map[string][]byte{
		"IPv4":  ether(0x0800, ipv4(6, segment("hello"))),
		"IPv6":  ether(0x86dd, ipv6(6, segment("hello"))),
		"VLAN":  ether(0x8100, vlan(12, 0x0800, ipv4(6, segment("hello")))),
		"UDP":   ether(0x0800, ipv4(17, datagram(1, 53, nil))),
		"VXLAN": ether(0x0800, ipv4(17, datagram(1, 4789, vxlanFrame(800, ether(0x0800, ipv4(6, segment("hello"))))))),
	} {
		b.Run(name, func(b *testing.B) {
			d := NewDecoder()
			var seg Segment
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(1, packet, len(packet), &seg)
			}
		})
	}
}
