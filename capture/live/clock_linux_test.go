package live

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"whoasked/capture"
	"whoasked/parse"
)

// cooked is an IPv4 packet with a TCP segment as the ring has it.
func cooked(src, dst string, flags byte, seq, ack uint32, payload string) []byte {
	b := make([]byte, sllLen+20+20)
	order := binary.BigEndian
	order.PutUint16(b[14:], 0x0800)
	ip, tcp := b[sllLen:], b[sllLen+20:]
	from, to := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	order.PutUint16(ip[2:], uint16(40+len(payload)))
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	order.PutUint16(tcp, from.Port())
	order.PutUint16(tcp[2:], to.Port())
	order.PutUint32(tcp[4:], seq)
	order.PutUint32(tcp[8:], ack)
	tcp[12], tcp[13] = 5<<4, flags
	return append(b, payload...)
}

// TestClockSet: the clock of the machine is set while a connection is open, and
// packets come stamped before and after. The connection neither ends nor sees
// time pass, and it is told.
func TestClockSet(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 30 * 365 * 24 * time.Hour, -1500 * time.Millisecond} {
		day, steady := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano(), int64(0)
		pass := func(d time.Duration) { day, steady = day+int64(d), steady+int64(d) }
		var logged []string
		s := &Source{
			opts:    Options{Log: func(event, text string) { logged = append(logged, event+": "+text) }}.withDefaults(),
			decoder: capture.NewDecoder(), clock: &clock{read: func() (int64, int64) { return day, steady }},
		}
		s.clock.set()
		var got []parse.Chunk
		s.tracker = capture.NewTracker(capture.Limits{}, nil, func(ch *parse.Chunk) bool {
			ch.Data = append([]byte(nil), ch.Data...)
			got = append(got, *ch)
			return true
		})
		packet := func(at int64, flags byte, seq, ack uint32, payload string, back bool) {
			t.Helper()
			src, dst := "198.18.0.10:50000", "198.18.0.20:443"
			if back {
				src, dst = dst, src
			}
			b := cooked(src, dst, flags, seq, ack, payload)
			s.packet(&Packet{Time: at, Link: linkSLL, WireLen: len(b), Data: b})
		}
		packet(day, capture.FlagSYN, 100, 0, "", false)
		packet(day, capture.FlagSYN|capture.FlagACK, 500, 101, "", true)
		pass(time.Millisecond)
		packet(day, capture.FlagACK, 101, 501, "one", false)
		pass(time.Millisecond)
		stamped := day
		day += int64(by)
		s.quiet() // it learns of it without a packet
		packet(stamped, capture.FlagACK, 104, 501, "two", false)
		pass(time.Millisecond)
		packet(day, capture.FlagACK, 107, 501, "three", false)
		pass(time.Minute)
		s.quiet()
		packet(day, capture.FlagACK, 112, 501, "four", false)
		var data strings.Builder
		for _, ch := range got {
			data.WriteString(string(ch.Data))
			if since := ch.Time.Sub(got[0].Time); ch.End != parse.Open || ch.Conn != 0 || ch.Lost > 0 || since < 0 || since > 2*time.Minute {
				t.Errorf("%v: a chunk after %v: %+v", by, since, ch)
			}
		}
		if data.String() != "onetwothreefour" {
			t.Errorf("%v: %q", by, data.String())
		}
		if len(logged) != 1 || !strings.Contains(logged[0], "clock: the clock of this machine was set") {
			t.Errorf("%v: %q", by, logged)
		}
	}
}

// TestClockSlews: a clock that is slewed is not set.
func TestClockSlews(t *testing.T) {
	day, steady := int64(1e18), int64(0)
	c := &clock{read: func() (int64, int64) { return day, steady }}
	c.set()
	for range 10_000 {
		steady += int64(time.Second)
		day += int64(time.Second) + 500_000
		if by := c.set(); by != 0 {
			t.Fatalf("it was set by %d", by)
		}
	}
	if by := newClock().set(); by != 0 {
		t.Errorf("the clock of this machine was set by %d meanwhile", by)
	}
}
