package corpus

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"whoasked/capture"
	"whoasked/parse"
)

// tunnelPorts are those that the decoder looks for tunnels at.
var tunnelPorts = []uint16{1194, 1701, 2152, 3544, 4341, 4500, 4789, 4790, 5247, 6081, 8472, 10800, 10801, 37008, 51820}

// datagramRecording is a connection over QUIC or DTLS with its keys.
type datagramRecording struct {
	name string
	pkts []packet
	keys *parse.Keys
}

func datagramRecordings(t *testing.T) (out []datagramRecording) {
	for _, c := range quicCases() {
		pkts, log := c.record(t)
		out = append(out, datagramRecording{c.name, pkts, keysOf(log)})
	}
	for _, c := range renegotiated {
		out = append(out, datagramRecording{
			c.name, load(t, filepath.Join("testdata", "dtls", c.name+".pcap")), keysFrom(readFile(t, "testdata", "dtls", c.name+".log")),
		})
	}
	return out
}

// summary says what became of each connection, but for its tunnels.
func summary(conns []connection) (s []string) {
	for _, c := range conns {
		v := c.verdict
		s = append(s, fmt.Sprintf("%s %v %v %v %v", c.Transport(), v.Asked, v.Basis, v.When, v.Reply))
	}
	return s
}

// TestPortsOfTunnels: a client or server of QUIC or DTLS at a port that some
// tunnel has is answered for as at any other.
func TestPortsOfTunnels(t *testing.T) {
	client, server := netip.MustParseAddr("198.18.0.10"), netip.MustParseAddr("198.18.0.20")
	for _, r := range datagramRecordings(t) {
		for _, keys := range []*parse.Keys{nil, r.keys} {
			var want []string
			for _, ports := range append([]uint16{40000}, tunnelPorts...) {
				for _, pair := range [][2]uint16{{ports, 443}, {40000, ports}} {
					got := summary(judgeWith(moved(t, r.pkts, netip.AddrPortFrom(client, pair[0]), netip.AddrPortFrom(server, pair[1])), keys))
					if want == nil {
						want = got
					}
					if len(got) != 1 || got[0] != want[0] {
						t.Errorf("%s from port %d to %d, keys %v: %q, want %q", r.name, pair[0], pair[1], keys != nil, got, want)
					}
				}
			}
		}
	}
}

// moved gives the datagrams of one connection other ends.
func moved(t *testing.T, pkts []packet, client, server netip.AddrPort) (out []packet) {
	d := capture.NewDecoder()
	var opener netip.AddrPort
	for i, p := range pkts {
		var seg capture.Segment
		if got := d.Decode(p.link, p.data, p.wire, &seg); got != capture.UDP {
			t.Fatalf("packet %d is %v", i, got)
		}
		if i == 0 {
			opener = seg.SrcAddr()
		}
		from, to := server, client
		if seg.SrcAddr() == opener {
			from, to = client, server
		}
		out = append(out, udpPacket(p.at, from, to, seg.Payload))
	}
	return out
}

// TestSplitDatagrams: where the two directions of QUIC or DTLS come by different
// tunnels, they are one connection with the same answer, and via names both; also
// where what comes first is lost.
func TestSplitDatagrams(t *testing.T) {
	client, server := netip.MustParseAddrPort("198.18.0.10:40000"), netip.MustParseAddrPort("198.18.0.20:443")
	for _, r := range datagramRecordings(t) {
		plain := moved(t, r.pkts, client, server)
		for _, keys := range []*parse.Keys{nil, r.keys} {
			want := summary(judgeWith(plain, keys))
			for i, there := range encapsulations {
				back := encapsulations[(i+7)%len(encapsulations)]
				split := splitBy(plain, client, there.wrap, back.wrap)
				conns := judgeWith(split, keys)
				if got := summary(conns); !slices.Equal(got, want) {
					t.Fatalf("%s by %s, back by %s: %q, want %q", r.name, there.name, back.name, got, want)
				}
				a, b := capture.CutVias(conns[0].Flow.Via)
				if a != there.via || b != back.via {
					t.Fatalf("%s by %s, back by %s: via %q", r.name, there.name, back.name, conns[0].Flow.Via)
				}
			}
			// Without the first datagrams there is more or less to tell, but no more
			// connections.
			for n := 1; n < 4; n++ {
				want := len(judgeWith(plain[n:], keys))
				if got := judgeWith(splitBy(plain[n:], client, encapsulations[1].wrap, encapsulations[11].wrap), keys); len(got) != want {
					t.Errorf("%s, %d lost: %d connections, want %d", r.name, n, len(got), want)
				}
			}
		}
	}
}

// splitBy wraps what the client sends in one tunnel and what it gets in another.
func splitBy(pkts []packet, client netip.AddrPort, there, back func([]byte) []byte) (out []packet) {
	for _, p := range pkts {
		wrap := back
		if netip.AddrFrom4([4]byte(p.data[12:16])) == client.Addr() {
			wrap = there
		}
		frame := wrap(ether(0x0800, p.data))
		out = append(out, packet{at: p.at, link: 1, wire: len(frame), data: frame})
	}
	return out
}
