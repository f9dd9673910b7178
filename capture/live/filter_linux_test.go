package live

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"

	"whoasked/capture"
)

// frame is a packet as the filter sees it: EtherType, VLAN tag, and what stands
// from the network header on.
type frame struct {
	proto uint16
	data  []byte
}

// segment makes an IPv4 or IPv6 packet with a TCP header and some payload.
func segment(src, dst string, flags byte) frame {
	from, to := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	tcp := make([]byte, 40)
	binary.BigEndian.PutUint16(tcp[0:], from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	tcp[12], tcp[13] = 5<<4, flags
	if from.Addr().Is4() {
		ip := make([]byte, 24) // with an option
		ip[0], ip[9] = 0x46, 6
		copy(ip[12:], from.Addr().AsSlice())
		copy(ip[16:], to.Addr().AsSlice())
		return frame{0x0800, append(ip, tcp...)}
	}
	ip := make([]byte, 40)
	ip[0], ip[6] = 0x60, 6
	copy(ip[8:], from.Addr().AsSlice())
	copy(ip[24:], to.Addr().AsSlice())
	return frame{0x86dd, append(ip, tcp...)}
}

// with changes one byte.
func (f frame) with(at int, b byte) frame {
	f.data = append([]byte(nil), f.data...)
	f.data[at] = b
	return f
}

const ack = 0x10

var filterCases = []struct {
	name     string
	frame    frame
	all      bool // passes the filter that narrows nothing
	narrowed bool // and that of narrowTo
}{
	{"ours", segment("198.18.1.9:50000", "198.18.7.1:443", ack), true, true},
	{"ours, back", segment("198.18.7.1:443", "198.18.1.9:50000", ack), true, true},
	{"other port", segment("198.18.1.9:50000", "198.18.7.1:444", ack), true, false},
	{"other net", segment("198.19.1.9:50000", "198.19.7.1:443", ack), true, false},
	{"left out", segment("198.18.1.9:50000", "198.18.9.9:443", ack), true, false},
	{"left out, other port", segment("198.18.1.9:443", "198.18.9.9:8443", ack), true, true},
	{"IPv6", segment("[2001:db8:8000::1]:50000", "[2001:db8:1::1]:443", ack), true, true},
	{"IPv6 beyond the prefix", segment("[2001:db8:1::2]:50000", "[2001:db8:1::1]:443", ack), true, false},
	{"IPv6 other port", segment("[2001:db8:8000::1]:50000", "[2001:db8:1::1]:80", ack), true, false},
	{"first fragment", segment("198.19.1.9:50000", "198.19.7.1:443", ack).with(6, 0x20), true, true},
	{"later fragment", segment("198.19.1.9:50000", "198.19.7.1:443", ack).with(7, 9), true, true},
	{"do not fragment", segment("198.19.1.9:50000", "198.19.7.1:443", ack).with(6, 0x40), true, false},
	{"UDP", segment("198.19.1.9:50000", "198.19.7.1:443", ack).with(9, 17), true, true},
	{"GRE", segment("198.19.1.9:50000", "198.19.7.1:443", ack).with(9, 47), true, true},
	{"ICMP", segment("198.18.1.9:50000", "198.18.7.1:443", ack).with(9, 1), false, false},
	{"IGMP", segment("198.18.1.9:50000", "198.18.7.1:443", ack).with(9, 2), false, false},
	{"ICMPv6", segment("[2001:db8:8000::1]:50000", "[2001:db8:1::1]:443", ack).with(6, 58), false, false},
	{"IPv6 extension header", segment("[2001:db8:1::2]:50000", "[2001:db8:1::1]:80", ack).with(6, 44), true, true},
	{"ARP", frame{0x0806, make([]byte, 28)}, false, false},
	{"MPLS", frame{0x8847, make([]byte, 28)}, true, true},
}

// narrowTo is what the cases are narrowed by.
func narrowTo() capture.Narrow {
	return capture.Narrow{
		Nets:  []netip.Prefix{netip.MustParsePrefix("198.18.0.0/16"), netip.MustParsePrefix("2001:db8:8000::/33")},
		Ports: []uint16{443, 8443},
		Not:   []capture.End{{Net: netip.MustParsePrefix("198.18.9.9/32"), Port: 443}},
	}
}

// runClassic runs the classic filter. The VM knows no extensions, which are put
// in as constants.
func runClassic(t *testing.T, ops []op, f frame, tagged uint32) int {
	t.Helper()
	raw, err := classic(ops, defaultSnap)
	if err != nil {
		t.Fatal(err)
	}
	prog := make([]bpf.Instruction, len(raw))
	for i := range raw {
		prog[i] = raw[i].Disassemble()
		if e, ok := prog[i].(bpf.LoadExtension); ok {
			v := uint32(f.proto)
			if e.Num == bpf.ExtVLANTagPresent {
				v = tagged
			}
			prog[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: v}
		}
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(f.data)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClassicFilter(t *testing.T) {
	n := narrowTo()
	all, narrowed := filterProgram(&capture.Narrow{}), filterProgram(&n)
	for _, c := range filterCases {
		for _, try := range []struct {
			ops  []op
			tag  uint32
			want bool
		}{{all, 0, c.all}, {narrowed, 0, c.narrowed}, {narrowed, 1, true}} {
			if got := runClassic(t, try.ops, c.frame, try.tag) > 0; got != try.want {
				t.Errorf("%s, narrowed %t, tag %d: passes %t, want %t", c.name, len(try.ops) == len(narrowed), try.tag, got, try.want)
			}
		}
	}
}

// runExtended runs an eBPF filter in the kernel.
func runExtended(t *testing.T, w *withheld, f frame) int {
	t.Helper()
	eth := make([]byte, 14)
	binary.BigEndian.PutUint16(eth[12:], f.proto)
	n, _, err := w.program.Test(append(eth, f.data...))
	if err != nil {
		t.Skip("this kernel runs no socket filter for a test: ", err)
	}
	return int(n)
}

func loadExtended(t *testing.T, n *capture.Narrow) *withheld {
	t.Helper()
	w, err := extended(filterProgram(n), defaultSnap)
	if err != nil {
		t.Skip("no right to load eBPF: ", firstLine(err))
	}
	t.Cleanup(w.close)
	return w
}

func TestExtendedFilter(t *testing.T) {
	n := narrowTo()
	all, narrowed := loadExtended(t, &capture.Narrow{}), loadExtended(t, &n)
	for _, c := range filterCases {
		if got := runExtended(t, all, c.frame) > 0; got != c.all {
			t.Errorf("%s: passes %t, want %t", c.name, got, c.all)
		}
		if got := runExtended(t, narrowed, c.frame) > 0; got != c.narrowed {
			t.Errorf("%s, narrowed: passes %t, want %t", c.name, got, c.narrowed)
		}
	}
}

// TestExtendedWithoutWalk: on a kernel that refuses loops the filter drops the same, and
// withholds what is settled.
func TestExtendedWithoutWalk(t *testing.T) {
	loadExtended(t, &capture.Narrow{}) // or skip
	n := narrowTo()
	w, err := load(filterProgram(&n), defaultSnap, false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for _, c := range filterCases {
		if got := runExtended(t, w, c.frame) > 0; got != c.narrowed {
			t.Errorf("%s: passes %t, want %t", c.name, got, c.narrowed)
		}
	}
	ours := filterCases[0].frame
	from, to := netip.MustParseAddrPort("198.18.1.9:50000"), netip.MustParseAddrPort("198.18.7.1:443")
	tuple := capture.Tuple{Src: from.Addr().As16(), Dst: to.Addr().As16(), SrcPort: from.Port(), DstPort: to.Port()}
	if err := w.set(&tuple, true); err != nil {
		t.Fatal(err)
	}
	runExtended(t, w, ours) // a sign of life
	if runExtended(t, w, ours) > 0 {
		t.Error("what is withheld passes")
	}
}

// TestWithheld takes a tuple through its life: bulk is kept and counted, FIN and
// RST pass, and SYN begins anew.
func TestWithheld(t *testing.T) {
	for _, ends := range [][2]string{
		{"198.18.1.9:50000", "198.18.7.1:443"}, {"[2001:db8:8000::1]:50000", "[2001:db8:1::1]:443"},
	} {
		w := loadExtended(t, &capture.Narrow{})
		from, to := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		tuple := capture.Tuple{Src: from.Addr().As16(), Dst: to.Addr().As16(), SrcPort: from.Port(), DstPort: to.Port()}
		passes := func(what string, flags byte, want bool) {
			t.Helper()
			if got := runExtended(t, w, segment(ends[0], ends[1], flags)) > 0; got != want {
				t.Errorf("%s, %s: passes %t, want %t", ends[0], what, got, want)
			}
		}
		passes("before", ack, true)
		if err := w.set(&tuple, true); err != nil {
			t.Fatal(err)
		}
		runExtended(t, w, segment(ends[0], ends[1], ack)) // may be the sign of life
		before, _ := w.kept()
		passes("withheld", ack, false)
		passes("withheld, FIN", ack|capture.FlagFIN, true)
		passes("withheld, RST", capture.FlagRST, true)
		if got := runExtended(t, w, segment(ends[1], ends[0], ack)); got == 0 {
			t.Errorf("%s: the other direction is withheld too", ends[0])
		}
		if after, bytes := w.kept(); after != before+1 || bytes == 0 {
			t.Errorf("%s: counted %d packets, then %d with %d bytes", ends[0], before, after, bytes)
		}
		passes("a new SYN", capture.FlagSYN, true)
		passes("after it", ack, true)
		if err := w.set(&tuple, true); err != nil {
			t.Fatal(err)
		}
		if err := w.set(&tuple, false); err != nil {
			t.Fatal(err)
		}
		passes("no longer withheld", ack, true)
	}
}
