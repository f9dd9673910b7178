package capture

import (
	"fmt"
	"testing"
	"time"

	"whoasked/parse"
)

// dtlsHello is the least datagram that begins DTLS: a ClientHello's first fragment.
func dtlsHello(seq byte) []byte {
	return cat([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, seq, 0, 16}, []byte{1, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 4}, make([]byte, 4))
}

func udpSegment(src, dst byte, srcPort, dstPort uint16, payload []byte) *Segment {
	seg := &Segment{Payload: payload}
	mapIPv4(&seg.Src, []byte{198, 18, 0, src})
	mapIPv4(&seg.Dst, []byte{198, 18, 0, dst})
	seg.SrcPort, seg.DstPort = srcPort, dstPort
	return seg
}

func TestDatagrams(t *testing.T) {
	var got []string
	trk := NewTracker(Limits{Flows: 2, Idle: time.Minute}, nil, func(ch *parse.Chunk) bool {
		if ch.Flow.Proto != parse.UDP {
			t.Errorf("%+v", ch)
		}
		got = append(got, fmt.Sprintf("%d %v %d %v", ch.Conn, ch.From, len(ch.Data), ch.End))
		return true
	})
	at := int64(1e18)
	send := func(seg *Segment) { trk.Datagram(at, seg); at += 1e6 }
	send(udpSegment(1, 9, 5000, 53, make([]byte, 40))) // nothing of ours
	send(udpSegment(1, 9, 5000, 443, make([]byte, 40)))
	send(udpSegment(1, 9, 5000, 4433, dtlsHello(0)))
	send(udpSegment(9, 1, 4433, 5000, []byte("anything")))
	send(udpSegment(2, 9, 5000, 4433, dtlsHello(0)))
	send(udpSegment(1, 9, 5000, 4433, dtlsHello(1)))
	send(udpSegment(3, 9, 5000, 4433, dtlsHello(0))) // the least active one goes
	at += int64(2 * time.Minute)
	trk.Advance(at)
	want := []string{
		"0 opener 29 open", "0 accepter 8 open", "1 opener 29 open", "0 opener 29 open",
		"1 opener 0 evicted", "1 opener 29 open", "0 opener 0 idle", "1 opener 0 idle",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	if s := trk.Stats(); s.Datagrams != 7 || s.Sessions != 3 || s.Evicted != 1 || s.Unfollowed != 1 {
		t.Errorf("%+v", s)
	}
	trk.Flush(parse.CaptureEnd)
	checkEmpty(t, trk)
}

// FuzzSessions makes datagrams and frames of its input: whatever comes, numbers
// stay dense, sessions bounded, and nothing is left behind.
func FuzzSessions(f *testing.F) {
	radiusStart := cat([]byte{11, 7, 0, 35}, make([]byte, 16), []byte{79, 8, 1, 7, 0, 6, 13, 0x20, 24, 7, 's', 't', 'a', 't', 'e'})
	f.Add(cat([]byte{0, 29}, dtlsHello(0), []byte{0x13, byte(len(radiusStart))}, radiusStart, []byte{0x20, 6, 1, 7, 0, 6, 13, 0x20, 0x20, 4, 3, 7, 0, 4}))
	f.Add(cat([]byte{0x40, 29}, dtlsHello(0), []byte{0x83, 29}, dtlsFlight(), []byte{0x40, 29}, dtlsHello(1)))
	f.Fuzz(func(t *testing.T, in []byte) {
		open := make(map[int]bool)
		trk := NewTracker(Limits{Flows: 3}, nil, func(ch *parse.Chunk) bool {
			if ch.Conn < 0 || ch.Conn > 3 {
				t.Fatalf("number %d", ch.Conn)
			}
			open[ch.Conn] = ch.End == parse.Open
			return true
		})
		at := int64(1e18)
		for len(in) >= 2 {
			op, n := in[0], min(int(in[1]), len(in)-2)
			seg := udpSegment(1+op&1, 2-op&1, 5000+uint16(op&4), 1812, in[2:2+n])
			if op&2 != 0 {
				seg = udpSegment(2-op&1, 1+op&1, 1812, 5000+uint16(op&4), in[2:2+n])
			}
			seg.Via = uint32(op >> 6)
			if op&0x20 != 0 {
				seg.SrcPort, seg.DstPort = 0, 0
				trk.EAPOL(at, seg)
			} else {
				if op&0x10 == 0 {
					seg.DstPort++
				}
				trk.Datagram(at, seg)
			}
			in = in[2+n:]
			at += int64(op) * int64(time.Second)
			if r := &trk.sessions.radius; trk.sessions.n > 3 || len(r.requests) > 3 || len(r.names) > 9 || len(trk.sessions.flows) > 6 || len(trk.sessions.tunnelled) > 3 {
				t.Fatalf("%d sessions, %d requests, %d names", trk.sessions.n, len(r.requests), len(r.names))
			}
		}
		trk.Flush(parse.CaptureEnd)
		checkEmpty(t, trk)
		if r := &trk.sessions.radius; trk.sessions.n != 0 || len(r.requests) != 0 || len(r.names) != 0 || len(trk.sessions.flows)+len(trk.sessions.tunnelled) != 0 {
			t.Fatalf("left: %d sessions, %d requests, %d names", trk.sessions.n, len(r.requests), len(r.names))
		}
		for n, is := range open {
			if is {
				t.Fatalf("connection %d has no end", n)
			}
		}
	})
}

// TestDatagramsReused: another client random on the same ports is another
// connection; the same one again is not.
func TestDatagramsReused(t *testing.T) {
	hello := func(random byte) []byte {
		body := cat([]byte{0xfe, 0xfd}, make([]byte, 31), []byte{random})
		return cat([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 46}, []byte{1, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 34}, body)
	}
	var ends []parse.End
	trk := NewTracker(Limits{}, nil, func(ch *parse.Chunk) bool {
		if ch.End != parse.Open {
			ends = append(ends, ch.End)
		}
		return true
	})
	for i, random := range []byte{1, 1, 2, 2, 3} {
		trk.Datagram(int64(1e18)+int64(i), udpSegment(1, 9, 5000, 4433, hello(random)))
	}
	trk.Flush(parse.CaptureEnd)
	if want := []parse.End{parse.Reused, parse.Reused, parse.CaptureEnd}; fmt.Sprint(ends) != fmt.Sprint(want) {
		t.Errorf("ends %v, want %v", ends, want)
	}
	checkEmpty(t, trk)
}
