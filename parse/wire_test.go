package parse

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// wire is a connection as its writes went over an in-memory pipe.
type wire struct {
	mu     sync.Mutex
	chunks []Chunk
}

var testFlow = Flow{Addrs: [2]netip.AddrPort{
	netip.MustParseAddrPort("198.18.0.10:40000"), netip.MustParseAddrPort("198.18.0.20:443"),
}}

var testStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (w *wire) add(from Side, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := testStart.Add(time.Duration(len(w.chunks)) * time.Millisecond)
	w.chunks = append(w.chunks, Chunk{Flow: testFlow, From: from, Time: at, Data: append([]byte(nil), data...)})
}

// end closes the connection the way a client would.
func (w *wire) end() []Chunk {
	w.add(Opener, nil)
	w.add(Accepter, nil)
	n := len(w.chunks)
	w.chunks[n-2].Fin, w.chunks[n-1].Fin = true, true
	w.chunks[n-1].End = FIN
	return w.chunks
}

type tapConn struct {
	net.Conn
	w    *wire
	from Side
}

func (c tapConn) Write(b []byte) (int, error) {
	c.w.add(c.from, b)
	return c.Conn.Write(b)
}

// testIdentity makes a self-signed certificate.
func testIdentity(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: testStart.Add(-time.Hour), NotAfter: testStart.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// handshake runs crypto/tls on both ends of a pipe, sends a request and a
// response, and returns what went over it.
func handshake(t testing.TB, client, server *tls.Config) []Chunk {
	t.Helper()
	return handshakeSaying(t, client, server, make([]byte, 100))
}

// handshakeSaying is handshake with what the client says first.
func handshakeSaying(t testing.TB, client, server *tls.Config, first []byte) []Chunk {
	t.Helper()
	a, b := net.Pipe()
	w := &wire{}
	deadline := time.Now().Add(20 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := tls.Server(tapConn{b, w, Accepter}, server)
		buf := make([]byte, 1024)
		if n, err := s.Read(buf); err == nil {
			s.Write(buf[:n])
		}
		s.Read(buf) // until the client closes
		b.Close()
	}()
	c := tls.Client(tapConn{a, w, Opener}, client)
	if _, err := c.Write(first); err == nil {
		c.Read(make([]byte, 1024))
	}
	c.Close()
	a.Close()
	<-done
	return w.end()
}

// feed runs chunks through a new Conn and returns all events.
func feed(p *Parser, chunks []Chunk) (*Handshake, []Event) {
	c := p.NewConn()
	var events []Event
	for _, ch := range chunks {
		events = append(events, c.Feed(ch)...)
	}
	return c.Handshake(), events
}

// resplit cuts the data of every chunk into pieces of n bytes.
func resplit(chunks []Chunk, size func() int) []Chunk {
	var out []Chunk
	for _, ch := range chunks {
		data := ch.Data
		for n := size(); n < len(data); n = size() {
			part := ch
			part.Data, part.Fin, part.End = data[:n:n], false, Open
			out = append(out, part)
			data = data[n:]
			ch.Lost, ch.Conflict = 0, 0
		}
		ch.Data = data
		out = append(out, ch)
	}
	return out
}
