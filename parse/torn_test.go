package parse

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// tornPieces says how the client's certificate is cut: into pieces of 16 KiB, as all
// do, of 600 bytes, as with max_fragment_length, and of less than a header.
var tornPieces = []int{1 << 14, 600, 3}

// TestTornMessages has pieces of a long Certificate come behind a loss: they are
// neither messages of their own, nor do they hide that one is missing in front of
// what follows.
func TestTornMessages(t *testing.T) {
	certificate := make([]byte, 20000)
	for i := range certificate { // as headers these bytes would be a CertificateRequest
		certificate[i] = []byte{0x0d, 0, 0, 0, 0x31}[i%5]
	}
	for _, piece := range tornPieces {
		// Enough for a record of 16 KiB, too.
		for lost := 1; lost < 18000; lost += 1 + lost/7 {
			var stream []byte
			for content := range slices.Chunk(msg(TypeCertificate, certificate...), piece) {
				stream = append(stream, clearRecord(HandshakeRecord, content...)...)
			}
			stream = append(stream, clearRecord(HandshakeRecord, msg(TypeClientKeyExchange, make([]byte, 33)...)...)...)
			chunks := tornHellos()
			last := Chunk{Flow: testFlow, From: Opener, Time: testStart.Add(time.Second), Lost: lost, Data: stream[lost:]}
			h, _ := feed(NewParser(Options{}), append(chunks, last))
			for _, m := range h.Messages[2:] {
				if m.Type != TypeClientKeyExchange || !m.Gap {
					t.Fatalf("pieces of %d, %d bytes lost: %+v", piece, lost, m)
				}
			}
		}
	}
}

// TestSealedBehindLostChange has a sealed record that begins with zeros, as the nonces
// of AES-GCM do, come behind a ChangeCipherSpec that was lost.
func TestSealedBehindLostChange(t *testing.T) {
	sealed := append(make([]byte, 8), msg(TypeCertificate, bytes.Repeat([]byte{7}, 28)...)...)
	last := Chunk{Flow: testFlow, From: Opener, Time: testStart.Add(time.Second), Lost: 6, Data: slices.Concat(
		clearRecord(HandshakeRecord, bytes.Repeat([]byte{7}, 40)...), clearRecord(HandshakeRecord, sealed...), clearRecord(ApplicationData, make([]byte, 40)...))}
	h, _ := feed(NewParser(Options{}), append(tornHellos(), last))
	if len(h.Messages) != 2 || len(h.Tape.Records) != 3 || h.Tape.Records[1].Type != HandshakeRecord {
		t.Errorf("messages %+v, records %+v", h.Messages, h.Tape.Records)
	}
}

// TestTornTicket has the rest of a server's message be followed by its change of keys:
// it is no Finished, and what follows no renegotiation.
func TestTornTicket(t *testing.T) {
	data := slices.Concat(clearRecord(HandshakeRecord, bytes.Repeat([]byte{7}, 4881)...),
		clearRecord(ChangeCipherSpec, 1), clearRecord(HandshakeRecord, make([]byte, 40)...))
	last := Chunk{Flow: testFlow, From: Accepter, Time: testStart.Add(time.Second), Lost: 17000, Data: data}
	h, _ := feed(NewParser(Options{}), append(tornHellos(), last))
	if len(h.Rounds) != 0 || len(h.Tape.Records) != 3 {
		t.Errorf("rounds %+v, records %+v", h.Rounds, h.Tape.Records)
	}
}

// tornHellos are the hellos of TLS 1.2.
func tornHellos() []Chunk {
	hello := func(t HandshakeType, suites ...byte) []byte {
		return clearRecord(HandshakeRecord, msg(t, slices.Concat([]byte{3, 3}, make([]byte, 33), suites)...)...)
	}
	return []Chunk{
		{Flow: testFlow, From: Opener, Time: testStart, Data: hello(TypeClientHello, 0, 2, 0xc0, 0x2f, 1, 0)},
		{Flow: testFlow, From: Accepter, Time: testStart, Data: hello(TypeServerHello, 0xc0, 0x2f, 0)},
	}
}

func clearRecord(t ContentType, content ...byte) []byte {
	return append([]byte{byte(t), 3, 3, byte(len(content) >> 8), byte(len(content))}, content...)
}
