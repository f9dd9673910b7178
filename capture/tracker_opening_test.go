package capture

import (
	"testing"
	"time"

	"whoasked/parse"
)

// TestTrackerOpening: what the packets show that open a connection is told with the
// first bytes of each side, once.
func TestTrackerOpening(t *testing.T) {
	const (
		step = int64(time.Millisecond)
		syn  = "\x02\x04\x05\xb4\x08\x0a\x00\x00\x00\x05\x00\x00\x00\x00"
		data = "\x01\x01\x08\x0a\x00\x00\x00\x06\x00\x00\x00\x00"
	)
	there := numbered(0)
	back := there.Reverse()
	seg := func(tuple Tuple, flags uint8, seq, ack uint32, ttl uint8, options, payload string) Segment {
		return Segment{Tuple: tuple, Flags: flags, Seq: seq, Ack: ack, TTL: ttl, Options: []byte(options), Payload: []byte(payload)}
	}
	var (
		open   = seg(there, FlagSYN, 99, 0, 64, syn, "")
		answer = seg(back, FlagSYN|FlagACK, 499, 100, 62, syn, "")
		ask    = seg(there, FlagACK, 100, 500, 63, data, "abc")
		say    = seg(back, FlagACK, 500, 103, 61, "", "xyz")
		more   = seg(back, FlagACK, 503, 103, 60, data, "!")
		first  = seg(back, FlagACK, 500, 103, 59, data, "xyz!") // as more, from the start
	)
	options, stamp := parse.ReadTCPOptions([]byte(syn))
	at := func(n int64) time.Time { return time.Unix(0, 1+n*step).UTC() }
	client := parse.TCPSide{SYN: true, At: at(0), Options: options, Stamp: stamp, Seq: 99, TTL: 64, DataTTL: 63}
	server := parse.TCPSide{SYN: true, At: at(1), Options: options, Stamp: stamp, Seq: 499, TTL: 62, DataTTL: 61, Bare: true}
	changed := func(s parse.TCPSide, f func(*parse.TCPSide)) *parse.TCPSide { f(&s); return &s }
	for _, tt := range []struct {
		name           string
		segments       []Segment
		client, server *parse.TCPSide
	}{
		{"in order", []Segment{open, answer, ask, say, more}, &client, &server},
		{"the SYN twice", []Segment{open, open, answer, ask, say}, changed(client, func(s *parse.TCPSide) { s.Again = true }), changed(server, func(s *parse.TCPSide) { s.At = at(2) })},
		{"the SYN-ACK twice", []Segment{open, answer, answer, ask, say}, &client, changed(server, func(s *parse.TCPSide) { s.Again = true })},
		{"the SYN behind the SYN-ACK", []Segment{answer, open, ask, say}, changed(client, func(s *parse.TCPSide) { s.At = at(1) }), changed(server, func(s *parse.TCPSide) { s.At = at(0) })},
		{"no SYN", []Segment{answer, ask, say}, nil, changed(server, func(s *parse.TCPSide) { s.At = at(0) })},
		{"no SYN-ACK", []Segment{open, ask, say}, &client, nil},
		{"neither", []Segment{ask, say, more}, nil, nil},
		{"the second packet first", []Segment{open, answer, ask, more, first}, &client, changed(server, func(s *parse.TCPSide) { s.DataTTL, s.Bare = 60, false })},
		{"ports used again", []Segment{open, answer, ask, say, seg(there, FlagSYN, 7099, 0, 64, syn, ""), seg(there, FlagACK, 7100, 9, 63, data, "abc")},
			changed(client, func(s *parse.TCPSide) { s.Seq, s.At = 7099, at(4) }), &server},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got [2]*parse.TCPSide
			told := 0
			trk := NewTracker(Limits{}, nil, func(ch *parse.Chunk) bool {
				if ch.Opening != nil {
					told++
					side := *ch.Opening
					i := 0
					if ch.Flow.Addrs[ch.From] == there.DstAddr() {
						i = 1
					}
					got[i] = &side
				}
				return true
			})
			for i := range tt.segments {
				trk.Segment(1+int64(i)*step, &tt.segments[i])
			}
			trk.Flush(parse.CaptureEnd)
			for i, want := range []*parse.TCPSide{tt.client, tt.server} {
				if (got[i] == nil) != (want == nil) || want != nil && *got[i] != *want {
					t.Errorf("side %d: %+v, want %+v", i, got[i], want)
				}
			}
			if tt.name != "ports used again" && told > 2 {
				t.Errorf("told %d times", told)
			}
			for _, f := range []*firsts{&trk.firsts} {
				n := 0
				for i := f.free; i != none; i = f.all[i].flow {
					n++
				}
				if n != len(f.all) {
					t.Errorf("%d of %d are free once all is over", n, len(f.all))
				}
			}
		})
	}
}

// TestTrackerOpenings: of too many connections that say nothing the oldest lose what
// their opening showed, and nobody else's turns up.
func TestTrackerOpenings(t *testing.T) {
	const flows = maxFirsts + 100
	told := 0
	trk := NewTracker(Limits{}, nil, func(ch *parse.Chunk) bool {
		if ch.Opening == nil {
			return true
		}
		told++
		if want := uint32(ch.Flow.Addrs[0].Port()); ch.Opening.Seq != want {
			t.Errorf("port %d was opened with number %d", want, ch.Opening.Seq)
		}
		return true
	})
	for i := range flows {
		tuple := numbered(i)
		trk.Segment(int64(1+i), &Segment{Tuple: tuple, Seq: uint32(tuple.SrcPort), Flags: FlagSYN})
	}
	for i := range flows {
		tuple := numbered(i)
		trk.Segment(int64(flows+i), &Segment{Tuple: tuple, Seq: uint32(tuple.SrcPort) + 1, Flags: FlagACK, Payload: []byte("x")})
	}
	if told != maxFirsts {
		t.Errorf("told of %d, want %d", told, maxFirsts)
	}
	if n := len(trk.firsts.all); n != maxFirsts {
		t.Errorf("%d kept, want %d", n, maxFirsts)
	}
}
