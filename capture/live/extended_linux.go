package live

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"whoasked/capture"
)

const (
	// maxWithheld bounds the tuples withheld at one time; the least recently
	// used one is forgotten, and its segments come again.
	maxWithheld = 1 << 16
	// signOfLife is how often a segment of a withheld tuple passes, so that its
	// connection is not taken for idle, in nanoseconds.
	signOfLife = 60e9
)

// tupleKey is a tuple as the eBPF program builds it on its stack: source and
// destination as words in host order, IPv4 mapped into IPv6, and both ports.
type tupleKey [10]uint32

func keyOf(t *capture.Tuple) (k tupleKey) {
	for i := range 4 {
		k[i] = binary.BigEndian.Uint32(t.Src[4*i:])
		k[4+i] = binary.BigEndian.Uint32(t.Dst[4*i:])
	}
	k[8] = uint32(t.SrcPort)<<16 | uint32(t.DstPort)
	return k
}

// withheld is the table of tuples that the kernel keeps to itself.
type withheld struct {
	program *ebpf.Program
	tuples  *ebpf.Map // tupleKey to the time when a segment last passed
	counts  *ebpf.Map // 0: packets kept, 1: their bytes
}

// extended loads a filter as an eBPF program with its table.
func extended(ops []op, snap int) (w *withheld, err error) {
	w = &withheld{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	w.tuples, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "whoasked_tuples", Type: ebpf.LRUHash, KeySize: 40, ValueSize: 8, MaxEntries: maxWithheld,
	})
	if err != nil {
		return w, fmt.Errorf("make a table of connections: %w", err)
	}
	w.counts, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "whoasked_counts", Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: 1,
	})
	if err != nil {
		return w, fmt.Errorf("make a table of counts: %w", err)
	}
	w.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "whoasked", Type: ebpf.SocketFilter, License: "Apache-2.0",
		Instructions: assemble(ops, snap, w.tuples.FD(), w.counts.FD()),
	})
	if err != nil {
		return w, fmt.Errorf("load the eBPF filter: %w", err)
	}
	return w, nil
}

func (w *withheld) close() {
	for _, m := range []*ebpf.Map{w.tuples, w.counts} {
		if m != nil {
			_ = m.Close()
		}
	}
	if w.program != nil {
		_ = w.program.Close()
	}
}

// set has a tuple withheld, or no more.
func (w *withheld) set(t *capture.Tuple, on bool) error {
	k := keyOf(t)
	if on {
		return w.tuples.Update(k, uint64(0), ebpf.UpdateAny)
	}
	_ = w.tuples.Delete(k) // it may have been forgotten
	return nil
}

// kept returns what was withheld so far.
func (w *withheld) kept() (packets, bytes int64) {
	var v [2]uint64
	if err := w.counts.Lookup(uint32(0), &v); err != nil {
		return 0, 0
	}
	return int64(v[0]), int64(v[1])
}

// Registers that outlive helper calls: the context, and X of a program.
const (
	regCtx = asm.R6
	regX   = asm.R7
)

// Offsets in struct __sk_buff.
const (
	skbLen     = 0
	skbProto   = 16
	skbTagged  = 20
	stackKey   = -40
	stackIndex = -48
)

var loadSizes = map[int]asm.Size{1: asm.Byte, 2: asm.Half, 4: asm.Word}

// assemble makes eBPF of a program.
func assemble(ops []op, snap, tuples, counts int) asm.Instructions {
	out := asm.Instructions{asm.Mov.Reg(regCtx, asm.R1), asm.Mov.Imm(regX, 0)}
	label := ""
	add := func(ins ...asm.Instruction) {
		if label != "" {
			ins[0] = ins[0].WithSymbol(label)
			label = ""
		}
		out = append(out, ins...)
	}
	end := func(verdict int32) { add(asm.Mov.Imm32(asm.R0, verdict), asm.Return()) }
	for i, o := range ops {
		switch o.code {
		case opHere:
			if label != "" {
				add(asm.Mov.Reg(asm.R0, asm.R0)) // two labels at one place
			}
			label = o.label
		case opProto:
			add(asm.LoadMem(asm.R0, regCtx, skbProto, asm.Word), asm.HostTo(asm.BE, asm.R0, asm.Half))
		case opTagged:
			add(asm.LoadMem(asm.R0, regCtx, skbTagged, asm.Word))
		case opLoad:
			add(asm.LoadAbs(int32(o.k), loadSizes[o.size]))
		case opLoadX:
			add(asm.LoadInd(asm.R0, regX, int32(o.k), loadSizes[o.size]))
		case opHeader:
			add(asm.LoadAbs(0, asm.Byte), asm.And.Imm(asm.R0, 0x0f), asm.LSh.Imm(asm.R0, 2), asm.Mov.Reg(regX, asm.R0))
		case opSetX:
			add(asm.Mov.Imm(regX, int32(o.k)))
		case opAnd:
			add(asm.And.Imm32(asm.R0, int32(o.k)))
		case opEqual:
			add(asm.JEq.Imm32(asm.R0, int32(o.k), o.label))
		case opAnySet:
			add(asm.JSet.Imm32(asm.R0, int32(o.k), o.label))
		case opGoto:
			add(asm.Ja.Label(o.label))
		case opPass:
			end(int32(snap))
		case opDrop:
			end(0)
		case opWithheld:
			add(lookUp(o.k, fmt.Sprint("w", i, "_"), tuples, counts)...)
		}
	}
	return out
}

// lookUp ends the program for a TCP segment at X whose addresses are at src:
// four bytes each if that is 12, IPv4, else sixteen.
func lookUp(src uint32, prefix string, tuples, counts int) asm.Instructions {
	var ins asm.Instructions
	word := func(i int) int16 { return int16(stackKey + 4*i) }
	if src == 12 {
		for _, i := range []int{0, 4} {
			ins = append(ins,
				asm.StoreImm(asm.RFP, word(i), 0, asm.Word), asm.StoreImm(asm.RFP, word(i+1), 0, asm.Word),
				asm.StoreImm(asm.RFP, word(i+2), 0xffff, asm.Word),
				asm.LoadAbs(int32(src)+int32(i), asm.Word), asm.StoreMem(asm.RFP, word(i+3), asm.R0, asm.Word))
		}
	} else {
		for i := range 8 {
			ins = append(ins, asm.LoadAbs(int32(src)+int32(4*i), asm.Word), asm.StoreMem(asm.RFP, word(i), asm.R0, asm.Word))
		}
	}
	table := func(fd int, key int32) asm.Instructions {
		return asm.Instructions{asm.LoadMapPtr(asm.R1, fd), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key)}
	}
	ins = append(ins,
		asm.LoadInd(asm.R0, regX, 0, asm.Word), asm.StoreMem(asm.RFP, word(8), asm.R0, asm.Word),
		asm.StoreImm(asm.RFP, word(9), 0, asm.Word),
		asm.LoadInd(asm.R0, regX, 13, asm.Byte),
		asm.JSet.Imm(asm.R0, capture.FlagSYN, prefix+"syn"),
		asm.JSet.Imm(asm.R0, capture.FlagFIN|capture.FlagRST, "pass"))
	ins = append(ins, table(tuples, stackKey)...)
	ins = append(ins,
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R1, asm.R8, 0, asm.DWord),
		asm.LoadImm(asm.R2, signOfLife, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.JLE.Reg(asm.R0, asm.R1, prefix+"keep"),
		asm.StoreMem(asm.R8, 0, asm.R0, asm.DWord),
		asm.Ja.Label("pass"),
		asm.StoreImm(asm.RFP, stackIndex, 0, asm.Word).WithSymbol(prefix+"keep"))
	ins = append(ins, table(counts, stackIndex)...)
	ins = append(ins,
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.LoadMem(asm.R1, regCtx, skbLen, asm.Word),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 8),
		asm.Ja.Label("drop"))
	syn := table(tuples, stackKey)
	syn[0] = syn[0].WithSymbol(prefix + "syn")
	ins = append(ins, syn...)
	return append(ins, asm.FnMapDeleteElem.Call(), asm.Ja.Label("pass"))
}
