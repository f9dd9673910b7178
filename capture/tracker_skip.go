package capture

import "whoasked/parse"

// bulk is how much a stream that nobody needs goes on before it is worth telling
// the source to keep it, in KiB.
const bulk = 32

// Withhold has told called when a stream that is skipped proves to be long, so
// that its source may keep the segments of that tuple from coming, those with
// SYN, FIN or RST excepted; and with false when they are needed again.
func (t *Tracker) Withhold(told func(tuple Tuple, on bool)) { t.withhold = told }

// Skip tells that nobody needs what more one side of an open connection sends.
// None of it is handed over, and none missed where it does not come: only the
// end of the connection is told. It may be called while a chunk is handed over.
func (t *Tracker) Skip(conn int, from parse.Side) {
	f := t.flowOf(conn)
	if f == nil {
		return
	}
	a := &f.dirs[int(from)^int(f.opener)]
	if a.is(skipped) {
		return
	}
	for a.head != none {
		i := t.pool.pop(a)
		a.next = t.pool.runs[i].end()
		t.pool.put(i)
	}
	t.forgetWalk(f, int(from)^int(f.opener))
	a.set(skipped)
	a.clear(waiting | acked)
	a.lost, a.conflict, a.passed = 0, 0, 0
}

// pass takes the payload of a segment of a skipped stream, which ends at end.
func (t *Tracker) pass(f *flow, d int, end uint32) {
	a := &f.dirs[d]
	n := end - a.next
	if int32(n) <= 0 {
		return
	}
	a.next = end
	if a.passed >= bulk {
		return
	}
	// Rounded up, as a source that keeps segments makes gaps of any size.
	a.passed = uint8(min(uint32(a.passed)+(n+1023)>>10, bulk))
	if a.passed == bulk {
		t.keepAway(f, d)
		if b := &f.dirs[1-d]; b.is(skipped) && b.passed < bulk {
			b.passed = bulk // its acknowledgments come as often
			t.keepAway(f, 1-d)
		}
	}
}

func (t *Tracker) keepAway(f *flow, d int) {
	if t.withhold != nil {
		t.withhold(f.tuple(d), true)
	}
}

// needAgain takes back what withhold was told of a flow.
func (t *Tracker) needAgain(f *flow) {
	for d := range f.dirs {
		if a := &f.dirs[d]; a.passed == bulk && t.withhold != nil {
			t.withhold(f.tuple(d), false)
			a.passed = 0
		}
	}
}
