//go:build linux

package lab

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"whoasked/lab/bench/traffic"
)

// tagFrames puts VLAN tags into the frames of a capture as package traffic writes
// it: 802.1Q (0x8100) for clients at even addresses, 802.1ad (0x88a8) for others.
func tagFrames(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	order := binary.LittleEndian
	out := slices.Clone(b[:24])
	for b = b[24:]; len(b) >= 16; {
		n := order.Uint32(b[8:])
		head, frame := slices.Clone(b[:16]), b[16:16+n]
		order.PutUint32(head[8:], n+4)
		order.PutUint32(head[12:], order.Uint32(head[12:])+4)
		tag := []byte{0x81, 0x00, 0x60, 12} // with a priority
		if (frame[29]^frame[33])&1 == 1 {   // the last bytes of both addresses
			tag[0], tag[1] = 0x88, 0xa8
		}
		out = slices.Concat(out, head, frame[:12], tag, frame[12:])
		b = b[16+n:]
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWatchVLAN sends tagged frames over the link. The kernel takes the tags out and
// keeps them beside the packets, as network cards do: watch puts them back, and
// tells of each connection what read tells from tcpdump's capture.
func TestWatchVLAN(t *testing.T) {
	l := New(t, "go")
	program, sender := buildProgram(t, l), filepath.Join(l.Dir, "sender")
	if err := goBuild(sender, "whoasked/lab/sender"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.Dir, "tagged.pcap")
	truth, err := traffic.Make(path, traffic.HandshakeProfile(0.005))
	if err != nil {
		t.Fatal(err)
	}
	tagFrames(t, path)
	for _, ns := range []Namespace{l.Net.Client, l.Net.Server} {
		ip(t, "-n", ns.Name, "link", "set", Device, "mtu", "1504") // for the tag
	}
	dump := StartCapture(t, l.Net.Server, Device, filepath.Join(l.Dir, "vlan.pcap"))
	watches := []*Watch{
		StartWatch(t, l.Net.Server, program, filepath.Join(l.Dir, "vlan.jsonl"), 1, "-i", Device),
		StartWatch(t, l.Net.Server, program, filepath.Join(l.Dir, "plain.jsonl"), 1, "-i", Device, "--plain-filter"),
	}
	if out, err := l.Net.Client.Command(sender, Device, path, "1", "0").CombinedOutput(); err != nil {
		t.Fatalf("send: %v\n%s", err, out)
	}
	dump.Stop(t)
	want := ReadCapture(t, program, dump.Path)
	for _, w := range watches {
		w.Stop(t)
		got := ReadAnswers(t, w.Path)
		if told, _ := got.Same(t, w.Name, want); told != truth.TLS || got.Notes["dropped-packets"] > 0 {
			t.Errorf("watch %s: %d connections told, %d sent; notes %v", w.Name, told, truth.TLS, got.Notes)
		}
		for key, list := range got.Connections {
			if via, _ := list[0]["via"].(string); !strings.Contains(via, "12") {
				t.Errorf("watch %s: %s came by %q", w.Name, key, via)
			}
		}
	}
}
