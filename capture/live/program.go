package live

import (
	"encoding/binary"
	"net/netip"

	"whoasked/capture"
)

// A filter is written once, as a program of the few instructions below, and
// then assembled for classic BPF or for eBPF. Labels stand behind what goes to
// them. Offsets count from the network header; a load beyond the end of a packet
// drops it.
type opcode uint8

const (
	opProto    opcode = iota // A = EtherType
	opTagged                 // A = 1 if the packet has a VLAN tag, else 0
	opLoad                   // A = size bytes at k
	opLoadX                  // A = size bytes at X+k
	opHeader                 // X = 4 * (low half of the byte at 0): length of an IPv4 header
	opSetX                   // X = k
	opAnd                    // A &= k
	opEqual                  // if A == k, go to label
	opAnySet                 // if A & k != 0, go to label
	opGoto                   // go to label
	opHere                   // label stands here
	opPass                   // end: the packet passes
	opDrop                   // end: it is dropped
	opWithheld               // end: a TCP segment at X, addresses at k, passes unless withheld; classic BPF withholds none
)

type op struct {
	code  opcode
	size  int
	k     uint32
	label string
}

// program builds a list of ops.
type program struct {
	ops    []op
	unique int
}

func (p *program) add(o ...op) { p.ops = append(p.ops, o...) }

func (p *program) here(label string) { p.add(op{code: opHere, label: label}) }

// fresh returns a label not used before.
func (p *program) fresh() string {
	p.unique++
	return "l" + string(rune('a'+p.unique%26)) + string(rune('a'+p.unique/26%26)) + string(rune('a'+p.unique/676))
}

// family is what differs between IPv4 and IPv6.
type family struct {
	v4       bool
	src, dst uint32 // offsets of addresses
}

// filterProgram is the filter in the kernel. It drops what cannot matter: ARP,
// ICMP and IGMP, and TCP segments of connections that narrow excludes or that
// are withheld. Whatever it does not look into passes: UDP, tunnels, fragments,
// frames with a VLAN tag or IPv6 extension headers.
func filterProgram(narrow *capture.Narrow) []op {
	p := &program{}
	p.add(
		op{code: opTagged}, op{code: opEqual, k: 1, label: "pass"},
		op{code: opProto},
		op{code: opEqual, k: 0x0800, label: "ip4"},
		op{code: opEqual, k: 0x86dd, label: "ip6"},
		op{code: opEqual, k: 0x0806, label: "drop"}, op{code: opGoto, label: "pass"},
	)
	p.here("ip4")
	p.add(
		op{code: opLoad, size: 1, k: 9},
		op{code: opEqual, k: 1, label: "drop"}, op{code: opEqual, k: 2, label: "drop"},
		op{code: opEqual, k: 6, label: "tcp4"}, op{code: opGoto, label: "pass"},
	)
	p.here("tcp4")
	p.add(
		op{code: opLoad, size: 2, k: 6}, op{code: opAnySet, k: 0x3fff, label: "pass"}, // more fragments, or an offset
		op{code: opHeader},
	)
	p.tcp(family{v4: true, src: 12, dst: 16}, narrow)

	p.here("ip6")
	p.add(
		op{code: opLoad, size: 1, k: 6},
		op{code: opEqual, k: 58, label: "drop"},
		op{code: opEqual, k: 6, label: "tcp6"}, op{code: opGoto, label: "pass"},
	)
	p.here("tcp6")
	p.add(op{code: opSetX, k: 40})
	p.tcp(family{src: 8, dst: 24}, narrow)

	p.here("pass")
	p.add(op{code: opPass})
	p.here("drop")
	p.add(op{code: opDrop})
	return p.ops
}

// tcp judges a segment whose header is at X.
func (p *program) tcp(f family, narrow *capture.Narrow) {
	for _, not := range narrow.Not {
		p.ends(f, not, "drop")
	}
	if len(narrow.Nets) > 0 {
		in := p.fresh()
		for _, n := range narrow.Nets {
			p.ends(f, capture.End{Net: n}, in)
		}
		p.add(op{code: opGoto, label: "drop"})
		p.here(in)
	}
	if len(narrow.Ports) > 0 {
		in := p.fresh()
		for _, port := range narrow.Ports {
			p.ends(f, capture.End{Port: port}, in)
		}
		p.add(op{code: opGoto, label: "drop"})
		p.here(in)
	}
	p.add(op{code: opWithheld, k: f.src})
}

// ends goes to label if one end of the segment is e.
func (p *program) ends(f family, e capture.End, label string) {
	if e.Net.IsValid() && e.Net.Addr().Is4() != f.v4 {
		return
	}
	for _, end := range []struct{ addr, port uint32 }{{f.src, 0}, {f.dst, 2}} {
		no := p.fresh()
		if e.Net.IsValid() {
			p.prefix(e.Net, end.addr, no)
		}
		if e.Port != 0 {
			p.add(op{code: opLoadX, size: 2, k: end.port}, op{code: opEqual, k: uint32(e.Port), label: label})
		} else {
			p.add(op{code: opGoto, label: label})
		}
		p.here(no)
	}
}

// prefix goes to no unless the address at an offset is in net.
func (p *program) prefix(net netip.Prefix, at uint32, no string) {
	addr := net.Masked().Addr().AsSlice()
	for i, bits := 0, net.Bits(); bits > 0; i, bits = i+4, bits-32 {
		yes := p.fresh()
		p.add(op{code: opLoad, size: 4, k: at + uint32(i)})
		if bits < 32 {
			p.add(op{code: opAnd, k: ^uint32(0) << (32 - bits)})
		}
		p.add(op{code: opEqual, k: binary.BigEndian.Uint32(addr[i:]), label: yes}, op{code: opGoto, label: no})
		p.here(yes)
	}
}
