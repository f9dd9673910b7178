package capture

import "strconv"

// viaKind is one kind of encapsulation that tells equal addresses apart.
type viaKind uint8

const (
	viaVLAN viaKind = iota
	viaVXLAN
	viaGeneve
	viaERSPAN
	viaPPPoE
	viaGRE
	viaMPLS
	viaGTP
	viaEtherIP
	viaIPinIP
	via6in4
	viaERSPAN1
	viaL2TP
	viaL2TP3
	viaTeredo
	viaLISP
	viaCAPWAP
	viaTZSP
	viaNSH
	viaPBB
	viaWCCP
)

// viaKinds says how each kind reads. Only what is the same in both directions
// of a connection may be numbered: an MPLS label or a GTP tunnel endpoint is
// chosen by its receiver and would tear a connection in two.
var viaKinds = [...]struct {
	label    string
	numbered bool
}{
	viaVLAN:    {"vlan", true},
	viaVXLAN:   {"vxlan", true},
	viaGeneve:  {"geneve", true},
	viaERSPAN:  {"erspan", true},
	viaPPPoE:   {"pppoe", true},
	viaGRE:     {"gre", false},
	viaMPLS:    {"mpls", false},
	viaGTP:     {"gtp", false},
	viaEtherIP: {"etherip", false},
	viaIPinIP:  {"ipip", false},
	via6in4:    {"6in4", false},
	viaERSPAN1: {"erspan", false},
	viaL2TP:    {"l2tp", false},
	viaL2TP3:   {"l2tpv3", false},
	viaTeredo:  {"teredo", false},
	viaLISP:    {"lisp", false},
	viaCAPWAP:  {"capwap", false},
	viaTZSP:    {"tzsp", false},
	viaNSH:     {"nsh", false},
	viaPBB:     {"pbb", true},
	viaWCCP:    {"wccp", false},
}

const (
	// maxVias bounds the table of names, about 1 MiB when full. QinQ alone has
	// 16 million combinations.
	maxVias = 8192
	// viaOther stands for every encapsulation that found the table full.
	viaOther = 1
)

// vias numbers chains of encapsulations as they turn up.
type vias struct {
	names []viaName
	index map[uint64]uint32
}

// viaName is a chain of encapsulations, and its key in the index.
type viaName struct {
	text string
	key  uint64
}

func newVias() vias {
	return vias{names: []viaName{{}, {text: "other"}}, index: map[uint64]uint32{}}
}

// forget takes the names from n on back.
func (v *vias) forget(n int) {
	for _, name := range v.names[n:] {
		delete(v.index, name.key)
	}
	v.names = v.names[:n]
}

func (v *vias) name(via uint32) string {
	if int(via) < len(v.names) {
		return v.names[via].text
	}
	return ""
}

// inside returns the index of one more encapsulation within via, and false if
// the table was full.
func (v *vias) inside(via uint32, kind viaKind, number uint32) (uint32, bool) {
	k := viaKinds[kind]
	if !k.numbered {
		number = 0
	}
	if via == viaOther {
		return via, true
	}
	key := uint64(via)<<40 | uint64(kind)<<32 | uint64(number)
	if i, ok := v.index[key]; ok {
		return i, true
	}
	if len(v.names) == maxVias {
		return viaOther, false
	}
	name := k.label
	if k.numbered {
		name += " " + strconv.FormatUint(uint64(number), 10)
	}
	if via != 0 {
		name = v.names[via].text + "/" + name
	}
	i := uint32(len(v.names))
	v.names = append(v.names, viaName{name, key})
	v.index[key] = i
	return i, true
}

// inside is vias.inside, counting what did not fit.
func (d *Decoder) inside(via uint32, kind viaKind, number uint32) uint32 {
	via, ok := d.vias.inside(via, kind, number)
	if !ok {
		d.stats.ViaOverflow++
	}
	return via
}
