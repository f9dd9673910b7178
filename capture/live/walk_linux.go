package live

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"whoasked/capture"
)

// The filter walks the records of a direction of which nothing but the types of
// records matters, and keeps segments that hold nothing but application data.
//
// Whoever reads the ring is behind: where it knows that a record begins, the
// packet has passed the filter long ago. So the filter looks for something like a
// record header itself (WalkSeeks), walks on from there (WalkFollows), and keeps
// nothing until it was told that one of the headers it came to is one. Then it
// drops (WalkKeeps) until it meets what it cannot account for: a record of another
// type, no record header, or one that stands in a segment it has not seen. That
// segment passes, and all behind it (WalkLapsed). What it drops, always, ends at or
// before the next header, as it knows it, and holds no header but those of
// application data. A header cut by the end of a segment passes up to there (WalkCuts),
// and the segment with the rest of it decides.

const (
	// maxWalks bounds the directions whose records are walked at one time. Two
	// entries stand for each: where it is, and whether it may keep anything.
	maxWalks = 1 << 15
	// maxHeaders bounds the records walked in one segment.
	maxHeaders = 64
	// maxChunks bounds, in chunks of 64 bytes, how far a segment is searched.
	maxChunks = 32
	chunkLen  = 64
	headerLen = 5
	maxRecord = 1<<14 + 2048 // as in package parse
)

// walkValue is where the walk of a tuple is.
type walkValue struct {
	Passed uint64 // when a segment last passed that could have been kept, as for other tuples
	State  uint64 // mode, 8 bits; run, 24 bits; sequence number of the next header, 32 bits
	Ack    uint32 // highest acknowledgment of segments kept
	Quiet  uint32 // 1: segments without payload are kept
	Part   uint32 // the bytes of a cut header
	Cut    uint32 // how many of them
}

// Offsets in walkValue.
const (
	walkState = 8
	walkAck   = 16
	walkQuiet = 20
	walkPart  = 24
	walkCut   = 28
	walkSize  = 32
)

// On the stack.
const (
	stackAck   = -56  // acknowledgment number
	stackBase  = -60  // sequence number less offset
	stackPay   = -64  // where payload begins
	stackValue = -72  // pointer to walkValue
	stackState = -80  // walkValue.State as found
	stackType  = -84  // of the record at hand
	stackChunk = -160 // bytes that are searched
)

const (
	modeShift = 56
	runShift  = 32
	runMask   = 1<<24 - 1
	stateRest = 1<<modeShift - 1 // but for the mode
)

func newWalks() (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "whoasked_walks", Type: ebpf.Hash, KeySize: 40, ValueSize: walkSize, MaxEntries: 2 * maxWalks,
		Flags: 1, // BPF_F_NO_PREALLOC
	})
	if err != nil {
		return nil, fmt.Errorf("make a table of records: %w", err)
	}
	return m, nil
}

// permission is the key beside that of a tuple under which State holds the run that
// may keep segments.
func permission(t *capture.Tuple) tupleKey {
	k := keyOf(t)
	k[9] = 1
	return k
}

// Seek implements [capture.Walker].
func (w *withheld) Seek(t *capture.Tuple, quiet bool, ack uint32) error {
	_ = w.walks.Delete(permission(t))
	return w.begin(t, capture.WalkSeeks, quiet, ack)
}

// Quiet implements [capture.Walker].
func (w *withheld) Quiet(t *capture.Tuple, ack uint32) error {
	return w.begin(t, capture.WalkRests, true, ack)
}

func (w *withheld) begin(t *capture.Tuple, mode capture.WalkMode, quiet bool, ack uint32) error {
	v := walkValue{State: uint64(mode) << modeShift, Ack: ack}
	if quiet {
		v.Quiet = 1
	}
	return w.walks.Update(keyOf(t), &v, ebpf.UpdateAny)
}

// Permit implements [capture.Walker].
func (w *withheld) Permit(t *capture.Tuple, run uint32) error {
	return w.walks.Update(permission(t), &walkValue{State: uint64(run)}, ebpf.UpdateAny)
}

// Stand implements [capture.Walker].
func (w *withheld) Stand(t *capture.Tuple) (capture.WalkStand, bool) {
	var v, again walkValue
	k := keyOf(t)
	if w.walks.Lookup(k, &v) != nil {
		return capture.WalkStand{}, false
	}
	// Only single bytes are sure to be copied whole, and the filter may be writing.
	for range 8 {
		if w.walks.Lookup(k, &again) != nil {
			return capture.WalkStand{}, false
		}
		if again.State == v.State {
			break
		}
		v = again
	}
	return capture.WalkStand{
		Mode: capture.WalkMode(v.State >> modeShift), Run: uint32(v.State >> runShift & runMask), Next: uint32(v.State), Ack: v.Ack,
	}, true
}

// Forget implements [capture.Walker].
func (w *withheld) Forget(t *capture.Tuple) {
	_ = w.walks.Delete(keyOf(t)) // it may not be there
	_ = w.walks.Delete(permission(t))
}

func mode(m capture.WalkMode) int32 { return int32(m) }

// setMode stores the state in reg, whose mode is 0, with another one.
func (a *assembly) setMode(value, reg asm.Register, m capture.WalkMode) {
	a.add(
		asm.LoadImm(asm.R5, int64(m)<<modeShift, asm.DWord), asm.Or.Reg(reg, asm.R5),
		asm.StoreMem(value, walkState, reg, asm.DWord))
}

// walk ends the program for a segment of which nothing is kept but bulk.
func (a *assembly) walk() {
	a.table(asm.FnMapLookupElem, a.walks, stackKey)
	a.add(
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.StoreMem(asm.RFP, stackValue, asm.R0, asm.DWord),
		asm.LoadInd(asm.R0, regX, 8, asm.Word), asm.StoreMem(asm.RFP, stackAck, asm.R0, asm.Word),
		asm.LoadInd(asm.R0, regX, 12, asm.Byte), asm.RSh.Imm(asm.R0, 4), asm.LSh.Imm(asm.R0, 2),
		asm.Mov.Reg(asm.R9, regX), asm.Add.Reg(asm.R9, asm.R0),
		asm.LoadMem(asm.R1, asm.RFP, stackEnd, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "pass"),
		asm.JGE.Reg(asm.R9, asm.R1, "empty"),
		asm.StoreMem(asm.RFP, stackPay, asm.R9, asm.Word),
		asm.LoadInd(asm.R0, regX, 4, asm.Word), // sequence number
		asm.Mov.Reg(asm.R1, asm.R0), asm.Sub.Reg32(asm.R1, asm.R9),
		asm.StoreMem(asm.RFP, stackBase, asm.R1, asm.Word),
		asm.LoadMem(asm.R2, asm.R8, walkState, asm.DWord),
		asm.StoreMem(asm.RFP, stackState, asm.R2, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.R2), asm.RSh.Imm(asm.R3, modeShift),
		asm.JEq.Imm(asm.R3, mode(capture.WalkSeeks), "seek"),
		asm.JLT.Imm(asm.R3, mode(capture.WalkFollows), "pass"),
		asm.JGT.Imm(asm.R3, mode(capture.WalkCuts), "pass"),

		asm.LoadMem(asm.R4, asm.RFP, stackEnd, asm.Word),
		asm.Add.Reg32(asm.R4, asm.R1), asm.Sub.Reg32(asm.R4, asm.R2),
		asm.JSLE.Imm32(asm.R4, 0, "known"), // it ends at or before the next header
		asm.Sub.Reg32(asm.R0, asm.R2),
		asm.JSGT.Imm32(asm.R0, 0, "ahead"), // it begins behind it
		asm.Mov.Reg(asm.R7, asm.R2), asm.Sub.Reg32(asm.R7, asm.R1),
		asm.Mov.Imm(asm.R8, 0),
		asm.Ja.Label("record"))
	a.completes()
	a.records()
	a.cuts()
	a.through()
	a.fails()
	a.seeks()

	a.here("known")
	a.add(
		asm.JEq.Imm(asm.R3, mode(capture.WalkFollows), "pass"),
		asm.Ja.Label("quiet"))
	a.here("empty")
	a.add(
		asm.LoadMem(asm.R1, asm.R8, walkQuiet, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "pass"))
	a.here("quiet") // the segment is kept; its acknowledgment is not lost
	a.add(
		asm.LoadMem(asm.R0, asm.RFP, stackAck, asm.Word),
		asm.LoadMem(asm.R1, asm.R8, walkAck, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R0), asm.Sub.Reg32(asm.R2, asm.R1),
		asm.JSLE.Imm32(asm.R2, 0, "keep"),
		asm.StoreMem(asm.R8, walkAck, asm.R0, asm.Word),
		asm.Ja.Label("keep"))
	a.lasts()
}

// completes reads a header of which an earlier segment had the first bytes. At R0 is
// by how much this one begins behind the header, at R3 the mode, at R8 the value.
func (a *assembly) completes() {
	a.here("ahead")
	a.add(
		asm.JNE.Imm(asm.R3, mode(capture.WalkCuts), "fail"),
		asm.LoadMem(asm.R5, asm.R8, walkCut, asm.Word),
		asm.JNE.Reg32(asm.R0, asm.R5, "fail"),
		asm.Mov.Reg(asm.R7, asm.R9),
		asm.LoadMem(asm.R1, asm.RFP, stackEnd, asm.Word), asm.Sub.Reg(asm.R1, asm.R7),
		asm.JLT.Imm(asm.R1, headerLen-1, "fail"),
		asm.LoadInd(asm.R0, asm.R7, 0, asm.Word),
		asm.LoadMem(asm.R1, asm.R8, walkCut, asm.Word),
		asm.LoadMem(asm.R2, asm.R8, walkPart, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "fail"), asm.JGT.Imm(asm.R1, headerLen-1, "fail"),
		asm.Sub.Reg(asm.R7, asm.R1), // where the header would begin
		asm.Mov.Imm(asm.R4, headerLen), asm.Sub.Reg(asm.R4, asm.R1), asm.LSh.Imm(asm.R4, 3),
		asm.LSh.Reg(asm.R2, asm.R4),
		asm.Mov.Imm(asm.R5, 32), asm.Sub.Reg(asm.R5, asm.R4),
		asm.RSh.Reg(asm.R0, asm.R5),
		asm.Or.Reg(asm.R0, asm.R2),
		asm.Mov.Imm(asm.R8, 0),
		asm.Ja.Label("header"))
}

// records walks from the header at R7; R8 counts headers.
func (a *assembly) records() {
	a.here("record")
	a.add(
		asm.LoadMem(asm.R9, asm.RFP, stackEnd, asm.Word),
		asm.JGE.Reg(asm.R7, asm.R9, "through"),
		asm.JGE.Imm(asm.R8, maxHeaders, "fail"),
		asm.Add.Imm(asm.R8, 1),
		asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, headerLen),
		asm.JGT.Reg(asm.R1, asm.R9, "cut"),
		asm.LoadInd(asm.R0, asm.R7, 0, asm.Byte), asm.StoreMem(asm.RFP, stackType, asm.R0, asm.Word),
		asm.LoadInd(asm.R0, asm.R7, 1, asm.Word),
		asm.LoadMem(asm.R1, asm.RFP, stackType, asm.Word), asm.LSh.Imm(asm.R1, 32),
		asm.Or.Reg(asm.R0, asm.R1))
	a.here("header") // five bytes at R0
	a.add(
		asm.Mov.Reg(asm.R1, asm.R0), asm.RSh.Imm(asm.R1, 32),
		asm.JNE.Imm(asm.R1, applicationData, "fail"),
		asm.Mov.Reg(asm.R1, asm.R0), asm.RSh.Imm(asm.R1, 24), asm.And.Imm(asm.R1, 0xff),
		asm.JNE.Imm(asm.R1, 3, "fail"),
		asm.Mov.Reg(asm.R1, asm.R0), asm.RSh.Imm(asm.R1, 16), asm.And.Imm(asm.R1, 0xff),
		asm.JGT.Imm(asm.R1, 4, "fail"),
		asm.And.Imm(asm.R0, 0xffff),
		asm.JGT.Imm(asm.R0, maxRecord, "fail"),
		asm.Add.Reg(asm.R7, asm.R0), asm.Add.Imm(asm.R7, headerLen),
		asm.Ja.Label("record"))
}

const applicationData = 23

// cuts remembers the first bytes of a header, at R7, that the end of the segment, R9,
// cuts. While nothing is kept yet that is not worth it.
func (a *assembly) cuts() {
	a.here("cut")
	a.add(
		asm.LoadMem(asm.R2, asm.RFP, stackState, asm.DWord), asm.RSh.Imm(asm.R2, modeShift),
		asm.JLT.Imm(asm.R2, mode(capture.WalkKeeps), "fail"),
		asm.LoadMem(asm.R2, asm.RFP, stackPay, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R9), asm.Sub.Reg(asm.R1, asm.R2),
		asm.JLT.Imm(asm.R1, headerLen-1, "fail"),
		asm.LoadInd(asm.R0, asm.R7, 0, asm.Byte),
		asm.JNE.Imm(asm.R0, applicationData, "fail"),
		asm.LoadInd(asm.R0, asm.R9, -4, asm.Word), // the last bytes of the segment
		asm.Mov.Reg(asm.R1, asm.R9), asm.Sub.Reg(asm.R1, asm.R7),
		asm.Mov.Reg(asm.R2, asm.R1), asm.LSh.Imm(asm.R2, 3),
		asm.Mov.Imm(asm.R3, 1), asm.LSh.Reg(asm.R3, asm.R2), asm.Sub.Imm(asm.R3, 1),
		asm.And.Reg(asm.R0, asm.R3),
		asm.LoadMem(asm.R8, asm.RFP, stackValue, asm.DWord),
		asm.StoreMem(asm.R8, walkPart, asm.R0, asm.Word),
		asm.StoreMem(asm.R8, walkCut, asm.R1, asm.Word))
	a.advance()
	a.setMode(asm.R8, asm.R4, capture.WalkCuts)
	a.add(asm.Ja.Label("pass"))
}

// advance makes at R4 the state with its header at R7 and without its mode, and at R3
// that mode.
func (a *assembly) advance() {
	a.add(
		asm.LoadMem(asm.R1, asm.RFP, stackBase, asm.Word), asm.Add.Reg32(asm.R1, asm.R7),
		asm.LoadMem(asm.R4, asm.RFP, stackState, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.R4), asm.RSh.Imm(asm.R3, modeShift),
		asm.RSh.Imm(asm.R4, runShift), asm.And.Imm(asm.R4, runMask), asm.LSh.Imm(asm.R4, runShift),
		asm.Or.Reg(asm.R4, asm.R1))
}

// through takes note that all records of the segment are bulk, the next one being
// at R7.
func (a *assembly) through() {
	a.here("through")
	a.add(asm.LoadMem(asm.R8, asm.RFP, stackValue, asm.DWord))
	a.advance()
	a.add(
		asm.JEq.Imm(asm.R3, mode(capture.WalkSeeks), "found"),
		asm.JEq.Imm(asm.R3, mode(capture.WalkFollows), "follow"))
	a.setMode(asm.R8, asm.R4, capture.WalkKeeps)
	a.add(asm.Ja.Label("quiet"))

	a.here("found") // a new run
	a.add(
		asm.LoadImm(asm.R5, 1<<runShift, asm.DWord), asm.Add.Reg(asm.R4, asm.R5),
		asm.LSh.Imm(asm.R4, 64-modeShift), asm.RSh.Imm(asm.R4, 64-modeShift))
	a.setMode(asm.R8, asm.R4, capture.WalkFollows)
	a.add(asm.Ja.Label("pass"))

	a.here("follow")
	a.add(asm.Mov.Reg(asm.R9, asm.R4))
	a.setMode(asm.R8, asm.R4, capture.WalkFollows)
	a.add(asm.StoreImm(asm.RFP, stackKey+36, 1, asm.Word))
	a.table(asm.FnMapLookupElem, a.walks, stackKey)
	a.add(
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, walkState, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R9), asm.RSh.Imm(asm.R2, runShift),
		asm.JNE.Reg(asm.R1, asm.R2, "pass"))
	a.setMode(asm.R8, asm.R9, capture.WalkKeeps)
	a.add(asm.Ja.Label("quiet"))
}

// fails gives up the run for what cannot be accounted for. The next header is still
// where it was when the segment came.
func (a *assembly) fails() {
	a.here("fail")
	a.add(
		asm.LoadMem(asm.R8, asm.RFP, stackValue, asm.DWord),
		asm.LoadMem(asm.R4, asm.RFP, stackState, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.R4), asm.RSh.Imm(asm.R3, modeShift),
		asm.LSh.Imm(asm.R4, 64-modeShift), asm.RSh.Imm(asm.R4, 64-modeShift),
		asm.JGT.Imm(asm.R3, mode(capture.WalkFollows), "lapse"))
	a.setMode(asm.R8, asm.R4, capture.WalkSeeks)
	a.add(asm.Ja.Label("pass"))
	a.here("lapse")
	a.setMode(asm.R8, asm.R4, capture.WalkLapsed)
	a.add(asm.Ja.Label("pass"))
}

// seeks looks for a header of application data in the segment.
func (a *assembly) seeks() {
	a.here("seek")
	a.add(asm.Mov.Reg(asm.R7, asm.R9), asm.Mov.Imm(asm.R8, 0))
	a.here("chunk")
	a.add(
		asm.LoadMem(asm.R9, asm.RFP, stackEnd, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, chunkLen+headerLen-1),
		asm.JGT.Reg(asm.R1, asm.R9, "pass"),
		asm.JGE.Imm(asm.R8, maxChunks, "pass"),
		asm.Add.Imm(asm.R8, 1),
		asm.Mov.Reg(asm.R1, regCtx), asm.Mov.Reg(asm.R2, asm.R7),
		asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, stackChunk), asm.Mov.Imm(asm.R4, chunkLen+headerLen-1),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "pass"))
	for i := range int16(chunkLen) {
		no := fmt.Sprint("at", i)
		at := func(n int16) asm.Instruction { return asm.LoadMem(asm.R0, asm.RFP, stackChunk+i+n, asm.Byte) }
		a.add(
			at(0), asm.JNE.Imm(asm.R0, applicationData, no),
			at(1), asm.JNE.Imm(asm.R0, 3, no),
			at(2), asm.JGT.Imm(asm.R0, 4, no),
			at(3), asm.JGT.Imm(asm.R0, maxRecord>>8, no),
			asm.Add.Imm(asm.R7, int32(i)), asm.Mov.Imm(asm.R8, 0), asm.Ja.Label("record"))
		a.here(no)
	}
	a.add(asm.Add.Imm(asm.R7, chunkLen), asm.Ja.Label("chunk"))
}

// lasts ends the walk of a side that sends FIN or RST: what comes late passes too.
func (a *assembly) lasts() {
	a.here("last")
	a.table(asm.FnMapLookupElem, a.walks, stackKey)
	a.add(
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R4, asm.R0, walkState, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.R4), asm.RSh.Imm(asm.R3, modeShift),
		asm.JLT.Imm(asm.R3, mode(capture.WalkKeeps), "pass"), asm.JGT.Imm(asm.R3, mode(capture.WalkCuts), "pass"),
		asm.LSh.Imm(asm.R4, 64-modeShift), asm.RSh.Imm(asm.R4, 64-modeShift))
	a.setMode(asm.R0, asm.R4, capture.WalkLapsed)
	a.add(asm.Ja.Label("pass"))
}

// walkEnds ends the walk of a tuple that another connection begins to use.
func (a *assembly) walkEnds() {
	a.table(asm.FnMapLookupElem, a.walks, stackKey)
	a.add(
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.R0, walkQuiet, asm.R1, asm.Word),
		asm.LoadMem(asm.R4, asm.R0, walkState, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.R4), asm.RSh.Imm(asm.R3, modeShift),
		asm.JEq.Imm(asm.R3, mode(capture.WalkLapsed), "pass"),
		asm.LSh.Imm(asm.R4, 64-modeShift), asm.RSh.Imm(asm.R4, 64-modeShift))
	a.setMode(asm.R0, asm.R4, capture.WalkEnded)
}
