//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"whoasked/lab/bench/traffic"
)

// TestDeciding: each connection has a packet that decides it.
func TestDeciding(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.pcap")
	truth, err := traffic.Make(path, traffic.HandshakeProfile(0.002))
	if err != nil {
		t.Fatal(err)
	}
	at, err := deciding(path)
	if err != nil {
		t.Fatal(err)
	}
	for client, packet := range at {
		if packet < 3 || int64(packet) >= truth.Packets {
			t.Errorf("%s is decided by packet %d of %d", client, packet, truth.Packets)
		}
	}
	if len(at) != truth.TLS {
		t.Errorf("%d of %d connections are decided", len(at), truth.TLS)
	}
}

// TestTold: right answers are told from wrong, unknown and missing ones, and from
// those of another run; the latest line about a connection counts.
func TestTold(t *testing.T) {
	truth := &traffic.Truth{}
	lines := `{"kind":"note","note":"dropped-packets","count":7}` + "\n"
	for i := range 8 {
		net := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 0}), 24)
		truth.Scenarios = append(truth.Scenarios, traffic.Expected{Net: net, Asked: i%2 == 1, Connections: 1})
		server := netip.AddrPortFrom(net.Addr().Next(), 443)
		for _, asked := range []string{"unknown", []string{"no", "yes"}[i%2]} {
			lines += fmt.Sprintf(`{"kind":"connection","client":"198.19.0.1:%d","server":"%v","asked":%q,"asked_by":%q}`+"\n", 1000+i, server, asked, server)
		}
	}
	path := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := readTold(path)
	if err != nil || a.notes["dropped-packets"] != 7 || a.against(truth) != (score{right: 8}) {
		t.Fatalf("%v, %+v", err, a)
	}
	b, err := readTold(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, first := a.unlike(b); n != 0 {
		t.Errorf("%d differ from themselves: %s", n, first)
	}
	change := func(port int, asked string) {
		client := fmt.Sprint("198.19.0.1:", port)
		x := b.conns[client]
		x.Asked = asked
		b.conns[client] = x
	}
	change(1000, "yes")
	change(1001, "unknown")
	delete(b.conns, "198.19.0.1:1002")
	if n, _ := a.unlike(b); n != 3 {
		t.Errorf("%d differ, want 3", n)
	}
	got := b.against(truth)
	got.first = ""
	if got != (score{right: 5, wrong: 1, unknown: 1, missing: 1}) {
		t.Errorf("%+v", got)
	}
}
