package parse

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
)

// tdsPackets wraps payload as MS-TDS §2.2.3 says, at most size bytes a packet.
func tdsPackets(t byte, size int, payload []byte) []byte {
	var out []byte
	for id := byte(1); len(payload) > 0; id++ {
		n := min(len(payload), size-tdsHeader)
		status := byte(0)
		if n == len(payload) {
			status = 1 // end of message
		}
		out = append(out, t, status)
		out = binary.BigEndian.AppendUint16(out, uint16(n+tdsHeader))
		out = append(append(out, 0, 0, id, 0), payload[:n]...)
		payload = payload[n:]
	}
	return out
}

// tdsReply is a PRELOGIN answer with VERSION and ENCRYPTION.
func tdsReply(encryption byte) []byte {
	return tdsPackets(tdsTabular, 4096, []byte("\x00\x00\x0b\x00\x06"+"\x01\x00\x11\x00\x01"+"\xff"+"\x0f\x00\x07\xd0\x00\x00"+string(encryption)))
}

// tdsTalk is a log-in of TDS 7.x: PRELOGIN, its answer, and the handshake in
// packets of the size given. Behind it records go without.
func tdsTalk(tls []Chunk, size int) []Chunk {
	out := []Chunk{
		{Flow: testFlow, Time: testStart, Data: []byte(tdsPrelogin)},
		{Flow: testFlow, Time: testStart, From: Accepter, Data: tdsReply(1)},
	}
	var ccs [2]bool
	for _, ch := range tls {
		if len(ch.Data) > 0 && !(ccs[0] && ccs[1]) && ch.Data[0] != byte(ApplicationData) {
			for b := ch.Data; len(b) > headerLen; b = b[min(len(b), headerLen+int(b[3])<<8+int(b[4])):] {
				if b[0] == byte(ChangeCipherSpec) {
					ccs[ch.From] = true
				}
			}
			ch.Data = tdsPackets(tdsPreLogin, size, ch.Data)
		}
		out = append(out, ch)
	}
	return out
}

func TestTDS(t *testing.T) {
	tls := afterPreamble(t)
	p := NewParser(Options{})
	bare, _ := feed(p, tls)
	for _, size := range []int{20, 100, 512, 4096} {
		chunks := tdsTalk(tls, size)
		h, events := feed(p, chunks)
		if h.Preamble != "tds" || len(h.Messages) != len(bare.Messages) || len(h.Requests) != 1 || h.Requests[0].Malformed != "" ||
			len(h.Tape.Records) != len(bare.Tape.Records) || h.Sides[0].Desync+h.Sides[1].Desync != 0 || h.Sides[0].Malformed+h.Sides[1].Malformed != "" {
			t.Fatalf("packets of %d: %q, %d messages, %d requests, %+v", size, h.Preamble, len(h.Messages), len(h.Requests), h.Sides)
		}
		for n := 1; n < 30; n++ {
			again, same := feed(p, resplit(chunks, func() int { return n }))
			if !reflect.DeepEqual(again, h) || !reflect.DeepEqual(same, events) {
				t.Fatalf("packets of %d: pieces of %d give other facts", size, n)
			}
		}
	}
}

// TestTDSLoginOnly: with ENCRYPT_OFF only the log-in is sealed; what follows is
// no broken TLS.
func TestTDSLoginOnly(t *testing.T) {
	tls := afterPreamble(t)
	last := slices.IndexFunc(tls, func(ch Chunk) bool { return len(ch.Data) > 0 && ch.Data[0] == byte(ApplicationData) })
	chunks := append(tdsTalk(tls[:last+1], 4096),
		Chunk{Flow: testFlow, Time: testStart, From: Accepter, Data: tdsPackets(tdsTabular, 4096, make([]byte, 300))},
		Chunk{Flow: testFlow, Time: testStart, Data: tdsPackets(1, 4096, make([]byte, 300))})
	h, _ := feed(NewParser(Options{}), chunks)
	if len(h.Requests) != 1 || h.Sides[0].Malformed+h.Sides[1].Malformed != "" || h.Sides[0].Desync+h.Sides[1].Desync != 0 {
		t.Errorf("%+v", h.Sides)
	}
}

// TestTDSLost: a hole in the packets may cost messages but makes none up.
func TestTDSLost(t *testing.T) {
	tls := afterPreamble(t)
	p := NewParser(Options{})
	whole, _ := feed(p, tls)
	chunks := tdsTalk(tls, 100)
	for i, ch := range chunks {
		for at := 0; at < len(ch.Data); at += 3 {
			for _, n := range []int{1, 20, len(ch.Data) - at} {
				if at+n > len(ch.Data) {
					continue
				}
				first, second := ch, ch
				first.Data, first.Fin, first.End = ch.Data[:at], false, Open
				second.Data, second.Lost = ch.Data[at+n:], n
				h, _ := feed(p, slices.Concat(chunks[:i], []Chunk{first, second}, chunks[i+1:]))
				for _, m := range h.Messages {
					if !slices.ContainsFunc(whole.Messages, func(w Message) bool { return w.From == m.From && w.Type == m.Type && w.Len == m.Len }) {
						t.Fatalf("%d bytes of chunk %d lost at %d: a message out of nothing: %+v", n, i, at, m)
					}
				}
				if len(h.Requests) > 1 {
					t.Fatalf("%d requests", len(h.Requests))
				}
			}
		}
	}
}
