package corpus

import (
	"io/fs"
	"path/filepath"
	"reflect"
	"testing"

	"whoasked/attribute"
	"whoasked/capture/file"
	"whoasked/parse"
)

// early follows packets and returns how many connections were settled, and
// decided, before they ended. It fails where a verdict differs in any field from
// what it was when the connection was first found to be settled, and where the
// answer differs from that of the connection when it was first found to be
// decided, unless a request came later. Where application data is said to change
// nothing, it must not have done so.
func early(t *testing.T, what string, pkts []packet, keys *parse.Keys) (settled, decided, all int) {
	t.Helper()
	atSettled := make(map[*parse.Handshake]attribute.Verdict)
	atDecided := make(map[*parse.Handshake]attribute.Verdict)
	aside := make(map[*parse.Handshake]standing)
	var bench attribute.Bench
	conns := follow(pkts, keys, func(h *parse.Handshake) {
		if h.End != parse.Open || !h.TLS {
			return
		}
		now := standing{bench.Look(h), besideData(h)}
		if was := aside[h]; was.DataAside && was.facts == now.facts && !reflect.DeepEqual(was, now) {
			t.Errorf("%s: %v: application data made of\n%+v\n%+v", what, h.Flow.Addrs, was, now)
		}
		aside[h] = now
		if now.Decided != attribute.Decided(h) || now.Settled != attribute.Settled(h) {
			t.Errorf("%s: %v: %+v, otherwise decided %v, settled %v", what, h.Flow.Addrs, now, attribute.Decided(h), attribute.Settled(h))
		}
		if _, known := atDecided[h]; !known && attribute.Decided(h) {
			atDecided[h] = attribute.Judge(h)
		}
		if _, known := atSettled[h]; attribute.Settled(h) {
			if !known {
				atSettled[h] = attribute.Judge(h)
			}
			if _, known := atDecided[h]; !known {
				t.Errorf("%s: %v: settled but not decided", what, h.Flow.Addrs)
			}
		} else if known {
			t.Errorf("%s: %v: settled no more", what, h.Flow.Addrs)
		}
	})
	for _, c := range conns {
		if v, ok := atDecided[c.Handshake]; ok {
			decided++
			if later := c.verdict.Asked == attribute.Yes && c.verdict.When != attribute.InHandshake; v.Asked != c.verdict.Asked && !later &&
				c.verdict.Asked != attribute.Unknown {
				t.Errorf("%s: %v: decided %+v, in the end %+v", what, c.Flow.Addrs, v, c.verdict)
			}
		}
		if v, ok := atSettled[c.Handshake]; ok {
			settled++
			if !reflect.DeepEqual(v, c.verdict) {
				t.Errorf("%s: %v: settled on\n%+v, in the end\n%+v", what, c.Flow.Addrs, v, c.verdict)
			}
		}
	}
	return settled, decided, len(conns)
}

// standing is how far a connection has come, and on what facts beside application
// data.
type standing struct {
	attribute.Progress
	facts facts
}

// facts count what is not application data.
type facts struct {
	messages, alerts, rounds, records int
	lost                              int64
	hidden                            int
	keys                              parse.KeyState
	tunnel                            string
}

func besideData(h *parse.Handshake) facts {
	f := facts{messages: len(h.Messages), alerts: len(h.Alerts), rounds: len(h.Rounds), keys: h.Keys, tunnel: h.Tunnel}
	for s := range h.Sides {
		f.lost += h.Sides[s].Lost
		f.hidden += h.Sides[s].Hidden + h.Sides[s].Desync
	}
	for _, r := range h.Tape.Records {
		if r.Type != parse.ApplicationData && r.Type != parse.AlertRecord {
			f.records++
		}
	}
	return f
}

// TestSettledGenerated: crypto/tls at both ends, of which every connection has
// to be decided, and those of TLS 1.3 settled.
func TestSettledGenerated(t *testing.T) {
	pkts, _ := generated(t, 600)
	settled, decided, all := early(t, "generated", pkts, nil)
	t.Logf("%d connections, %d decided, %d settled before their end", all, decided, settled)
	if all == 0 || decided != all {
		t.Errorf("%d of %d connections were decided before their end", decided, all)
	}
	tls13 := 0
	for _, c := range judge(pkts) {
		if c.ServerHello != nil && c.ServerHello.Version.IsTLS13() && c.verdict.Asked == attribute.No {
			tls13++
		}
	}
	if settled < tls13 {
		t.Errorf("%d connections settled, though %d of TLS 1.3 were not asked, nor can be later", settled, tls13)
	}
}

// TestSettledShared: other people's software.
func TestSettledShared(t *testing.T) {
	dir := shared(t)
	var settled, decided, all int
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if ext := filepath.Ext(name); ext != ".pcap" && ext != ".pcapng" {
			return nil
		}
		r, err := file.Open(name)
		if err != nil {
			return nil // no capture, or of another kind
		}
		r.Close()
		base, _ := filepath.Rel(dir, name)
		s, k, n := early(t, base, load(t, name), nil)
		settled, decided, all = settled+s, decided+k, all+n
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d connections, %d decided, %d settled before their end", all, decided, settled)
	if settled == 0 || decided == 0 {
		t.Error("none was settled or decided before its end")
	}
}

// TestSettledUnsealed: with keys, nothing is settled before they have said
// what they can.
func TestSettledUnsealed(t *testing.T) {
	dir := shared(t, "matrix")
	for name, log := range map[string]string{"matrix.pcap": "keys.log", "reneg.pcap": "rkeys.log"} {
		settled, _, all := early(t, name, load(t, filepath.Join(dir, name)), keysFrom(readFile(t, dir, log)))
		t.Logf("%s: %d of %d connections settled before their end", name, settled, all)
		if name == "matrix.pcap" && settled == 0 {
			t.Error("none was settled before its end")
		}
	}
}
