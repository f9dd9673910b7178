package corpus

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// flight is what one side of a TLS handshake says before the other speaks.
type flight struct {
	server bool
	data   []byte
}

type flightConn struct {
	net.Conn
	server bool
	mu     *sync.Mutex
	out    *[]flight
}

func (c flightConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if n := len(*c.out); n > 0 && (*c.out)[n-1].server == c.server {
		(*c.out)[n-1].data = append((*c.out)[n-1].data, b...)
	} else {
		*c.out = append(*c.out, flight{c.server, slices.Clone(b)})
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// flights runs a handshake of crypto/tls.
func flights(t testing.TB, version uint16, auth tls.ClientAuthType) []flight {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(10 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	var mu sync.Mutex
	var out []flight
	server := tls.Server(flightConn{b, true, &mu, &out}, &tls.Config{
		Certificates: []tls.Certificate{selfSigned(t, "radius.contoso.test")}, ClientAuth: auth,
		MinVersion: version, MaxVersion: version, SessionTicketsDisabled: true,
	})
	client := tls.Client(flightConn{a, false, &mu, &out}, &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{selfSigned(t, "supplicant")},
	})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return out
}

// eapPacket is one EAP packet of an authentication.
type eapPacket struct {
	request bool
	data    []byte
}

// eapPackets puts flights into packets of EAP-TLS (RFC 5216 §2.1): the start,
// fragments of at most size bytes, and acknowledgments between them.
func eapPackets(flights []flight, size int) []eapPacket {
	const typ, length, more, start = 13, 0x80, 0x40, 0x20
	var out []eapPacket
	id := byte(7)
	add := func(request bool, body ...byte) {
		code := byte(2)
		if request {
			code = 1
			id++
		}
		p := []byte{code, id, 0, 0, typ}
		p = append(p, body...)
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		out = append(out, eapPacket{request, p})
	}
	add(true, start)
	for i, f := range flights {
		for at := 0; at < len(f.data); at += size {
			piece := f.data[at:min(at+size, len(f.data))]
			flags, head := byte(0), []byte(nil)
			if at == 0 && len(f.data) > size {
				flags, head = length, binary.BigEndian.AppendUint32(nil, uint32(len(f.data)))
			}
			if at+size < len(f.data) {
				flags |= more
			}
			add(f.server, slices.Concat([]byte{flags}, head, piece)...)
			if flags&more != 0 {
				add(!f.server, 0)
			}
		}
		if i == len(flights)-1 && f.server {
			add(false, 0)
		}
	}
	return append(out, eapPacket{true, []byte{3, id, 0, 4}})
}

// radiusPacket wraps an EAP packet (RFC 3579 §3.1).
func radiusPacket(p eapPacket, id byte, station, state string) []byte {
	code := byte(1)
	if p.request {
		if code = 11; p.data[0] == 3 {
			code = 2
		}
	}
	b := append([]byte{code, id, 0, 0}, make([]byte, 16)...)
	add := func(attribute byte, value []byte) {
		b = append(append(b, attribute, byte(2+len(value))), value...)
	}
	for rest := p.data; len(rest) > 0; rest = rest[min(253, len(rest)):] {
		add(79, rest[:min(253, len(rest))])
	}
	if !p.request {
		add(31, []byte(station))
	}
	if state != "" {
		add(24, []byte(state))
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// radiusTraffic is authentications of several stations by turns, between the
// same two ports.
func radiusTraffic(all [][]eapPacket) []packet {
	nas, server := netip.MustParseAddrPort("198.18.0.2:40000"), netip.MustParseAddrPort("198.18.0.3:1812")
	var out []packet
	ids := make([]byte, len(all))
	id := byte(0)
	for i := 0; ; i++ {
		any := false
		for n, packets := range all {
			if i >= len(packets) {
				continue
			}
			any = true
			p, from, to := packets[i], nas, server
			state := fmt.Sprintf("state %d of %d", i/2, n)
			if p.request {
				from, to = server, nas
			} else {
				ids[n], id = id, id+1
				state = fmt.Sprintf("state %d of %d", (i-1)/2, n)
			}
			out = append(out, udpPacket(int64(1e18)+int64(len(out))*1e6, from, to, radiusPacket(p, ids[n], fmt.Sprintf("02-00-00-00-00-%02X", n), state)))
		}
		if !any {
			return out
		}
	}
}

// eapolTraffic is one authentication in Ethernet frames; the supplicant sends to
// the group address of its port.
func eapolTraffic(packets []eapPacket) []packet {
	supplicant, authenticator, group := []byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 2}, []byte{1, 0x80, 0xc2, 0, 0, 3}
	var out []packet
	for i, p := range packets {
		b := slices.Concat(group, supplicant)
		if p.request {
			b = slices.Concat(supplicant, authenticator)
		}
		b = append(b, 0x88, 0x8e, 2, 0, byte(len(p.data)>>8), byte(len(p.data)))
		b = append(b, p.data...)
		out = append(out, packet{at: int64(1e18) + int64(i)*1e6, link: 1, wire: len(b), data: b})
	}
	return out
}

func TestEAP(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		asking := eapPackets(flights(t, version, tls.RequireAnyClientCert), 500)
		silent := eapPackets(flights(t, version, tls.NoClientCert), 500)
		t.Run(tls.VersionName(version)+" in RADIUS", func(t *testing.T) {
			pkts := radiusTraffic([][]eapPacket{asking, silent, asking})
			conns := judge(pkts)
			got := map[attribute.Answer]int{}
			for _, c := range conns {
				got[c.verdict.Asked]++
				if c.Method != "eap-tls" || c.Transport() != "radius" || c.End != parse.FIN {
					t.Errorf("%s over %s, end %v", c.Method, c.Transport(), c.End)
				}
				if c.verdict.Asked == attribute.Yes && c.verdict.By.String() != "198.18.0.3:1812" {
					t.Errorf("asked by %v", c.verdict.By)
				}
			}
			if got[attribute.Yes] != 2 || got[attribute.No] != 1 || len(conns) != 3 {
				t.Errorf("%v", got)
			}
		})
		for name, packets := range map[string][]eapPacket{"asked": asking, "not asked": silent} {
			t.Run(tls.VersionName(version)+" in EAPOL, "+name, func(t *testing.T) {
				pkts := eapolTraffic(packets)
				whole := judge(pkts)
				if len(whole) != 1 || whole[0].verdict.Asked == attribute.Unknown || (whole[0].verdict.Asked == attribute.Yes) != (name == "asked") {
					t.Fatalf("%d connections: %+v", len(whole), whole)
				}
				if by := whole[0].Flow.Addrs[parse.Accepter]; parse.EndName(by) != "02:00:00:00:00:02" {
					t.Errorf("authenticator %v", by)
				}
				for i := range pkts {
					notInverted(t, fmt.Sprintf("without packet %d", i), judge(slices.Delete(slices.Clone(pkts), i, i+1)), answers(whole))
				}
				var twice []packet
				for _, p := range pkts {
					twice = append(twice, p, p)
				}
				same(t, "all twice", judge(twice), answers(whole))
			})
		}
	}
}

// TestEAPAddresses: a frame's ends are told apart by their link addresses.
func TestEAPAddresses(t *testing.T) {
	a := parse.LinkAddr([]byte{2, 0, 0x5e, 0x10, 0, 1})
	if got := parse.HostName(a); got != "02:00:5e:10:00:01" {
		t.Error(got)
	}
	if got := parse.EndName(netip.MustParseAddrPort("[100::1]:443")); got != "[100::1]:443" {
		t.Error(got)
	}
	if !bytes.Equal(a.AsSlice()[10:], []byte{2, 0, 0x5e, 0x10, 0, 1}) {
		t.Error(a)
	}
}
