package live

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"whoasked/capture"
)

// turn is what one end sends at a time.
type turn struct {
	client bool
	data   []byte
}

// wiretap takes down what both ends of a pipe write.
type wiretap struct {
	net.Conn
	client bool
	mu     *sync.Mutex
	turns  *[]turn
}

func (w wiretap) Write(b []byte) (int, error) {
	w.mu.Lock()
	*w.turns = append(*w.turns, turn{w.client, append([]byte(nil), b...)})
	w.mu.Unlock()
	return w.Conn.Write(b)
}

// handshake12 returns a handshake of TLS 1.2 without a request for a certificate.
func handshake12(t *testing.T) []turn {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	var turns []turn
	var mu sync.Mutex
	a, b := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	client := tls.Client(wiretap{a, true, &mu, &turns}, &tls.Config{
		InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		CurvePreferences: []tls.CurveID{tls.X25519},
	})
	server := tls.Server(wiretap{b, false, &mu, &turns}, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, SessionTicketsDisabled: true,
	})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return turns
}

// record makes a sealed record of a type with n bytes of plain text.
func record(rng *rand.Rand, typ byte, n int) []byte {
	b := make([]byte, headerLen+n+24)
	b[0], b[1], b[2] = typ, 3, 3
	binary.BigEndian.PutUint16(b[3:], uint16(n+24))
	for i := headerLen; i < len(b); i++ {
		b[i] = byte(rng.Uint32())
	}
	if n > 1000 && rng.IntN(4) == 0 { // something that looks like a record
		copy(b[headerLen+rng.IntN(n-10):], []byte{23, 3, 3, byte(rng.IntN(64)), 7})
	}
	return b
}

// talk is a conversation to be captured.
type talk struct {
	rng   *rand.Rand
	turns []turn
	asked bool
	bulk  int // bytes
}

// carry sends application data, most of it one way.
func (k *talk) carry() {
	most := k.rng.IntN(3) > 0 // by the server
	size := []int{16384, 16384, 1390, 120, 4000}[k.rng.IntN(5)]
	for left := 200_000 + k.rng.IntN(1_000_000); left > 0; {
		from := most == (k.rng.IntN(12) > 0)
		var data []byte
		for range 1 + k.rng.IntN(8) {
			n := size
			if from != most || k.rng.IntN(20) == 0 {
				n = k.rng.IntN(400)
			}
			data = append(data, record(k.rng, applicationData, n)...)
		}
		k.turns = append(k.turns, turn{!from, data})
		left -= len(data)
		k.bulk += len(data)
	}
}

// renegotiate makes a handshake inside, with lengths that tell whether it asked.
func (k *talk) renegotiate(ask, cert bool) {
	flight := func(client bool, lengths ...int) {
		var data []byte
		for _, n := range lengths {
			data = append(data, record(k.rng, 22, n)...)
		}
		k.turns = append(k.turns, turn{client, data})
	}
	k.asked = k.asked || ask
	flight(false, 4)
	flight(true, 220)
	server := []int{90, 300, 150, 4}
	if ask {
		server = []int{90, 300, 150, 60, 4}
	}
	flight(false, server...)
	switch {
	case ask && cert:
		flight(true, 900, 37, 270)
	case ask:
		flight(true, 7, 37)
	default:
		flight(true, 37)
	}
	changed := append(record(k.rng, 20, 1), record(k.rng, 22, 16)...)
	k.turns = append(k.turns, turn{true, changed}, turn{false, changed})
}

// captured is a packet as captured.
type captured struct {
	capture.Segment
	frame []byte // from the network header on
	lost  bool   // by the ring, if it passes the filter
}

// packets cuts a conversation into segments of up to one of some sizes, from SYN to
// FIN or without an end.
func (k *talk) packets(v6 bool, sizes ...int) []captured {
	ends := [2]netip.AddrPort{netip.MustParseAddrPort("198.18.0.1:50000"), netip.MustParseAddrPort("198.18.0.2:443")}
	if v6 {
		ends = [2]netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:50000"), netip.MustParseAddrPort("[2001:db8::2]:443")}
	}
	next := [2]uint32{k.rng.Uint32(), -uint32(k.rng.IntN(500_000))} // wraps soon
	var out []captured
	send := func(from int, flags byte, data []byte) {
		var c captured
		src, dst := ends[from], ends[1-from]
		c.Tuple = capture.Tuple{Src: src.Addr().As16(), Dst: dst.Addr().As16(), SrcPort: src.Port(), DstPort: dst.Port()}
		c.Seq, c.Flags, c.Payload = next[from], flags, data
		if flags&capture.FlagACK != 0 {
			c.Ack = next[1-from]
		}
		next[from] += uint32(len(data))
		if flags&(capture.FlagSYN|capture.FlagFIN) != 0 {
			next[from]++
		}
		c.frame = frameOf(&c.Segment, src, dst)
		out = append(out, c)
	}
	send(0, capture.FlagSYN, nil)
	send(1, capture.FlagSYN|capture.FlagACK, nil)
	send(0, capture.FlagACK, nil)
	most := sizes[k.rng.IntN(len(sizes))]
	for _, t := range k.turns {
		from := 1
		if t.client {
			from = 0
		}
		for data := t.data; len(data) > 0; {
			n := min(len(data), most)
			if k.rng.IntN(10) == 0 {
				n = min(len(data), 1+k.rng.IntN(most))
			}
			send(from, capture.FlagACK|capture.FlagPSH, data[:n])
			data = data[n:]
			if k.rng.IntN(2) == 0 {
				send(1-from, capture.FlagACK, nil)
			}
		}
	}
	switch k.rng.IntN(4) {
	case 0:
		send(0, capture.FlagRST|capture.FlagACK, nil)
	case 1:
	default:
		send(0, capture.FlagFIN|capture.FlagACK, nil)
		send(1, capture.FlagFIN|capture.FlagACK, nil)
		send(0, capture.FlagACK, nil)
	}
	return out
}

// frameOf makes the packet of a segment.
func frameOf(s *capture.Segment, src, dst netip.AddrPort) []byte {
	p := segment(src.String(), dst.String(), s.Flags).data
	at := len(p) - 40 // of the TCP header
	p = append(p[:at+20:at+20], s.Payload...)
	binary.BigEndian.PutUint32(p[at+4:], s.Seq)
	binary.BigEndian.PutUint32(p[at+8:], s.Ack)
	if src.Addr().Is4() {
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	} else {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	}
	return p
}
