package live

import (
	"github.com/cilium/ebpf/asm"

	"whoasked/capture"
)

// Registers that outlive helper calls: the context, and X of a program; the others
// serve what looks tuples up.
const (
	regCtx = asm.R6
	regX   = asm.R7
)

// Offsets in struct __sk_buff, and of what is kept on the stack.
const (
	skbLen     = 0
	skbProto   = 16
	skbTagged  = 20
	stackKey   = -40 // tupleKey
	stackIndex = -48
	stackEnd   = -52 // where the packet ends, from its network header; 0 for not known (BIG TCP)
)

const noMap = -1

// assembly makes eBPF of a program.
type assembly struct {
	snap                  int
	tuples, walks, counts int // file descriptors; walks may be noMap
	out                   asm.Instructions
	label                 string // of the next instruction
}

var loadSizes = map[int]asm.Size{1: asm.Byte, 2: asm.Half, 4: asm.Word}

func (a *assembly) add(ins ...asm.Instruction) {
	if a.label != "" {
		ins[0] = ins[0].WithSymbol(a.label)
		a.label = ""
	}
	a.out = append(a.out, ins...)
}

// here puts a label in front of the next instruction.
func (a *assembly) here(label string) {
	if a.label != "" {
		a.add(asm.Mov.Reg(asm.R0, asm.R0)) // two labels at one place
	}
	a.label = label
}

// table calls a helper for the tuple, or whatever stands on the stack.
func (a *assembly) table(call asm.BuiltinFunc, fd int, key int32) {
	a.add(asm.LoadMapPtr(asm.R1, fd), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key), call.Call())
}

func (a *assembly) assemble(ops []op) asm.Instructions {
	end := func(verdict int32) { a.add(asm.Mov.Imm32(asm.R0, verdict), asm.Return()) }
	a.add(asm.Mov.Reg(regCtx, asm.R1), asm.Mov.Imm(regX, 0))
	for _, o := range ops {
		switch o.code {
		case opHere:
			a.here(o.label)
		case opProto:
			a.add(asm.LoadMem(asm.R0, regCtx, skbProto, asm.Word), asm.HostTo(asm.BE, asm.R0, asm.Half))
		case opTagged:
			a.add(asm.LoadMem(asm.R0, regCtx, skbTagged, asm.Word))
		case opLoad:
			a.add(asm.LoadAbs(int32(o.k), loadSizes[o.size]))
		case opLoadX:
			a.add(asm.LoadInd(asm.R0, regX, int32(o.k), loadSizes[o.size]))
		case opHeader:
			a.add(asm.LoadAbs(0, asm.Byte), asm.And.Imm(asm.R0, 0x0f), asm.LSh.Imm(asm.R0, 2), asm.Mov.Reg(regX, asm.R0))
		case opSetX:
			a.add(asm.Mov.Imm(regX, int32(o.k)))
		case opAnd:
			a.add(asm.And.Imm32(asm.R0, int32(o.k)))
		case opEqual:
			a.add(asm.JEq.Imm32(asm.R0, int32(o.k), o.label))
		case opAnySet:
			a.add(asm.JSet.Imm32(asm.R0, int32(o.k), o.label))
		case opGoto:
			a.add(asm.Ja.Label(o.label))
		case opPass:
			end(int32(a.snap))
		case opDrop:
			end(0)
		case opWithheld:
			a.key(o.k)
			a.add(asm.Ja.Label("tcp"))
		}
	}
	a.tcp()
	return a.out
}

// key builds the key of a TCP segment at X whose addresses are at src, four bytes
// each if that is 12, IPv4, else sixteen; and where the packet ends.
func (a *assembly) key(src uint32) {
	word := func(i int) int16 { return int16(stackKey + 4*i) }
	if src == 12 {
		for _, i := range []int{0, 4} {
			a.add(
				asm.StoreImm(asm.RFP, word(i), 0, asm.Word), asm.StoreImm(asm.RFP, word(i+1), 0, asm.Word),
				asm.StoreImm(asm.RFP, word(i+2), 0xffff, asm.Word),
				asm.LoadAbs(int32(src)+int32(i), asm.Word), asm.StoreMem(asm.RFP, word(i+3), asm.R0, asm.Word))
		}
		a.add(asm.LoadAbs(2, asm.Half)) // total length
	} else {
		for i := range 8 {
			a.add(asm.LoadAbs(int32(src)+int32(4*i), asm.Word), asm.StoreMem(asm.RFP, word(i), asm.R0, asm.Word))
		}
		a.add(asm.LoadAbs(4, asm.Half), asm.JEq.Imm(asm.R0, 0, "giant"), asm.Add.Imm(asm.R0, 40)) // payload length
		a.here("giant")
	}
	a.add(
		asm.StoreMem(asm.RFP, stackEnd, asm.R0, asm.Word),
		asm.LoadInd(asm.R0, regX, 0, asm.Word), asm.StoreMem(asm.RFP, word(8), asm.R0, asm.Word),
		asm.StoreImm(asm.RFP, word(9), 0, asm.Word))
}

// tcp ends the program for a TCP segment at X whose key is made.
func (a *assembly) tcp() {
	a.here("tcp")
	a.add(asm.LoadInd(asm.R0, regX, 13, asm.Byte))
	a.add(asm.JSet.Imm(asm.R0, capture.FlagSYN, "syn"))
	last := "pass"
	if a.walks != noMap {
		last = "last"
	}
	a.add(asm.JSet.Imm(asm.R0, capture.FlagFIN|capture.FlagRST, last))
	a.table(asm.FnMapLookupElem, a.tuples, stackKey)
	a.add(asm.JNE.Imm(asm.R0, 0, "held"))
	if a.walks != noMap {
		a.walk()
	} else {
		a.add(asm.Ja.Label("pass"))
	}

	a.here("held")
	a.add(asm.Mov.Reg(asm.R8, asm.R0))
	a.here("keep") // unless that at R8 has had no sign of life for long
	a.add(
		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R1, asm.R8, 0, asm.DWord),
		asm.LoadImm(asm.R2, signOfLife, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.JLE.Reg(asm.R0, asm.R1, "count"),
		asm.StoreMem(asm.R8, 0, asm.R0, asm.DWord),
		asm.Ja.Label("pass"))
	a.here("count")
	a.add(asm.StoreImm(asm.RFP, stackIndex, 0, asm.Word))
	a.table(asm.FnMapLookupElem, a.counts, stackIndex)
	a.add(
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.LoadMem(asm.R1, regCtx, skbLen, asm.Word),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 8),
		asm.Ja.Label("drop"))

	a.here("syn")
	a.table(asm.FnMapDeleteElem, a.tuples, stackKey)
	if a.walks != noMap {
		a.walkEnds()
	}
	a.add(asm.Ja.Label("pass"))
}
