package live

import (
	"errors"

	"whoasked/capture"
)

// modelKernel does in Go what the eBPF program does with the tuples it walks; the two
// are held against each other.
type modelKernel struct {
	walks   map[capture.Tuple]*walkValue
	permits map[capture.Tuple]uint32
	full    bool // takes no more tuples
}

func newModelKernel() *modelKernel {
	return &modelKernel{walks: map[capture.Tuple]*walkValue{}, permits: map[capture.Tuple]uint32{}}
}

func (k *modelKernel) begin(t *capture.Tuple, mode capture.WalkMode, quiet bool, ack uint32) error {
	if k.full {
		return errors.New("full")
	}
	v := &walkValue{State: uint64(mode) << modeShift, Ack: ack}
	if quiet {
		v.Quiet = 1
	}
	k.walks[*t] = v
	return nil
}

func (k *modelKernel) Seek(t *capture.Tuple, quiet bool, ack uint32) error {
	delete(k.permits, *t)
	return k.begin(t, capture.WalkSeeks, quiet, ack)
}

func (k *modelKernel) Quiet(t *capture.Tuple, ack uint32) error {
	return k.begin(t, capture.WalkRests, true, ack)
}

func (k *modelKernel) Permit(t *capture.Tuple, run uint32) error {
	k.permits[*t] = run
	return nil
}

func (k *modelKernel) Forget(t *capture.Tuple) {
	delete(k.walks, *t)
	delete(k.permits, *t)
}

func (v *walkValue) mode() capture.WalkMode { return capture.WalkMode(v.State >> modeShift) }
func (v *walkValue) run() uint32            { return uint32(v.State>>runShift) & runMask }
func (v *walkValue) set(m capture.WalkMode, run, next uint32) {
	v.State = uint64(m)<<modeShift | uint64(run&runMask)<<runShift | uint64(next)
}

func (k *modelKernel) Stand(t *capture.Tuple) (capture.WalkStand, bool) {
	v := k.walks[*t]
	if v == nil {
		return capture.WalkStand{}, false
	}
	return capture.WalkStand{Mode: v.mode(), Run: v.run(), Next: uint32(v.State), Ack: v.Ack}, true
}

// segment reports whether a segment passes.
func (k *modelKernel) segment(s *capture.Segment) bool {
	v := k.walks[s.Tuple]
	if v == nil {
		return true
	}
	m, next := v.mode(), uint32(v.State)
	switch {
	case s.Flags&capture.FlagSYN != 0:
		v.Quiet = 0
		if m != capture.WalkLapsed {
			v.set(capture.WalkEnded, v.run(), next)
		}
		return true
	case s.Flags&(capture.FlagFIN|capture.FlagRST) != 0:
		if m == capture.WalkKeeps || m == capture.WalkCuts {
			v.set(capture.WalkLapsed, v.run(), next)
		}
		return true
	case len(s.Payload) == 0:
		return v.Quiet == 0 || k.keep(v, s)
	}
	end := s.Seq + uint32(len(s.Payload))
	var at int64 // of the header, from the beginning of the payload
	var cut []byte
	switch {
	case m == capture.WalkSeeks:
		found := search(s.Payload)
		if found < 0 {
			return true
		}
		at = int64(found)
	case m < capture.WalkFollows || m > capture.WalkCuts:
		return true
	case int32(end-next) <= 0:
		return m == capture.WalkFollows || k.keep(v, s)
	case int32(s.Seq-next) > 0:
		if m != capture.WalkCuts || s.Seq-next != v.Cut || len(s.Payload) < headerLen-1 {
			return v.fail()
		}
		for i := range int(v.Cut) {
			cut = append(cut, byte(v.Part>>(8*(int(v.Cut)-1-i))))
		}
		at = -int64(v.Cut)
	default:
		at = int64(next - s.Seq)
	}
	return k.walk(v, s, append(cut, s.Payload...), at, len(cut))
}

// walk walks from a header on; data has the first bytes of a cut one in front.
func (k *modelKernel) walk(v *walkValue, s *capture.Segment, data []byte, at int64, before int) bool {
	for n := 0; ; n++ {
		i := int(at) + before
		if i >= len(data) {
			break
		}
		if n == maxHeaders {
			return v.fail()
		}
		h := data[i:]
		if len(h) < headerLen {
			if v.mode() < capture.WalkKeeps || len(s.Payload) < headerLen-1 || h[0] != applicationData {
				return v.fail()
			}
			v.Part, v.Cut = 0, uint32(len(h))
			for _, b := range h {
				v.Part = v.Part<<8 | uint32(b)
			}
			v.set(capture.WalkCuts, v.run(), s.Seq+uint32(at))
			return true
		}
		l := int64(h[3])<<8 | int64(h[4])
		if h[0] != applicationData || h[1] != 3 || h[2] > 4 || l > maxRecord {
			return v.fail()
		}
		at += headerLen + l
		if n == 0 && before > 0 {
			n = -1 // the filter counts from behind it
		}
	}
	next := s.Seq + uint32(at)
	switch v.mode() {
	case capture.WalkSeeks:
		v.set(capture.WalkFollows, v.run()+1, next)
		return true
	case capture.WalkFollows:
		v.set(capture.WalkFollows, v.run(), next)
		if run, ok := k.permits[s.Tuple]; !ok || run != v.run() {
			return true
		}
	}
	v.set(capture.WalkKeeps, v.run(), next)
	return k.keep(v, s)
}

func (v *walkValue) fail() bool {
	if m := v.mode(); m <= capture.WalkFollows {
		v.set(capture.WalkSeeks, v.run(), uint32(v.State))
	} else {
		v.set(capture.WalkLapsed, v.run(), uint32(v.State))
	}
	return true
}

// keep reports whether a segment that could be kept passes as a sign of life, which the
// first one does.
func (k *modelKernel) keep(v *walkValue, s *capture.Segment) bool {
	if int32(s.Ack-v.Ack) > 0 {
		v.Ack = s.Ack
	}
	if v.Passed == 0 {
		v.Passed = 1
		return true
	}
	return false
}

// search finds what looks like a header of application data.
func search(b []byte) int {
	for i := 0; i < maxChunks*chunkLen && i/chunkLen*chunkLen+chunkLen+headerLen-1 <= len(b); i++ {
		if b[i] == applicationData && b[i+1] == 3 && b[i+2] <= 4 && b[i+3] <= maxRecord>>8 {
			return i
		}
	}
	return -1
}
