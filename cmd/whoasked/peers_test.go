package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// peers makes captures of real handshakes without a network.
type peers struct {
	cert tls.Certificate
}

var (
	testClient = netip.MustParseAddr("198.18.0.10")
	testServer = netip.MustParseAddrPort("198.18.0.20:443")
)

func newPeers(t testing.TB) *peers {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "contoso.test"},
		DNSNames:     []string{"www.contoso.test", "www.fabrikam.test"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &peers{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

// pcap returns a capture of connections, one after the other, and writes the
// clients' key log; see cmdCapture.
func (p *peers) pcap(keys io.Writer, connections ...string) ([]byte, error) {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 262144)
	b = binary.LittleEndian.AppendUint32(b, 1) // Ethernet
	w := &pcapWriter{b: b, now: time.Unix(1_790_000_000, 0)}
	for i, c := range connections {
		steps := []step{{client: true, data: []byte("GET / HTTP/1.0\r\n\r\n")}, {data: []byte("HTTP/1.0 200 OK\r\n\r\n")}}
		if c != "plain" {
			var err error
			if steps, err = p.handshake(keys, c); err != nil {
				return nil, fmt.Errorf("%s: %w", c, err)
			}
		}
		w.connection(netip.AddrPortFrom(testClient, uint16(40000+i%20000)), testServer, steps)
	}
	return w.b, nil
}

// handshake runs one handshake and an exchange of data.
func (p *peers) handshake(keys io.Writer, spec string) ([]step, error) {
	parts := append(strings.Split(spec, "/"), "www.contoso.test")
	if len(parts) < 4 {
		return nil, fmt.Errorf("want VERSION/REQUEST/CLIENT")
	}
	server := &tls.Config{Certificates: []tls.Certificate{p.cert}}
	client := &tls.Config{InsecureSkipVerify: true, ServerName: parts[3], KeyLogWriter: keys}
	switch parts[0] {
	case "1.2":
		server.MaxVersion = tls.VersionTLS12
	case "1.3":
		server.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("version %q", parts[0])
	}
	switch parts[1] {
	case "asked":
		server.ClientAuth = tls.RequestClientCert
	case "free":
	default:
		return nil, fmt.Errorf("request %q", parts[1])
	}
	switch parts[2] {
	case "cert":
		client.Certificates = []tls.Certificate{p.cert}
	case "none":
	default:
		return nil, fmt.Errorf("client %q", parts[2])
	}
	return exchange(client, server)
}

// step is what one side wrote at once.
type step struct {
	client bool
	data   []byte
}

// exchange runs both ends over a pipe and records what they write.
func exchange(clientConfig, serverConfig *tls.Config) ([]step, error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	var rec recorder
	client := tls.Client(&tap{Conn: a, rec: &rec, client: true}, clientConfig)
	server := tls.Server(&tap{Conn: b, rec: &rec}, serverConfig)
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(server, server, 4)
		done <- err
	}()
	if _, err := client.Write([]byte("ping")); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
		return nil, err
	}
	if err := <-done; err != nil {
		return nil, err
	}
	return rec.steps, nil
}

type recorder struct {
	mu    sync.Mutex
	steps []step
}

// tap records what one end writes.
type tap struct {
	net.Conn
	rec    *recorder
	client bool
}

func (t *tap) Write(b []byte) (int, error) {
	t.rec.mu.Lock()
	t.rec.steps = append(t.rec.steps, step{t.client, bytes.Clone(b)})
	t.rec.mu.Unlock()
	return t.Conn.Write(b)
}

// pcapWriter puts connections into a pcap file, in microseconds.
type pcapWriter struct {
	b   []byte
	now time.Time
	seq [2]uint32 // of the client and of the server
}

// TCP flags.
const (
	fin = 1 << iota
	syn
	_
	_
	ack
)

func (w *pcapWriter) connection(client, server netip.AddrPort, steps []step) {
	ends := [2]netip.AddrPort{client, server}
	w.seq = [2]uint32{1000, 2000}
	w.segment(ends, 0, syn, nil)
	w.segment(ends, 1, syn|ack, nil)
	w.segment(ends, 0, ack, nil)
	for _, s := range steps {
		from := 1
		if s.client {
			from = 0
		}
		for data := s.data; len(data) > 0; {
			n := min(len(data), 1400)
			w.segment(ends, from, ack, data[:n])
			data = data[n:]
		}
	}
	w.segment(ends, 0, fin|ack, nil)
	w.segment(ends, 1, fin|ack, nil)
	w.segment(ends, 0, ack, nil)
}

func (w *pcapWriter) segment(ends [2]netip.AddrPort, from int, flags byte, payload []byte) {
	w.now = w.now.Add(2 * time.Millisecond)
	to := 1 - from
	tcp := binary.BigEndian.AppendUint16(nil, ends[from].Port())
	tcp = binary.BigEndian.AppendUint16(tcp, ends[to].Port())
	tcp = binary.BigEndian.AppendUint32(tcp, w.seq[from])
	if flags&ack == 0 {
		tcp = append(tcp, 0, 0, 0, 0)
	} else {
		tcp = binary.BigEndian.AppendUint32(tcp, w.seq[to])
	}
	tcp = append(tcp, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	tcp = append(tcp, payload...)
	w.seq[from] += uint32(len(payload))
	if flags&(syn|fin) != 0 {
		w.seq[from]++
	}

	ip := []byte{0x45, 0}
	ip = binary.BigEndian.AppendUint16(ip, uint16(20+len(tcp)))
	ip = append(ip, 0, 0, 0x40, 0, 64, 6, 0, 0)
	ip = append(ip, ends[from].Addr().AsSlice()...)
	ip = append(ip, ends[to].Addr().AsSlice()...)

	frame := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}, append(ip, tcp...)...)
	for _, v := range []int64{w.now.Unix(), int64(w.now.Nanosecond() / 1000), int64(len(frame)), int64(len(frame))} {
		w.b = binary.LittleEndian.AppendUint32(w.b, uint32(v))
	}
	w.b = append(w.b, frame...)
}
