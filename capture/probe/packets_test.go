package probe

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"
)

// packetsOf are packets over what a server says.
func packetsOf(said []byte) (*packets, *scripted) {
	c := &scripted{said: bytes.NewReader(said)}
	return &packets{tap: newTap(c, netip.MustParseAddrPort("198.18.0.20:1433"), time.Unix(0, 0))}, c
}

// FuzzPackets: what is written in packets is read again as it was, also where
// records follow; whatever else a server says has an end.
func FuzzPackets(f *testing.F) {
	f.Add([]byte("\x16\x03\x03\x00\x04\x0e\x00\x00\x00"), []byte("\x12\x01\x00\x0c\x00\x00\x01\x00abcd\x17\x03\x03"))
	f.Add(bytes.Repeat([]byte{22}, 3*packetMost), []byte("\x04\x01\x00\x02\x00\x00\x01\x00\x04\x01\x00\x08\x00\x00\x01\x00\x12"))
	f.Add([]byte{20}, []byte("\x12\x00\xff\xff\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, payload, said []byte) {
		out, wire := packetsOf(nil)
		if _, err := out.Write(payload); err != nil {
			t.Fatal(err)
		}
		in, _ := packetsOf(append(wire.sent, "\x17\x03\x03\x00\x01x"...))
		if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, append(payload, "\x17\x03\x03\x00\x01x"...)) {
			t.Fatalf("%d bytes come back as %d (%v)", len(payload), len(got), err)
		}
		hostile, _ := packetsOf(said)
		if got, _ := io.ReadAll(hostile); len(got) > len(said) {
			t.Errorf("%d bytes of %d", len(got), len(said))
		}
	})
}
