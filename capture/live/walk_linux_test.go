package live

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// judged is what becomes of a conversation.
type judged struct {
	attribute.Verdict
	hidden int
}

// reader reads what passes, as watch does.
type reader struct {
	tracker *capture.Tracker
	conns   map[int]*parse.Conn
	parser  *parse.Parser
	out     []judged
	handed  int
	now     int64
}

func newReader(w capture.Walker) *reader {
	r := &reader{conns: map[int]*parse.Conn{}, parser: parse.NewParser(parse.Options{}), now: 1e18}
	r.tracker = capture.NewTracker(capture.Limits{}, nil, func(ch *parse.Chunk) bool {
		c := r.conns[ch.Conn]
		if c == nil {
			c = r.parser.NewConn()
			r.conns[ch.Conn] = c
		}
		r.handed += len(ch.Data)
		c.Feed(*ch)
		h := c.Handshake()
		if ch.End != parse.Open {
			r.out = append(r.out, judged{attribute.Judge(h), h.Sides[0].Hidden + h.Sides[1].Hidden + h.Sides[0].Desync + h.Sides[1].Desync})
			delete(r.conns, ch.Conn)
		} else if rest, ok := c.Bulk(ch.From); ok && len(ch.Data) > 0 && h.Sides[ch.From].AppBytes > 20_000 {
			r.tracker.Follow(ch.Conn, ch.From, rest)
		}
		return true
	})
	if w != nil {
		r.tracker.Walk(w, nil)
	}
	return r
}

func (r *reader) segment(s *capture.Segment) {
	r.now += int64(20 * time.Microsecond)
	seg := *s
	r.tracker.Segment(r.now, &seg)
}

// filter is a kernel that walks.
type filter interface {
	capture.Walker
	segment(s *capture.Segment) bool
}

// bothKernels runs the eBPF program beside the model and demands the same of it.
type bothKernels struct {
	*modelKernel
	t    *testing.T
	real *withheld
	raw  []byte // of the segment at hand
}

func (b *bothKernels) each(err error, do func() error) error {
	if again := do(); (again == nil) != (err == nil) {
		b.t.Fatalf("model %v, kernel %v", err, again)
	}
	return err
}

func (b *bothKernels) Seek(t *capture.Tuple, quiet bool, ack uint32) error {
	return b.each(b.modelKernel.Seek(t, quiet, ack), func() error { return b.real.Seek(t, quiet, ack) })
}

func (b *bothKernels) Quiet(t *capture.Tuple, ack uint32) error {
	return b.each(b.modelKernel.Quiet(t, ack), func() error { return b.real.Quiet(t, ack) })
}

func (b *bothKernels) Permit(t *capture.Tuple, run uint32) error {
	return b.each(b.modelKernel.Permit(t, run), func() error { return b.real.Permit(t, run) })
}

func (b *bothKernels) Forget(t *capture.Tuple) {
	b.modelKernel.Forget(t)
	b.real.Forget(t)
}

func (b *bothKernels) segment(s *capture.Segment) bool {
	want := b.modelKernel.segment(s)
	proto := uint16(0x0800)
	if b.raw[0]>>4 == 6 {
		proto = 0x86dd
	}
	if got := runExtended(b.t, b.real, frame{proto, b.raw}) > 0; got != want {
		b.t.Fatalf("a segment of %d bytes, flags %#x: model passes %t, kernel %t; %+v", len(s.Payload), s.Flags, want, got, b.walks[s.Tuple])
	}
	stand, ok := b.modelKernel.Stand(&s.Tuple)
	if got, there := b.real.Stand(&s.Tuple); there != ok || got != stand {
		b.t.Fatalf("behind a segment of %d bytes, flags %#x, at %d: model %+v %t, kernel %+v %t", len(s.Payload), s.Flags, s.Seq, stand, ok, got, there)
	}
	return want
}

// trouble is what happens to packets on their way.
type trouble struct {
	name                          string
	reorder, repeat, unseen, ring int // one of so many, 0 for none
	asRead                        bool
}

var troubles = []trouble{
	{name: "none", asRead: true},
	{name: "repeated", repeat: 20, asRead: true},
	{name: "out of order", reorder: 50},
	{name: "not captured", unseen: 200},
	{name: "ring full", ring: 100},
	{name: "all", reorder: 60, repeat: 60, unseen: 200, ring: 200},
}

// happen does it to packets.
func (tr *trouble) happen(rng *rand.Rand, in []captured) []captured {
	one := func(n int) bool { return n > 0 && rng.IntN(n) == 0 }
	var out []captured
	for i := range in {
		c := in[i]
		if i < 40 { // the handshake stays as it is
			out = append(out, c)
			continue
		}
		if one(tr.unseen) {
			continue
		}
		c.lost = one(tr.ring)
		out = append(out, c)
		if one(tr.repeat) {
			out = append(out, in[i-rng.IntN(20)])
		}
	}
	for i := 40; i+4 < len(out); i++ {
		if one(tr.reorder) {
			j := i + 1 + rng.IntN(3)
			out[i], out[j] = out[j], out[i]
		}
	}
	return out
}

// converse makes up a conversation of a seed.
func converse(rng *rand.Rand, hello []turn) *talk {
	k := &talk{rng: rng, turns: slices.Clone(hello)}
	k.carry()
	for range rng.IntN(3) {
		k.renegotiate(rng.IntN(2) == 0, rng.IntN(2) == 0)
		k.carry()
	}
	return k
}

// run takes packets through a filter and, in batches some way behind, a reader.
func run(rng *rand.Rand, packets []captured, k filter, r *reader) (kept int) {
	both, _ := k.(*bothKernels)
	var queue []*capture.Segment
	lag := 1 + rng.IntN(100)
	for i := range packets {
		c := &packets[i]
		if both != nil {
			both.raw = c.frame
		}
		if k != nil && !k.segment(&c.Segment) {
			kept += len(c.Payload)
		} else if !c.lost {
			queue = append(queue, &c.Segment)
		}
		if len(queue) > 0 && rng.IntN(lag) == 0 {
			n := len(queue)
			if rng.IntN(2) == 0 {
				n = 1 + rng.IntN(n)
			}
			for _, s := range queue[:n] {
				r.segment(s)
			}
			queue = queue[n:]
		}
	}
	for _, s := range queue {
		r.segment(s)
	}
	r.tracker.Advance(r.now + int64(5*time.Second))
	r.tracker.Flush(parse.CaptureEnd)
	return kept
}

// TestWalk: what is kept of conversations costs no answer where nothing is lost, and
// turns none around whatever happens.
func TestWalk(t *testing.T) {
	hello := handshake12(t)
	seeds := uint64(40)
	if testing.Short() {
		seeds = 12
	}
	for _, tr := range troubles {
		t.Run(tr.name, func(t *testing.T) {
			var bulk, kept, known int
			for seed := range seeds {
				rng := rand.New(rand.NewPCG(seed, 9))
				k := converse(rng, hello)
				packets := tr.happen(rng, k.packets(seed%2 == 1, 1448, 1448, 536, 9000, 60000))
				plain := newReader(nil)
				run(rand.New(rand.NewPCG(seed, 10)), packets, nil, plain)
				kernel := newModelKernel()
				walking := newReader(kernel)
				kept += run(rand.New(rand.NewPCG(seed, 10)), packets, kernel, walking)
				bulk += k.bulk
				if err := k.check(&tr, plain, walking); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				} else if walking.out[0].Asked != attribute.Unknown {
					known++
				}
				if len(kernel.walks)+len(kernel.permits) > 0 {
					t.Errorf("seed %d: %d tuples are still walked", seed, len(kernel.walks))
				}
			}
			t.Logf("of %d MB %d %% were kept; %d of %d answers are known", bulk>>20, 100*kept/bulk, known, seeds)
			if tr.asRead && kept < bulk/2 {
				t.Errorf("kept %d of %d bytes", kept, bulk)
			}
		})
	}
}

func (k *talk) check(tr *trouble, plain, walking *reader) error {
	if len(plain.out) != 1 || len(walking.out) != 1 {
		return fmt.Errorf("%d connections without a walk, %d with", len(plain.out), len(walking.out))
	}
	a, b := plain.out[0], walking.out[0]
	truth := attribute.No
	if k.asked {
		truth = attribute.Yes
	}
	switch {
	case b.Asked != truth && b.Asked != attribute.Unknown:
		return fmt.Errorf("answered %v, which is wrong; without a walk %v", b.Asked, a.Asked)
	case b.Asked == attribute.Unknown && b.Reason == "":
		return fmt.Errorf("unknown without a reason")
	case tr.asRead && (a.Asked != truth || b.Asked != truth || a.Reply != b.Reply || a.When != b.When || b.hidden > 0):
		return fmt.Errorf("answered %+v, without a walk %+v", b, a)
	}
	return nil
}

// TestWalkInKernel holds the eBPF program against the model, packet by packet.
func TestWalkInKernel(t *testing.T) {
	w := loadExtended(t, &capture.Narrow{})
	if w.walks == nil {
		t.Skip("this kernel walks no records")
	}
	hello := handshake12(t)
	var bulk, kept int
	for seed := range uint64(8) {
		for _, tr := range []trouble{troubles[0], troubles[len(troubles)-1]} {
			rng := rand.New(rand.NewPCG(seed, 11))
			k := converse(rng, hello)
			packets := tr.happen(rng, k.packets(seed%2 == 1, 536, 1448, 3000))
			both := &bothKernels{modelKernel: newModelKernel(), t: t, real: w}
			kept += run(rand.New(rand.NewPCG(seed, 12)), packets, both, newReader(both))
			bulk += k.bulk
		}
	}
	if kept < bulk/3 {
		t.Errorf("kept %d of %d bytes", kept, bulk)
	}
	var key tupleKey
	var v walkValue
	if w.walks.Iterate().Next(&key, &v) {
		t.Errorf("%v is still walked", key)
	}
}

// TestWalkGiant: a packet longer than its length field can tell (BIG TCP) is not taken
// for one without payload.
func TestWalkGiant(t *testing.T) {
	w := loadExtended(t, &capture.Narrow{})
	if w.walks == nil {
		t.Skip("this kernel walks no records")
	}
	for _, ends := range [][2]string{
		{"198.18.1.9:50000", "198.18.7.1:443"}, {"[2001:db8:8000::1]:50000", "[2001:db8:1::1]:443"},
	} {
		from, to := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		s := capture.Segment{Flags: ack, Tuple: capture.Tuple{Src: from.Addr().As16(), Dst: to.Addr().As16(), SrcPort: from.Port(), DstPort: to.Port()}}
		if err := w.Quiet(&s.Tuple, 0); err != nil {
			t.Fatal(err)
		}
		f := frame{0x0800, frameOf(&s, from, to)}
		at := 2
		if from.Addr().Is6() {
			f.proto, at = 0x86dd, 4
		}
		runExtended(t, w, f) // a sign of life
		if runExtended(t, w, f) > 0 {
			t.Errorf("%v: a segment without payload passes", from)
		}
		if giant := f.with(at, 0).with(at+1, 0); runExtended(t, w, giant) == 0 {
			t.Errorf("%v: a giant packet is kept", from)
		}
	}
}

// TestWalkValue: the eBPF program and Go have the same idea of a value.
func TestWalkValue(t *testing.T) {
	if n := binary.Size(walkValue{}); n != walkSize {
		t.Errorf("%d bytes, want %d", n, walkSize)
	}
}
