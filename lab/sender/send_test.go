package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"whoasked/capture"
	"whoasked/lab/bench/traffic"
)

// collected keeps what is sent.
type collected struct{ frames [][]byte }

func (c *collected) write(frames [][]byte) error {
	for _, f := range frames {
		c.frames = append(c.frames, bytes.Clone(f))
	}
	return nil
}

// small writes a capture of a few connections.
func small(t *testing.T) (path string, truth traffic.Truth) {
	t.Helper()
	recs, err := traffic.Record()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "small.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if truth, err = traffic.Write(f, traffic.HandshakeProfile(0.0005), recs); err != nil {
		t.Fatal(err)
	}
	return path, truth
}

// TestSend: all packets in their order, and the SYNs between them, each whole and
// unlike the others.
func TestSend(t *testing.T) {
	path, truth := small(t)
	packets, err := load(path)
	if err != nil || int64(len(packets)) != truth.Packets {
		t.Fatalf("%d packets, %v, want %d", len(packets), err, truth.Packets)
	}
	const syns = 40000
	var to collected
	done, err := send(&to, packets, 0, syns)
	if err != nil {
		t.Fatal(err)
	}
	if done.Packets != truth.Packets || done.Syns != syns || len(to.frames) != int(truth.Packets)+syns {
		t.Errorf("%+v, %d frames", done, len(to.frames))
	}
	decoder := capture.NewDecoder()
	seen := map[netip.AddrPort]bool{}
	server := netip.MustParseAddrPort("198.18.254.1:443")
	next := 0
	for _, f := range to.frames {
		var seg capture.Segment
		what := decoder.Decode(1, f, len(f), &seg)
		if seg.Tuple.DstAddr() != server {
			if !bytes.Equal(f, packets[next].frame) {
				t.Fatalf("packet %d is not in its place", next)
			}
			next++
			continue
		}
		if what != capture.TCP || seg.Flags != capture.FlagSYN || seen[seg.Tuple.SrcAddr()] {
			t.Fatalf("%v %+v", what, seg)
		}
		seen[seg.Tuple.SrcAddr()] = true
	}
	if next != len(packets) {
		t.Errorf("%d of %d packets", next, len(packets))
	}
	if s := decoder.Stats(); s.WrongSums > 0 || s.Unsummed > 0 {
		t.Errorf("checksums: %+v", s)
	}
}

// TestPace: nothing is sent before it is due.
func TestPace(t *testing.T) {
	packets := []packet{{0, []byte{1}}, {200 * time.Millisecond, []byte{2}}, {600 * time.Millisecond, []byte{3}}}
	var to collected
	done, err := send(&to, packets, 10, 0)
	if err != nil || done.Seconds < 0.06 {
		t.Errorf("%+v, %v", done, err)
	}
	for i, due := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond} {
		if after := time.Duration(done.times[i] - done.times[0]); len(done.times) != 3 || after < due-time.Millisecond {
			t.Errorf("packet %d of %d is said to have been sent after %v, it is due after %v", i, len(done.times), after, due)
		}
	}
}

func TestLoad(t *testing.T) {
	path, _ := small(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"empty": nil, "header alone": whole[:24], "cut": whole[:len(whole)-1], "other": []byte("\x0a\x0d\x0d\x0a something else in it, and long")} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
