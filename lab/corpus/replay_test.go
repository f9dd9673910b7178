package corpus

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/lab/bench/traffic"
	"whoasked/parse"
)

// packet is one packet of a capture, with bytes of its own.
type packet struct {
	at   int64
	link capture.LinkType
	wire int
	data []byte
}

// load reads all packets of a capture; a file cut short gives what it has.
func load(t testing.TB, name string) []packet {
	t.Helper()
	r, err := file.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []packet
	for {
		var p file.Packet
		if err := r.Next(&p); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Logf("%s: %v", filepath.Base(name), err)
			}
			return out
		}
		out = append(out, packet{p.Time, p.Link, p.WireLen, append([]byte(nil), p.Data...)})
	}
}

// connection is a judged connection.
type connection struct {
	*parse.Handshake
	verdict attribute.Verdict
}

// judge runs the line over packets: decode, put in order, parse, judge.
func judge(pkts []packet) []connection { return judgeWith(pkts, nil) }

// judgeWith is judge with keys.
func judgeWith(pkts []packet, keys *parse.Keys) []connection {
	return follow(pkts, keys, func(*parse.Handshake) {})
}

// follow is judgeWith with a look at every connection after each of its chunks.
func follow(pkts []packet, keys *parse.Keys, look func(*parse.Handshake)) []connection {
	conns := parse.NewParser(parse.Options{Keys: keys}).NewConns()
	var out []connection
	dec := capture.NewDecoder()
	tracker := capture.NewTracker(capture.Limits{}, dec.ViaName, func(ch *parse.Chunk) bool {
		c, _ := conns.Feed(ch)
		h := c.Handshake()
		look(h)
		if ch.End != parse.Open && h.TLS {
			out = append(out, connection{h, attribute.Judge(h)})
		}
		return true
	})
	for i := range pkts {
		var seg capture.Segment
		switch dec.Decode(pkts[i].link, pkts[i].data, pkts[i].wire, &seg) {
		case capture.TCP:
			tracker.Segment(pkts[i].at, &seg)
		case capture.UDP:
			tracker.Datagram(pkts[i].at, &seg)
		case capture.EAPOL:
			tracker.EAPOL(pkts[i].at, &seg)
		}
	}
	tracker.Flush(parse.CaptureEnd)
	return out
}

// shared returns the folder of captures beside the project, or skips.
func shared(t testing.TB, elem ...string) string {
	t.Helper()
	dir := filepath.Join(append([]string{"..", "..", "..", "shared", "captures"}, elem...)...)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no captures beside the project: %v", err)
	}
	return dir
}

// generated makes a capture of crypto/tls handshakes of every kind, and returns
// what is right to say about it.
func generated(t testing.TB, connections int) ([]packet, traffic.Truth) {
	t.Helper()
	recs, err := traffic.Record()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "generated.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := traffic.Write(f, traffic.Profile{Name: "corpus", Seed: 7, Duration: time.Second, Short: connections}, recs)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return load(t, name), truth
}

// segment is the TCP segment in a packet.
type segment struct{ capture.Segment }

func (s *segment) decode(p packet) bool {
	return capture.NewDecoder().Decode(p.link, p.data, p.wire, &s.Segment) == capture.TCP
}
