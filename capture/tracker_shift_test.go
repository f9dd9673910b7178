package capture

import (
	"testing"
	"time"

	"whoasked/parse"
)

// TestShift sets the clock forward and back while a connection is open, bytes are
// missing in another and a session of datagrams goes on: none ends or gives
// anything up, and for each of them time goes on as if nothing had happened.
func TestShift(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 20 * 365 * 24 * time.Hour} {
		s := newScript(t, Limits{})
		begin := s.now
		var times []time.Duration
		emit := s.trk.emit
		s.trk.Emit(func(ch *parse.Chunk) bool {
			times = append(times, time.Duration(ch.Time.UnixNano()-begin))
			return emit(ch)
		})
		s.run(handshake + "C data 101 501 hello; S data 501 106 world; S data 516 106 late")
		s.got = nil
		s.now += int64(by)
		s.trk.Shift(int64(by))
		s.run("tick 1s; C data 106 501 more; S data 506 110 missing...")
		s.expect("C'more'", "S'missing...'", "S'late'")
		for i, at := range times {
			if at < 0 || at > 2*time.Second || i > 0 && at < times[i-1] {
				t.Errorf("%v: chunk %d comes at %v, after %v", by, i, at, times[:i])
			}
		}
		// The next connection has the clock as it is now.
		s.run("C fin 110 520; S fin 520 111; tick 2m; C syn 7000; S synack 8000 7001; C data 7001 8001 again")
		if last := times[len(times)-1]; (last - by).Abs() > 3*time.Minute {
			t.Errorf("%v: the next connection begins at %v", by, last)
		}
	}
}

// TestShiftSessions is the same with datagrams.
func TestShiftSessions(t *testing.T) {
	const hour = int64(time.Hour)
	var got []parse.Chunk
	trk := NewTracker(Limits{}, nil, func(ch *parse.Chunk) bool {
		got = append(got, *ch)
		return true
	})
	at := int64(1e18)
	seg := udpSegment(1, 9, 5000, 4433, dtlsHello(0))
	trk.Datagram(at, seg)
	trk.Shift(hour)
	trk.Datagram(at+hour+1000, seg)
	trk.Advance(at + hour + int64(time.Minute))
	if len(got) != 2 || got[1].Time.Sub(got[0].Time) != time.Microsecond {
		t.Fatalf("%+v", got)
	}
}
