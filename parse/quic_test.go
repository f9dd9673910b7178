package parse

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// The example connection of RFC 9001 §A and RFC 9369 §A begins with this
// Destination Connection ID.
const exampleID = "8394c8f03e515708"

func TestQUICInitialSecrets(t *testing.T) {
	for _, c := range []struct {
		v                          quicVersion
		clientIV, serverIV         string
		clientSample, clientMask   string
		serverSample, serverMaskAt string
	}{
		{quicV1, "fa044b2f42a3fd3b46fb255c", "0ac1493ca1905853b0bba03e",
			"d1b1c98dd7689fb8ec11d242b123dc9b", "437b9aec36", "2cd0991cd25b0aac406a5816b6394100", "2ec0d8356a"},
		{quicV2, "91f73e2351d8fa91660e909f", "684dd5621e0c10a6e1ef75d9", "", "", "", ""},
	} {
		client, server := quicInitialKeys(&c.v, unhex(t, exampleID))
		if got := hex.EncodeToString(client.iv[:]); got != c.clientIV {
			t.Errorf("version %s: client iv %s, want %s", c.v.name, got, c.clientIV)
		}
		if c.v.name == "1" {
			if got := hex.EncodeToString(server.iv[:]); got != c.serverIV {
				t.Errorf("version %s: server iv %s, want %s", c.v.name, got, c.serverIV)
			}
			if m := client.mask(unhex(t, c.clientSample)); !bytes.Equal(m[:], unhex(t, c.clientMask)) {
				t.Errorf("client mask %x", m)
			}
			if m := server.mask(unhex(t, c.serverSample)); !bytes.Equal(m[:], unhex(t, c.serverMaskAt)) {
				t.Errorf("server mask %x", m)
			}
		}
	}
}

// TestQUICServerInitial opens the server's packet of RFC 9001 §A.3.
func TestQUICServerInitial(t *testing.T) {
	packet := unhex(t, `cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a
		5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3
		dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84
		022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4
		2158407dd074ee`)
	var p quicPacket
	rest, ok := p.read(packet)
	if !ok || len(rest) != 0 || p.typ != quicInitial || hex.EncodeToString(p.scid) != "f067a5502a4262b5" {
		t.Fatalf("%+v, %d bytes behind", p, len(rest))
	}
	_, server := quicInitialKeys(&quicV1, unhex(t, exampleID))
	frames, ok := server.open(p.whole, p.number, nil)
	if !ok || server.next != 2 {
		t.Fatalf("not opened, next packet %d", server.next)
	}
	const ack, crypto = "0200000000", "06 00 405a"
	if want := unhex(t, ack+crypto+"020000560303"); !bytes.HasPrefix(frames, want) {
		t.Errorf("frames %x", frames)
	}
	packet[len(packet)-1] ^= 1
	if _, ok := server.open(packet, p.number, nil); ok {
		t.Error("a packet with a broken tag was opened")
	}
}

// TestQUICRetryTag checks the Retry packet of RFC 9001 §A.4.
func TestQUICRetryTag(t *testing.T) {
	var p quicPacket
	packet := unhex(t, `ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba`)
	if _, ok := p.read(packet); !ok || p.typ != quicRetry || !p.retryIsGenuine(unhex(t, exampleID)) {
		t.Errorf("%+v", p)
	}
	if p.retryIsGenuine(unhex(t, "8394c8f03e515709")) {
		t.Error("the tag fits another connection ID")
	}
}

// TestQUICChaCha20 opens the packet of RFC 9001 §A.5, which holds a PING.
func TestQUICChaCha20(t *testing.T) {
	secret := unhex(t, "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")
	k := newQUICKeys(&quicV1, 0x1303, hash13(0x1303), secret)
	k.next = 654360564
	frames, ok := k.open(unhex(t, "4cfe4189655e5cd55c41f69080575d7999c25a5bfb"), 1, nil)
	if !ok || !bytes.Equal(frames, []byte{1}) || k.next != 654360565 {
		t.Errorf("%x %v, next %d", frames, ok, k.next)
	}
}

func TestSorter(t *testing.T) {
	const text = "abcdefghijklmnopqrstuvwxyz"
	for name, pieces := range map[string][][2]int{
		"in order":    {{0, 10}, {10, 26}},
		"backwards":   {{20, 26}, {10, 20}, {0, 10}},
		"overlapping": {{5, 15}, {12, 26}, {3, 8}, {0, 6}},
		"twice":       {{0, 10}, {0, 10}, {5, 26}, {8, 12}},
		"enclosing":   {{5, 6}, {9, 10}, {3, 20}, {0, 26}},
	} {
		var s sorter
		var got []byte
		for _, p := range pieces {
			if !s.take(uint64(p[0]), []byte(text[p[0]:p[1]]), func(b []byte) { got = append(got, b...) }) {
				t.Errorf("%s: %v is beyond the bounds", name, p)
			}
		}
		if string(got) != text || s.held != 0 || len(s.runs) != 0 {
			t.Errorf("%s: %s, %d bytes held", name, got, s.held)
		}
	}
	var s sorter
	for i := range 10_000 { // a hole in front of each
		s.take(uint64(2*i+1), []byte{1}, func([]byte) { t.Error("handed over behind a gap") })
	}
	if s.held > maxSorterHeld || len(s.runs) > maxSorterRuns {
		t.Errorf("%d bytes held in %d runs", s.held, len(s.runs))
	}
}

func TestReplayWindow(t *testing.T) {
	var w replayWindow
	for _, n := range []uint64{0, 2, 1, 70, 69} {
		if !w.add(n) {
			t.Errorf("%d is taken for seen", n)
		}
	}
	for _, n := range []uint64{0, 1, 2, 69, 70} {
		if w.add(n) {
			t.Errorf("%d is new a second time", n)
		}
	}
	if !w.holes() {
		t.Error("3 to 68 are not missed")
	}
	w.add(1 << 40)
	if w.add(3) || !w.lost {
		t.Errorf("%+v", w)
	}
}
