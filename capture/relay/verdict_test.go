package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// identity is a self-signed certificate.
func identity(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// judged is a relay whose connections are judged, and settled when they can be.
type judged struct {
	*Relay
	addr     string
	mu       sync.Mutex   // of keys that come meanwhile
	skipped  atomic.Int64 // bytes of bodies that were not handed over
	verdicts chan attribute.Verdict
	settled  chan int // Chunk.Conn
	troubles chan *Trouble
}

func judge(t *testing.T, way Way, o Options) *judged {
	t.Helper()
	return judgeKeyed(t, way, o, parse.NewKeys())
}

// judgeKeyed is judge with a key log.
func judgeKeyed(t *testing.T, way Way, o Options, keys *parse.Keys) *judged {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0", Way{})
	if err != nil {
		t.Fatal(err)
	}
	o.Entries = []Entry{{Listener: l, Way: way}}
	r := &judged{Relay: New(o), addr: l.Addr().String(), verdicts: make(chan attribute.Verdict, 100), settled: make(chan int, 100), troubles: make(chan *Trouble, 1000)}
	if o.Inspect != nil {
		keys.Growing = true
		log := keys.Log()
		o.Inspect.Keys = func(line []byte) { _, _ = log.Write(line) }
	}
	done := make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		p := parse.NewParser(parse.Options{Keys: keys})
		conns := p.NewConns()
		told := make(map[int]bool)
		for ch, err := range r.Chunks(ctx) {
			if tr := (*Trouble)(nil); errors.As(err, &tr) && o.Inspect != nil {
				r.troubles <- tr
				continue
			}
			if err != nil {
				t.Error(err)
				continue
			}
			r.mu.Lock()
			c, _ := conns.Feed(ch)
			r.mu.Unlock()
			r.skipped.Add(int64(ch.Skipped))
			if !c.Bodies() {
				r.Headers(ch.Conn)
			}
			if ch.End == parse.Open {
				if !told[ch.Conn] && attribute.Settled(c.Handshake()) {
					told[ch.Conn] = true
					r.Settle(ch.Conn)
					r.settled <- ch.Conn
				}
				continue
			}
			h := c.Handshake()
			if v := attribute.Judge(h); h.TLS || o.Inspect == nil {
				r.verdicts <- v
			}
			delete(told, ch.Conn)
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return r
}

func (j *judged) verdict(t *testing.T) attribute.Verdict {
	t.Helper()
	select {
	case v := <-j.verdicts:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("no verdict")
		return attribute.Verdict{}
	}
}

// toServer resolves every name to one address.
func toServer(a netip.AddrPort) Resolver {
	return func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{a.Addr()}, nil }
}

// tlsServer sends back what it gets.
func tlsServer(t *testing.T, config *tls.Config) netip.AddrPort {
	return serve(t, func(c *net.TCPConn) {
		defer c.Close()
		s := tls.Server(c, config)
		_, _ = io.Copy(s, s)
		_ = s.CloseWrite()
	})
}

// TestVerdicts runs the scenarios through each way in; crypto/tls knows what is
// true.
func TestVerdicts(t *testing.T) {
	server, user := identity(t, "www.contoso.test"), identity(t, "alice")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAnyClientCert} {
			for _, own := range []bool{false, true} {
				for _, way := range []string{"fixed", "connect", "socks5", "sni"} {
					t.Run(fmt.Sprintf("%s/%v/own=%v/%s", tls.VersionName(version), auth, own, way), func(t *testing.T) {
						client := &tls.Config{ServerName: "www.contoso.test", InsecureSkipVerify: true, MaxVersion: version}
						if own {
							client.Certificates = []tls.Certificate{user}
						}
						testVerdict(t, way, client, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: auth})
					})
				}
			}
		}
	}
}

func testVerdict(t *testing.T, way string, client, server *tls.Config) {
	to := tlsServer(t, server)
	in := map[string]wayIn{
		"sni": {func(string) Way { return SNI(to.Port()) }, plainly, nil},
	}
	for name, w := range ways(t) {
		in[name] = w
	}
	w := in[way]
	r := judge(t, w.way(to.String()), Options{Dial: Dial{Resolver: toServer(to)}})
	raw, err := w.connect(r.addr, to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	conn := tls.Client(raw, client)
	bulk := make([]byte, 1<<20)
	refused := false
	if _, err := conn.Write([]byte("ping")); err != nil {
		refused = true
	} else if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		refused = true
	}
	want := attribute.No
	if server.ClientAuth != tls.NoClientCert {
		want = attribute.Yes
	}
	if refused != (server.ClientAuth == tls.RequireAnyClientCert && client.Certificates == nil) {
		t.Errorf("refused: %v", refused)
	}
	if !refused {
		// An empty answer to an optional request is known for one only when the
		// server goes on, which its echo may tell too late.
		if client.MaxVersion == tls.VersionTLS13 && (client.Certificates != nil || want == attribute.No) {
			select {
			case <-r.settled: // from here on, in the kernel
			case <-time.After(10 * time.Second):
				t.Error("not settled by the first answer")
			}
		}
		go func() { _, _ = conn.Write(bulk) }()
		if _, err := io.ReadFull(conn, bulk); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	}
	raw.Close()
	v := r.verdict(t)
	if v.Asked != want || want == attribute.Yes && v.By != to {
		t.Errorf("asked %v by %v, want %v by %v: %s", v.Asked, v.By, want, to, v.Reason)
	}
}
