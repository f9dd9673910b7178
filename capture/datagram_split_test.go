package capture

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"whoasked/parse"
)

// dtlsFlight is the least datagram of a server: a ServerHello's first fragment.
func dtlsFlight() []byte {
	b := dtlsHello(0)
	b[13] = 2
	return b
}

// quicInitial is an Initial packet with such connection IDs, with nothing behind
// its header that could be read.
func quicInitial(dcid, scid string) []byte {
	return cat([]byte{0xc0}, u32(1), []byte{byte(len(dcid))}, []byte(dcid), []byte{byte(len(scid))}, []byte(scid), []byte{0}, u16(0x4000|40), make([]byte, 40))
}

// TestSplitSessions: the two directions of a connection of datagrams in different
// tunnels, and what must not be taken for that.
func TestSplitSessions(t *testing.T) {
	type gram struct {
		after  time.Duration
		server bool
		via    uint32
		data   []byte
	}
	const late = splitWindow + time.Second
	hello, flight, data := dtlsHello(0), dtlsFlight(), cat([]byte{23, 0xfe, 0xfd, 0, 1}, make([]byte, 6), u16(16), make([]byte, 16))
	for _, tt := range []struct {
		name  string
		grams []gram
		want  []string
	}{
		{"two tunnels", []gram{{0, false, 7, hello}, {0, true, 8, flight}, {0, false, 7, data}, {0, true, 8, data}},
			[]string{"0 (7) opener", "0 (7 | 8) accepter", "0 (7 | 8) opener", "0 (7 | 8) accepter"}},
		{"there in none", []gram{{0, false, 0, hello}, {0, true, 8, flight}, {0, false, 0, data}}, []string{"0 () opener", "0 (none | 8) accepter", "0 (none | 8) opener"}},
		{"back in none", []gram{{0, false, 7, hello}, {0, true, 0, flight}, {0, false, 7, data}}, []string{"0 (7) opener", "0 (7 | none) accepter", "0 (7 | none) opener"}},
		{"the answer first", []gram{{0, true, 8, flight}, {0, false, 7, hello}, {0, true, 8, data}}, []string{"0 (8) accepter", "0 (7 | 8) opener", "0 (7 | 8) accepter"}},
		{"QUIC", []gram{{0, false, 7, quicInitial("whatever", "client")}, {0, true, 8, quicInitial("client", "server")}, {0, false, 7, quicInitial("server", "client")}},
			[]string{"0 (7) opener", "0 (7 | 8) accepter", "0 (7 | 8) opener"}},
		{"QUIC, a client without an ID", []gram{{0, false, 7, quicInitial("whatever", "")}, {0, true, 8, quicInitial("", "server")}}, []string{"0 (7) opener", "0 (7 | 8) accepter"}},
		{"the next one", []gram{
			{0, false, 7, quicInitial("whatever", "client")}, {0, true, 8, quicInitial("client", "server")},
			{0, false, 7, quicInitial("whatnext", "second")}, {0, true, 8, quicInitial("second", "server2")},
		}, []string{"0 (7) opener", "0 (7 | 8) accepter", "0 (7 | 8) opener reused", "0 (7) opener", "0 (7 | 8) accepter"}},

		// Near misses.
		{"QUIC, to another client", []gram{{0, false, 7, quicInitial("whatever", "client")}, {0, true, 8, quicInitial("client2", "server")}}, []string{"0 (7) opener", "1 (8) opener"}},
		{"QUIC answers DTLS", []gram{{0, false, 7, hello}, {0, true, 8, quicInitial("client", "server")}}, []string{"0 (7) opener", "1 (8) opener"}},
		{"the same direction", []gram{{0, false, 7, hello}, {0, false, 8, hello}}, []string{"0 (7) opener", "1 (8) opener"}},
		{"both directions are there", []gram{{0, false, 7, hello}, {0, true, 7, flight}, {0, true, 8, flight}}, []string{"0 (7) opener", "0 (7) accepter", "1 (8) accepter"}},
		{"late", []gram{{0, false, 7, hello}, {late, true, 8, flight}}, []string{"0 (7) opener", "1 (8) accepter"}},
		{"no shape", []gram{{0, false, 7, hello}, {0, true, 8, make([]byte, 40)}}, []string{"0 (7) opener"}},
		{"each in its own", []gram{{0, false, 7, hello}, {0, false, 8, hello}, {0, true, 8, flight}, {0, true, 7, flight}},
			[]string{"0 (7) opener", "1 (8) opener", "1 (8) accepter", "0 (7) accepter"}},
		{"a third tunnel", []gram{{0, false, 7, hello}, {0, true, 8, flight}, {0, true, 9, flight}}, []string{"0 (7) opener", "0 (7 | 8) accepter", "1 (9) accepter"}},
	} {
		var got []string
		trk := NewTracker(Limits{}, func(via uint32) string { return fmt.Sprint(via) }, func(ch *parse.Chunk) bool {
			if ch.End != parse.CaptureEnd {
				s := fmt.Sprintf("%d (%s) %v", ch.Conn, ch.Flow.Via, ch.From)
				if ch.End != parse.Open {
					s += " " + ch.End.String()
				}
				got = append(got, s)
			}
			return true
		})
		at := int64(1e18)
		for _, g := range tt.grams {
			seg := udpSegment(1, 9, 50000, 4433, g.data)
			if g.server {
				seg = udpSegment(9, 1, 4433, 50000, g.data)
			}
			seg.Via = g.via
			at += int64(g.after) + 1e6
			trk.Datagram(at, seg)
		}
		trk.Flush(parse.CaptureEnd)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
		if s := &trk.sessions; len(s.flows)+len(s.tunnelled)+s.n != 0 {
			t.Errorf("%s: left behind: %d flows, %d tunnelled, %d sessions", tt.name, len(s.flows), len(s.tunnelled), s.n)
		}
	}
}
