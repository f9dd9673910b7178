package live

import (
	"golang.org/x/net/bpf"
)

// classic assembles a filter for classic BPF. A packet that passes does so with
// up to snap bytes. Conditions are followed by a long jump, so that the distance
// of their labels does not matter.
func classic(ops []op, snap int) ([]bpf.RawInstruction, error) {
	at := make(map[string]int) // label to index of instruction
	n := 0
	for _, o := range ops {
		switch o.code {
		case opHere:
			at[o.label] = n
		case opEqual, opAnySet:
			n += 2
		default:
			n++
		}
	}
	var out []bpf.Instruction
	jump := func(label string) bpf.Instruction { return bpf.Jump{Skip: uint32(at[label] - len(out) - 1)} }
	for _, o := range ops {
		switch o.code {
		case opHere:
		case opProto:
			out = append(out, bpf.LoadExtension{Num: bpf.ExtProto})
		case opTagged:
			out = append(out, bpf.LoadExtension{Num: bpf.ExtVLANTagPresent})
		case opLoad:
			out = append(out, bpf.LoadAbsolute{Off: o.k, Size: o.size})
		case opLoadX:
			out = append(out, bpf.LoadIndirect{Off: o.k, Size: o.size})
		case opHeader:
			out = append(out, bpf.LoadMemShift{Off: 0})
		case opSetX:
			out = append(out, bpf.LoadConstant{Dst: bpf.RegX, Val: o.k})
		case opAnd:
			out = append(out, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: o.k})
		case opEqual:
			out = append(out, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: o.k, SkipTrue: 1})
			out = append(out, jump(o.label))
		case opAnySet:
			out = append(out, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: o.k, SkipTrue: 1})
			out = append(out, jump(o.label))
		case opGoto:
			out = append(out, jump(o.label))
		case opDrop:
			out = append(out, bpf.RetConstant{Val: 0})
		case opPass, opWithheld:
			out = append(out, bpf.RetConstant{Val: uint32(snap)})
		}
	}
	return bpf.Assemble(out)
}
