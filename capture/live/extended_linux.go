package live

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"

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

// withheld is what the kernel keeps to itself, by tuple.
type withheld struct {
	program *ebpf.Program
	tuples  *ebpf.Map // tupleKey to the time when a segment last passed: all are kept
	walks   *ebpf.Map // tupleKey to walkValue: bulk is kept; nil where the kernel cannot walk records
	counts  *ebpf.Map // 0: packets kept, 1: their bytes
}

// extended loads a filter as an eBPF program with its tables. A kernel before 5.3
// refuses loops, and walks no records.
func extended(ops []op, snap int) (*withheld, error) {
	w, err := load(ops, snap, true)
	if err != nil {
		w, err = load(ops, snap, false)
	}
	return w, err
}

func load(ops []op, snap int, walk bool) (w *withheld, err error) {
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
	a := assembly{snap: snap, tuples: w.tuples.FD(), counts: w.counts.FD(), walks: noMap}
	if walk {
		if w.walks, err = newWalks(); err != nil {
			return w, err
		}
		a.walks = w.walks.FD()
	}
	w.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "whoasked", Type: ebpf.SocketFilter, License: "Apache-2.0", Instructions: a.assemble(ops),
	})
	if err != nil {
		return w, fmt.Errorf("load the eBPF filter: %w", err)
	}
	return w, nil
}

func (w *withheld) close() {
	for _, m := range []*ebpf.Map{w.tuples, w.walks, w.counts} {
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
