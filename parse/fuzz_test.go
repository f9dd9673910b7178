package parse

import (
	"reflect"
	"testing"
)

// FuzzConn feeds foreign bytes to a connection, split and with losses as the
// input says, and demands that the split makes no difference.
func FuzzConn(f *testing.F) {
	for _, configs := range testConfigs(f) {
		var script []byte
		for _, ch := range handshake(f, configs[0], configs[1]) {
			for data := ch.Data; len(data) > 0; {
				n := min(len(data), 255)
				script = append(append(script, byte(ch.From), byte(n)), data[:n]...)
				data = data[n:]
			}
		}
		f.Add(script, uint8(3))
	}
	f.Add([]byte("\x00\x05hello\x01\x10\x16\x03\x03\x00\x04\x0e\x00\x00\x00\x14\x03\x03\x00\x01\x01\x02"), uint8(1))
	// OpenVPN: resets, a piece of the stream, data, and a loss.
	f.Add(unhex(f, `00 10 000e 380102030405060708 00 00000000 01 1c 001a 401112131415161718 01 00000000 0102030405060708 00000000
		00 19 0017 200102030405060708 00 00000001 160303000401000000 00 05 0003 48ffff 02 02 00 04 0003 4800`), uint8(2))
	p := NewParser(Options{})
	f.Fuzz(func(t *testing.T, script []byte, size uint8) {
		var chunks []Chunk
		for len(script) >= 2 && len(chunks) < 200 {
			op, n := script[0], int(script[1])
			script = script[2:]
			ch := Chunk{Flow: testFlow, From: Side(op & 1), Time: testStart, Midstream: op&0x80 != 0}
			if op&2 != 0 {
				ch.Lost = n
			} else {
				n = min(n, len(script))
				ch.Data, script = script[:n], script[n:]
			}
			ch.Fin = op&4 != 0
			chunks = append(chunks, ch)
		}
		h, events := feed(p, chunks)
		again, same := feed(p, resplit(chunks, func() int { return 1 + int(size) }))
		if !reflect.DeepEqual(h, again) || !reflect.DeepEqual(events, same) {
			t.Fatal("another split gives other facts")
		}
		if len(h.Messages) > MaxMessages || len(h.Rounds) > MaxRounds || len(h.Tape.Records) > MaxTape ||
			len(h.Alerts) > MaxAlerts || len(h.Requests) > MaxRequests {
			t.Fatal("a bound is exceeded")
		}
	})
}
