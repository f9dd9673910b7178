package attribute

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"whoasked/parse"
)

// sighted is a connection between fixed ends with the randoms given, 0 for a
// hello that was not seen.
func sighted(id uint64, client, server byte, v Verdict) *Connection {
	h := &parse.Handshake{}
	if client != 0 {
		h.ClientHello = &parse.ClientHello{ServerName: "www.contoso.test", Random: [32]byte{client}}
	}
	if server != 0 {
		h.ServerHello = &parse.ServerHello{Random: [32]byte{server}}
	}
	return &Connection{
		ID: id, Client: netip.MustParseAddrPort("198.18.0.10:50000"), Server: netip.MustParseAddrPort("198.18.0.20:443"),
		Handshake: h, Verdict: v,
	}
}

// synced is sighted without hellos, with the sequence numbers of the SYNs given, 0 for
// one that was not seen.
func synced(id uint64, client, server uint32, v Verdict) *Connection {
	c := sighted(id, 0, 0, v)
	for i, seq := range [...]uint32{client, server} {
		c.Opening[i].SYN, c.Opening[i].Seq = seq > 0, seq
	}
	return c
}

func TestSightingsOfOneConnectionCountOnce(t *testing.T) {
	yes := Verdict{Asked: Yes, Basis: Inferred}
	seen := Verdict{Asked: Yes, Basis: Seen}
	no := Verdict{Asked: No, Basis: Inferred}
	dunno := Verdict{Reason: "lost"}
	for _, tt := range []struct {
		name   string
		conns  []*Connection
		want   Asker // counts only
		sameAs []uint64
	}{
		{"the same", []*Connection{sighted(1, 7, 8, yes), sighted(2, 7, 8, yes)}, Asker{Full: 1, Asked: 1}, []uint64{0, 1}},
		{"three", []*Connection{sighted(1, 7, 8, dunno), sighted(2, 7, 8, yes), sighted(3, 7, 8, seen)}, Asker{Full: 1, Asked: 1}, []uint64{0, 1, 1}},
		{"the better one first", []*Connection{sighted(1, 7, 8, yes), sighted(2, 7, 8, dunno)}, Asker{Full: 1, Asked: 1}, []uint64{0, 1}},
		{"the better one second", []*Connection{sighted(1, 7, 0, dunno), sighted(2, 7, 8, no)}, Asker{Full: 1, NotAsked: 1}, []uint64{0, 1}},
		{"stronger evidence of something else", []*Connection{sighted(1, 7, 8, no), sighted(2, 7, 8, seen)}, Asker{Full: 1, Asked: 1}, []uint64{0, 1}},
		{"another client random", []*Connection{sighted(1, 7, 8, yes), sighted(2, 9, 8, yes)}, Asker{Full: 2, Asked: 2}, []uint64{0, 0}},
		{"another server random", []*Connection{sighted(1, 7, 8, yes), sighted(2, 7, 9, yes)}, Asker{Full: 2, Asked: 2}, []uint64{0, 0}},
		{"the server's random alone", []*Connection{sighted(1, 0, 8, yes), sighted(2, 0, 8, yes)}, Asker{Full: 1, Asked: 1}, []uint64{0, 1}},
		{"the server's random alone, another one", []*Connection{sighted(1, 0, 8, yes), sighted(2, 0, 9, yes)}, Asker{Full: 2, Asked: 2}, []uint64{0, 0}},
		{"no hello", []*Connection{sighted(1, 0, 0, no), sighted(2, 0, 0, no)}, Asker{Full: 2, NotAsked: 2}, []uint64{0, 0}},
		{"no hello, the same SYNs", []*Connection{synced(1, 5, 6, yes), synced(2, 5, 6, yes)}, Asker{Full: 1, Asked: 1}, []uint64{0, 1}},
		{"no hello, another SYN-ACK", []*Connection{synced(1, 5, 6, yes), synced(2, 5, 7, yes)}, Asker{Full: 2, Asked: 2}, []uint64{0, 0}},
		{"no hello, no SYN-ACK", []*Connection{synced(1, 5, 0, yes), synced(2, 5, 0, yes)}, Asker{Full: 2, Asked: 2}, []uint64{0, 0}},
	} {
		b := NewBook()
		sum := map[Answer]int{}
		for i, c := range tt.conns {
			n := b.Add(c)
			if n.Again {
				sum[n.Before]--
			}
			sum[n.Answer]++
			if c.SameAs != tt.sameAs[i] {
				t.Errorf("%s: %d is the same as %d, want %d", tt.name, c.ID, c.SameAs, tt.sameAs[i])
			}
		}
		_, askers := b.Finish()
		got := askers[0]
		if len(askers) != 1 || got.Full != tt.want.Full || got.Asked != tt.want.Asked || got.NotAsked != tt.want.NotAsked ||
			got.Unknown != 0 || len(got.Reasons) != 0 {
			t.Errorf("%s: %+v", tt.name, askers)
		}
		if sum[Yes] != tt.want.Asked || sum[No] != tt.want.NotAsked || sum[Unknown] != 0 {
			t.Errorf("%s: %v", tt.name, sum)
		}
	}
}

func TestSightingsAreBounded(t *testing.T) {
	b := NewBook()
	add := func(i int) *Connection {
		c := sighted(uint64(i+1), 1, 1, Verdict{})
		binary.BigEndian.PutUint32(c.ClientHello.Random[4:], uint32(i))
		b.Add(c)
		return c
	}
	const n = 2*maxSightings + 10
	for i := range n {
		add(i)
	}
	if s := &b.sightings; len(s.at) != maxSightings || s.ring.n != maxSightings {
		t.Errorf("%d and %d kept", len(s.at), s.ring.n)
	}
	if c := add(n - 1); c.SameAs != n {
		t.Errorf("the latest is the same as %d", c.SameAs)
	}
	if c := add(0); c.SameAs != 0 {
		t.Errorf("the first is still known, as %d", c.SameAs)
	}
}
