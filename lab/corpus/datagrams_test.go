package corpus

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"whoasked/capture"
	"whoasked/parse"
)

// tunnelPorts are those that the decoder looks for tunnels at.
var tunnelPorts = []uint16{1194, 1701, 2152, 3544, 4341, 4500, 4789, 4790, 5247, 6081, 8472, 10800, 10801, 37008, 51820}

// TestPortsOfTunnels: a client or server of QUIC or DTLS at a port that some
// tunnel has is answered for as at any other.
func TestPortsOfTunnels(t *testing.T) {
	type recording struct {
		name string
		pkts []packet
		keys *parse.Keys
	}
	var recordings []recording
	for _, c := range quicCases() {
		pkts, log := c.record(t)
		recordings = append(recordings, recording{c.name, pkts, keysOf(log)})
	}
	for _, c := range renegotiated {
		recordings = append(recordings, recording{
			c.name, load(t, filepath.Join("testdata", "dtls", c.name+".pcap")), keysFrom(readFile(t, "testdata", "dtls", c.name+".log")),
		})
	}
	summary := func(pkts []packet, keys *parse.Keys) (s []string) {
		for _, c := range judgeWith(pkts, keys) {
			h, v := c.Handshake, c.verdict
			s = append(s, fmt.Sprintf("%s %q %v %v %v %v", h.Transport(), h.Flow.Via, v.Asked, v.Basis, v.When, v.Reply))
		}
		return s
	}
	client, server := netip.MustParseAddr("198.18.0.10"), netip.MustParseAddr("198.18.0.20")
	for _, r := range recordings {
		for _, keys := range []*parse.Keys{nil, r.keys} {
			var want []string
			for _, ports := range append([]uint16{40000}, tunnelPorts...) {
				for _, pair := range [][2]uint16{{ports, 443}, {40000, ports}} {
					got := summary(moved(t, r.pkts, netip.AddrPortFrom(client, pair[0]), netip.AddrPortFrom(server, pair[1])), keys)
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
