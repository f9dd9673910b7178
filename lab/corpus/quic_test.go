package corpus

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"whoasked/attribute"
	"whoasked/parse"
)

// tapped is a packet connection whose datagrams are recorded as IP packets.
type tapped struct {
	net.PacketConn
	mu   sync.Mutex
	pkts []packet
}

func (c *tapped) WriteTo(b []byte, to net.Addr) (int, error) {
	c.record(c.LocalAddr(), to, b)
	return c.PacketConn.WriteTo(b, to)
}

func (c *tapped) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	if err == nil {
		c.record(from, c.LocalAddr(), b[:n])
	}
	return n, from, err
}

func (c *tapped) record(from, to net.Addr, data []byte) {
	src, dst := from.(*net.UDPAddr).AddrPort(), to.(*net.UDPAddr).AddrPort()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := int64(1e18) + int64(len(c.pkts))*int64(time.Millisecond)
	c.pkts = append(c.pkts, udpPacket(at, src, dst, data))
}

// udpPacket is an IPv4 packet without a link layer (link type 101).
func udpPacket(at int64, src, dst netip.AddrPort, data []byte) packet {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0}
	b = append(append(b, src.Addr().Unmap().AsSlice()...), dst.Addr().Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	b = append(append(b, 0, 0), data...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	sumHeader(b[:20])
	return packet{at: at, link: 101, wire: len(b), data: b}
}

// quicCase is one connection of quic-go with itself.
type quicCase struct {
	name    string
	auth    tls.ClientAuthType
	certify bool // the client has a certificate
	version quic.Version
	retry   bool
	curves  []tls.CurveID // nil for the default, whose hello takes two packets
	resumed bool          // the recorded connection resumes a session

	asked    attribute.Answer
	reply    attribute.Reply
	required attribute.Answer
}

func quicCases() []quicCase {
	const v1, v2 = quic.Version1, quic.Version2
	small := []tls.CurveID{tls.X25519}
	return []quicCase{
		{name: "not asked", auth: tls.NoClientCert, version: v1, asked: attribute.No},
		{name: "not asked, small hello", auth: tls.NoClientCert, version: v1, curves: small, asked: attribute.No},
		{name: "not asked, v2", auth: tls.NoClientCert, version: v2, asked: attribute.No},
		{name: "not asked, Retry", auth: tls.NoClientCert, version: v1, retry: true, asked: attribute.No},
		{name: "optional, none sent", auth: tls.RequestClientCert, version: v1, asked: attribute.Yes, reply: attribute.ReplyEmpty},
		{name: "optional, sent", auth: tls.RequestClientCert, certify: true, version: v1, asked: attribute.Yes, reply: attribute.ReplyCert},
		{name: "optional, sent, Retry, v2", auth: tls.RequestClientCert, certify: true, version: v2, retry: true, curves: small, asked: attribute.Yes, reply: attribute.ReplyCert},
		{name: "required, none sent", auth: tls.RequireAnyClientCert, version: v1, asked: attribute.Yes, reply: attribute.ReplyEmpty, required: attribute.Yes},
		{name: "required, sent", auth: tls.RequireAnyClientCert, certify: true, version: v2, asked: attribute.Yes, reply: attribute.ReplyCert},
		{name: "resumed", auth: tls.NoClientCert, version: v1, resumed: true, asked: attribute.No},
	}
}

func selfSigned(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// record runs the case over loopback and returns the client's datagrams and the
// key log.
func (c *quicCase) record(t testing.TB) ([]packet, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	serverConn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := quic.Transport{Conn: serverConn, VerifySourceAddress: func(net.Addr) bool { return c.retry }}
	defer serverConn.Close()
	defer server.Close()
	listener, err := server.Listen(&tls.Config{
		Certificates: []tls.Certificate{selfSigned(t, "portal.contoso.test")}, ClientAuth: c.auth, NextProtos: []string{"h3"},
	}, &quic.Config{Versions: []quic.Version{quic.Version1, quic.Version2}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { // echoes what each connection sends
		for {
			conn, err := listener.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				if s, err := conn.AcceptStream(ctx); err == nil {
					io.Copy(s, s)
					s.Close()
				}
			}()
		}
	}()
	var keys bytes.Buffer
	config := &tls.Config{
		ServerName: "portal.contoso.test", InsecureSkipVerify: true, NextProtos: []string{"h3"}, KeyLogWriter: &keys,
		CurvePreferences: c.curves, ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	if c.certify {
		config.Certificates = []tls.Certificate{selfSigned(t, "client")}
	}
	pkts := c.dial(ctx, t, listener.Addr(), config)
	if c.resumed {
		pkts = c.dial(ctx, t, listener.Addr(), config)
	}
	return pkts, keys.Bytes()
}

// dial makes one connection, an echo on it, and closes it.
func (c *quicCase) dial(ctx context.Context, t testing.TB, to net.Addr, config *tls.Config) []packet {
	t.Helper()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap := &tapped{PacketConn: udp}
	client := quic.Transport{Conn: tap}
	defer udp.Close()
	defer client.Close()
	conn, err := client.Dial(ctx, to, config, &quic.Config{Versions: []quic.Version{c.version}})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := conn.OpenStreamSync(ctx); err == nil {
		s.Write([]byte("hello"))
		s.Close()
		io.Copy(io.Discard, s) // until the echo ends, or the server refuses
	}
	conn.CloseWithError(0, "")
	tap.mu.Lock()
	defer tap.mu.Unlock()
	return slices.Clone(tap.pkts)
}

func keysOf(log []byte) *parse.Keys {
	keys := parse.NewKeys()
	keys.Log().Write(log)
	return keys
}

// TestQUIC holds answers against quic-go: hello and Retry without keys, the whole
// verdict with them.
func TestQUIC(t *testing.T) {
	for _, c := range quicCases() {
		t.Run(c.name, func(t *testing.T) {
			pkts, log := c.record(t)
			for _, keys := range []*parse.Keys{nil, keysOf(log)} {
				conns := judgeWith(pkts, keys)
				if len(conns) != 1 {
					t.Fatalf("%d connections", len(conns))
				}
				h, v := conns[0].Handshake, conns[0].verdict
				if h.ClientHello == nil || h.ServerHello == nil || h.Transport() != "quic" {
					t.Fatalf("%+v", h)
				}
				if h.ClientHello.ServerName != "portal.contoso.test" || !slices.Equal(h.ClientHello.ALPN, []string{"h3"}) ||
					h.ServerHello.Version != parse.TLS13 || h.QUIC.Retry != c.retry || h.QUIC.Unread != 0 {
					t.Errorf("%+v, %+v, %+v", h.ClientHello, h.ServerHello, h.QUIC)
				}
				if want := map[quic.Version]string{quic.Version1: "1", quic.Version2: "2"}[c.version]; h.QUIC.Version != want {
					t.Errorf("version %s, want %s", h.QUIC.Version, want)
				}
				want := c
				if keys == nil && !c.resumed {
					want.asked, want.reply, want.required = attribute.Unknown, attribute.NoReply, attribute.Unknown
				}
				if v.Asked != want.asked || v.Reply != want.reply || v.Required != want.required || v.Resumed != c.resumed {
					t.Errorf("keys %v: %+v", keys != nil, v)
				}
				if keys != nil && !c.resumed && v.Basis != attribute.Unsealed {
					t.Errorf("rests on %v", v.Basis)
				}
				if v.Asked == attribute.Yes && v.By != h.Flow.Addrs[parse.Accepter] {
					t.Errorf("asked by %v", v.By)
				}
			}
		})
	}
}

// TestDatagramsLost: no loss, change of order or repetition of datagrams turns an
// answer around, and repetition costs none.
func TestDatagramsLost(t *testing.T) {
	check := func(t *testing.T, pkts []packet, keys *parse.Keys) {
		judge := func(pkts []packet) []connection { return judgeWith(pkts, keys) }
		whole := answers(judge(pkts))
		for i := range pkts {
			notInverted(t, "one lost", judge(slices.Delete(slices.Clone(pkts), i, i+1)), whole)
			notInverted(t, "begun late", judge(pkts[i:]), whole)
			for j := i + 1; j < min(i+4, len(pkts)); j++ {
				mixed := slices.Clone(pkts)
				mixed[i], mixed[j] = mixed[j], mixed[i]
				mixed[i].at, mixed[j].at = pkts[i].at, pkts[j].at
				notInverted(t, "two swapped", judge(mixed), whole)
				less := slices.Delete(slices.Clone(pkts), i, i+1)
				notInverted(t, "two lost", judge(slices.Delete(less, j-1, j)), whole)
			}
			if t.Failed() {
				return
			}
		}
		var twice []packet
		for _, p := range pkts {
			twice = append(twice, p, p)
		}
		same(t, "all twice", judge(twice), whole)
	}
	for _, c := range quicCases() {
		t.Run(c.name, func(t *testing.T) {
			pkts, log := c.record(t)
			pkts = pkts[:min(len(pkts), 24)]
			check(t, pkts, nil)
			check(t, pkts, keysOf(log))
		})
	}
	for _, name := range []string{
		"CERTCC+tapioca/pcaps/dtls_null.pcap", "Lekensteyn+wireshark-notes/captures/voip/webrtc-freeswitch.pcapng",
		"ntop+nDPI/tests/cfgs/default/pcap/capwap.pcap", "ntop+nDPI/tests/cfgs/default/pcap/stun_dtls_rtp.pcapng",
		"zeek+zeek/testing/btest/Traces/tls/dtls1_2.pcap", "zeek+zeek/testing/btest/Traces/tls/dtls13-wolfssl.pcap",
		"kynesim+wireshark/test/captures/wpa-eap-tls.pcap.gz", "Nyahon+HEIGVD-SWI-Labo3-WPA-Entreprise/capture.pcapng",
	} {
		t.Run(name, func(t *testing.T) {
			pkts := load(t, shared(t, "public", name))
			pkts = slices.DeleteFunc(pkts, func(p packet) bool { var s segment; return s.decode(p) })
			check(t, pkts[:min(len(pkts), 150)], nil)
		})
	}
}

// TestQUICPortReused: several connections one after the other on the same ports
// are judged one by one.
func TestQUICPortReused(t *testing.T) {
	cases := quicCases()
	all := parse.NewKeys()
	var pkts []packet
	var want []attribute.Answer
	client, server := netip.MustParseAddrPort("198.18.0.10:40000"), netip.MustParseAddrPort("198.18.0.20:443")
	for _, c := range []quicCase{cases[0], cases[5], cases[3], cases[8], cases[1]} {
		one, log := c.record(t)
		all.Log().Write(log)
		want = append(want, c.asked)
		opener := one[0].data[20:22] // its port
		for _, p := range one {
			from, to := server, client
			if bytes.Equal(p.data[20:22], opener) {
				from, to = client, server
			}
			pkts = append(pkts, udpPacket(int64(1e18)+int64(len(pkts))*1e6, from, to, p.data[28:]))
		}
	}
	var got []attribute.Answer
	for _, c := range judgeWith(pkts, all) {
		got = append(got, c.verdict.Asked)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
