package parse

import (
	"testing"
	"time"
)

func TestReadTCPOptions(t *testing.T) {
	for _, tt := range []struct {
		name, options, want string
		stamp               uint32
	}{
		{"none", "", "none", 0},
		{"Linux", "\x02\x04\x05\xb4\x04\x02\x08\x0a\x01\x02\x03\x04\x00\x00\x00\x00\x01\x03\x03\x07", "mss 1460, sack, timestamps, nop, wscale 7", 0x01020304},
		{"Windows", "\x02\x04\x05\xa0\x01\x03\x03\x08\x01\x01\x04\x02", "mss 1440, nop, wscale 8, nop, nop, sack", 0},
		{"behind the end", "\x02\x04\x05\xb4\x00\x03\x03\x07", "mss 1460, end", 0},
		{"unknown", "\x22\x02\xfe\x04abcd", "other, other", 0}, // the last one is cut
		{"of other lengths", "\x02\x03\x05\x08\x06abcd", "other, other", 0},
		{"cut short", "\x02\x04\x05\xb4\x08\x0a\x01\x02", "mss 1460", 0},
		{"a length of 1", "\x02\x04\x05\xb4\x05\x01\x03\x03\x07", "mss 1460", 0},
		{"many", "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x03\x03\x07", "nop, nop, nop, nop, nop, nop, nop, nop, nop, nop", 0},
	} {
		o, stamp := ReadTCPOptions([]byte(tt.options))
		if got := o.String(); got != tt.want || stamp != tt.stamp || o.Stamps() != (stamp != 0) {
			t.Errorf("%s: %q with timestamp %#x (%v), want %q with %#x", tt.name, got, stamp, o.Stamps(), tt.want, tt.stamp)
		}
		for i := range tt.options {
			ReadTCPOptions([]byte(tt.options[:i]))
		}
	}
}

func TestTCPOpeningReply(t *testing.T) {
	at := time.Unix(1_790_000_000, 0)
	both := TCPOpening{{SYN: true, At: at}, {SYN: true, At: at.Add(time.Millisecond)}}
	again, half, back := both, both, both
	again[Opener].Again = true
	half[Accepter] = TCPSide{}
	back[Accepter].At = at.Add(-time.Millisecond)
	for i, tt := range []struct {
		TCPOpening
		want time.Duration
	}{{both, time.Millisecond}, {again, 0}, {half, 0}, {back, 0}, {TCPOpening{}, 0}} {
		if got := tt.Reply(); got != tt.want {
			t.Errorf("%d: %v, want %v", i, got, tt.want)
		}
	}
}

// TestConnOpening: what chunks tell of an opening stands in the record.
func TestConnOpening(t *testing.T) {
	c := NewParser(Options{}).NewConn()
	at := time.Unix(1_790_000_000, 0)
	c.Feed(Chunk{From: Opener, Time: at, Data: []byte{1}, Opening: &TCPSide{SYN: true, TTL: 64}})
	c.Feed(Chunk{From: Opener, Time: at, Data: []byte{1}})
	c.Feed(Chunk{From: Accepter, Time: at, Data: []byte{1}, Opening: &TCPSide{SYN: true, TTL: 63}})
	if o := c.Handshake().Opening; o != (TCPOpening{{SYN: true, TTL: 64}, {SYN: true, TTL: 63}}) {
		t.Errorf("%+v", o)
	}
}
