package corpus

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// vpnPacket is one packet of OpenVPN's control channel.
type vpnPacket struct {
	server bool
	data   []byte
}

// vpnEnd is one end of OpenVPN's control channel.
type vpnEnd struct {
	server  bool
	session [8]byte
	replay  uint32   // counts packets, for tls-auth
	sent    uint32   // next message id
	acks    []uint32 // owed to the other end
}

// vpn is a control channel and its traffic.
type vpn struct {
	hmac    int // length, 0 for none
	key     byte
	ends    [2]vpnEnd // client, server
	packets []vpnPacket
}

func newVPN(hmac int) *vpn {
	v := &vpn{hmac: hmac}
	v.ends[1].server = true
	rand.Read(v.ends[0].session[:])
	rand.Read(v.ends[1].session[:])
	return v
}

// send writes a packet as OpenVPN's documentation of its protocol draws it.
func (v *vpn) send(from int, op byte, payload []byte) {
	const ack = 5
	e, peer := &v.ends[from], &v.ends[1-from]
	e.replay++
	b := append([]byte{op<<3 | v.key}, e.session[:]...)
	if v.hmac > 0 {
		h := make([]byte, v.hmac)
		rand.Read(h)
		b = binary.BigEndian.AppendUint32(append(b, h...), e.replay)
		b = binary.BigEndian.AppendUint32(b, 1_600_000_000)
	}
	owed := e.acks[:min(len(e.acks), 4)]
	e.acks = e.acks[len(owed):]
	b = append(b, byte(len(owed)))
	for _, id := range owed {
		b = binary.BigEndian.AppendUint32(b, id)
	}
	if len(owed) > 0 {
		b = append(b, peer.session[:]...)
	}
	if op != ack {
		b = binary.BigEndian.AppendUint32(b, e.sent)
		peer.acks = append(peer.acks, e.sent)
		e.sent++
	}
	v.packets = append(v.packets, vpnPacket{e.server, append(b, payload...)})
}

// handshake sends flights of TLS in pieces of at most size bytes, behind the
// resets that begin a session of TLS.
func (v *vpn) handshake(flights []flight, size int) {
	const softReset, control, ack, clientReset, serverReset = 3, 4, 5, 7, 8
	if v.key == 0 {
		v.send(0, clientReset, nil)
		v.send(1, serverReset, nil)
	} else {
		v.ends[0].sent, v.ends[1].sent = 0, 0
		v.ends[0].acks, v.ends[1].acks = nil, nil
		v.send(1, softReset, nil)
		v.send(0, softReset, nil)
	}
	for _, f := range flights {
		from := 0
		if f.server {
			from = 1
		}
		for i, piece := range slices.Collect(slices.Chunk(f.data, size)) {
			v.send(from, control, piece)
			if i%3 == 2 {
				v.send(1-from, ack, nil)
			}
		}
	}
	v.send(0, 9, make([]byte, 200)) // data
	v.send(1, 9, make([]byte, 1200))
}

var (
	vpnClient = netip.MustParseAddrPort("198.18.0.2:40000")
	vpnServer = netip.MustParseAddrPort("198.18.0.3:1194")
)

// udp is the traffic over UDP.
func (v *vpn) udp() []packet {
	var out []packet
	for i, p := range v.packets {
		src, dst := vpnClient, vpnServer
		if p.server {
			src, dst = dst, src
		}
		out = append(out, udpPacket(int64(1e18)+int64(i)*1e6, src, dst, p.data))
	}
	return out
}

// tcp is the traffic over TCP, in segments of at most cut bytes.
func (v *vpn) tcp(cut int) []packet {
	seq := [2]uint32{1000, 2000}
	var out []packet
	add := func(from int, flags byte, data []byte) {
		src, dst := vpnClient, vpnServer
		if from == 1 {
			src, dst = dst, src
		}
		out = append(out, tcpPacket(int64(1e18)+int64(len(out))*1e6, src, dst, seq[from], seq[1-from], flags, data))
		seq[from] += uint32(len(data))
		if flags&(capture.FlagSYN|capture.FlagFIN) != 0 {
			seq[from]++
		}
	}
	add(0, capture.FlagSYN, nil)
	add(1, capture.FlagSYN|capture.FlagACK, nil)
	for i := 0; i < len(v.packets); {
		// Packets of one end in a row share segments.
		from, data := v.packets[i].server, []byte(nil)
		for ; i < len(v.packets) && v.packets[i].server == from; i++ {
			data = append(binary.BigEndian.AppendUint16(data, uint16(len(v.packets[i].data))), v.packets[i].data...)
		}
		side := 0
		if from {
			side = 1
		}
		for piece := range slices.Chunk(data, cut) {
			add(side, capture.FlagACK, piece)
		}
	}
	add(0, capture.FlagFIN|capture.FlagACK, nil)
	add(1, capture.FlagFIN|capture.FlagACK, nil)
	return out
}

// tcpPacket is a packet of TCP over IPv4.
func tcpPacket(at int64, src, dst netip.AddrPort, seq, ack uint32, flags byte, data []byte) packet {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0}
	b = append(append(b, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return packet{at: at, link: 101, wire: len(b), data: b}
}

// TestOpenVPN: handshakes of crypto/tls in OpenVPN's control channel, with every
// HMAC there is, over UDP and TCP, in disorder, twice, and with losses.
func TestOpenVPN(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for auth, asked := range map[tls.ClientAuthType]attribute.Answer{tls.RequireAnyClientCert: attribute.Yes, tls.NoClientCert: attribute.No} {
			said := flights(t, version, auth)
			for _, hmac := range []int{0, 16, 20, 28, 32, 48, 64} {
				v := newVPN(hmac)
				v.handshake(said, 300)
				name := fmt.Sprintf("%s, %v, HMAC of %d", tls.VersionName(version), asked, hmac)
				check := func(what string, pkts []packet) []connection {
					t.Helper()
					conns := judge(pkts)
					if len(conns) != 1 {
						t.Fatalf("%s, %s: %d connections", name, what, len(conns))
					}
					c := &conns[0]
					if c.verdict.Asked != asked || c.Method != "openvpn" || c.Covered || c.Preamble != "" {
						t.Errorf("%s, %s: %v %v %q", name, what, c.verdict.Asked, c.verdict.Reason, c.Method)
					}
					if asked == attribute.Yes && c.verdict.By != vpnServer {
						t.Errorf("%s, %s: asked by %v", name, what, c.verdict.By)
					}
					return conns
				}
				udp := v.udp()
				whole := check("udp", udp)
				check("tcp", v.tcp(1400))
				check("tcp in small segments", v.tcp(7))
				var twice []packet
				swapped := slices.Clone(udp)
				for i, p := range udp {
					twice = append(twice, p, p)
					if i > 4 && i%2 == 1 { // behind the resets
						swapped[i-1].data, swapped[i].data = swapped[i].data, swapped[i-1].data
					}
				}
				check("udp twice", twice)
				check("udp in disorder", swapped)
				for i := range udp {
					notInverted(t, fmt.Sprintf("%s, udp without packet %d", name, i), judge(slices.Delete(slices.Clone(udp), i, i+1)), answers(whole))
				}
				tcp := v.tcp(500)
				for i := range tcp {
					notInverted(t, fmt.Sprintf("%s, tcp without packet %d", name, i), judge(slices.Delete(slices.Clone(tcp), i, i+1)), answers(whole))
				}
				for _, snap := range []int{60, 100, 200} {
					notInverted(t, fmt.Sprintf("%s, snap length %d", name, snap), judge(snapped(udp, snap)), answers(whole))
				}
			}
		}
	}
}

func snapped(pkts []packet, n int) []packet {
	out := slices.Clone(pkts)
	for i := range out {
		out[i].data = out[i].data[:min(n, len(out[i].data))]
	}
	return out
}

// TestOpenVPNRenewal: behind a soft reset runs another session of TLS, which over
// UDP is a connection of its own.
func TestOpenVPNRenewal(t *testing.T) {
	v := newVPN(20)
	v.handshake(flights(t, tls.VersionTLS12, tls.NoClientCert), 500)
	for v.key = 1; v.key < 4; v.key++ {
		v.handshake(flights(t, tls.VersionTLS12, tls.RequireAnyClientCert), 500)
	}
	count := func(conns []connection) (n [3]int) {
		for i := range conns {
			n[conns[i].verdict.Asked]++
		}
		return n
	}
	udp := v.udp()
	if got := count(judge(udp)); got != [3]int{attribute.No: 1, attribute.Yes: 3} {
		t.Errorf("%v", got)
	}
	// Begun to be captured behind the hard resets.
	if got := count(judge(udp[2:])); got != [3]int{attribute.No: 1, attribute.Yes: 3} {
		t.Errorf("from the hello on: %v", got)
	}
	// Over TCP no more than the first is read, and it is not mixed up with others.
	if got := count(judge(v.tcp(1400))); got != [3]int{attribute.No: 1} {
		t.Errorf("tcp: %v", got)
	}
}

// TestOpenVPNCovered: what tls-crypt covers is not told as something else.
func TestOpenVPNCovered(t *testing.T) {
	random := func(n int) []byte {
		b := make([]byte, n)
		rand.Read(b)
		return b
	}
	first := slices.Concat([]byte{7 << 3}, random(8), []byte{0, 0, 0, 1, 0x60, 0, 0, 0}, random(32+5))
	brought := random(299)
	binary.BigEndian.PutUint16(brought[297:], 299)
	first2 := slices.Concat([]byte{10 << 3}, random(8), []byte{0x0a, 1, 0, 1, 0x60, 0, 0, 0}, random(32+5), brought)
	for i, b := range [][]byte{first, first2} {
		var last *parse.Handshake
		v := vpn{packets: []vpnPacket{{false, b}, {true, slices.Concat([]byte{8 << 3}, random(63))}, {false, slices.Concat([]byte{4 << 3}, random(400))}}}
		for _, pkts := range [][]packet{v.udp(), v.tcp(1400)} {
			last = nil
			if conns := follow(pkts, nil, func(h *parse.Handshake) { last = h }); len(conns) != 0 {
				t.Errorf("%d: %d connections of TLS", i, len(conns))
			}
			if last == nil || !last.Covered || last.Method != "openvpn" {
				t.Errorf("%d: %q, covered %v", i, last.Method, last.Covered)
			}
		}
	}
	if parse.OpeningOf(slices.Concat(first, []byte{1})) != parse.NoOpening {
		t.Error("one byte too long, and still taken for OpenVPN")
	}
}
