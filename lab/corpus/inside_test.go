package corpus

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// layer is one TLS connection, inside of those before it.
type layer struct {
	version uint16
	auth    tls.ClientAuthType
	certify bool // the client has a certificate
	// challenged: the proxy answers the first CONNECT with 407.
	challenged bool
}

func (l *layer) name(i int) string { return fmt.Sprintf("layer%d.contoso.test", i) }

func (l *layer) want() attribute.Answer {
	if l.auth == tls.NoClientCert {
		return attribute.No
	}
	return attribute.Yes
}

// recorder keeps what is written at either end of a pipe.
type recorder struct {
	mu     sync.Mutex
	chunks []parse.Chunk
}

var insideFlow = parse.Flow{Addrs: [2]netip.AddrPort{
	netip.MustParseAddrPort("198.18.0.10:40000"), netip.MustParseAddrPort("198.18.0.20:3129"),
}}

func (r *recorder) add(from parse.Side, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(len(r.chunks)) * time.Millisecond)
	r.chunks = append(r.chunks, parse.Chunk{Flow: insideFlow, From: from, Time: at, Data: bytes.Clone(data)})
}

type recordedConn struct {
	net.Conn
	r    *recorder
	from parse.Side
}

func (c recordedConn) Write(b []byte) (int, error) {
	c.r.add(c.from, b)
	return c.Conn.Write(b)
}

// buffered is a connection of which something was read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

func readHead(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.TrimSpace(line) == "" {
			return err
		}
	}
}

// recordInside lets crypto/tls speak through proxies: layer by layer, each but the
// last with a proxy that opens a tunnel. It returns what went over the wire and
// the key log of each layer.
func recordInside(t testing.TB, layers ...layer) (chunks []parse.Chunk, logs [][]byte) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(20 * time.Second)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	r := &recorder{}
	cert := selfSigned(t, "www.contoso.test")
	served := make(chan error, 1)
	go func() { served <- serveInside(recordedConn{b, r, parse.Accepter}, cert, layers) }()
	written := make([]bytes.Buffer, len(layers))
	var conn net.Conn = recordedConn{a, r, parse.Opener}
	for i, l := range layers {
		cfg := &tls.Config{ServerName: l.name(i), InsecureSkipVerify: true, MinVersion: l.version, MaxVersion: l.version, KeyLogWriter: &written[i]}
		if l.certify {
			cfg.Certificates = []tls.Certificate{cert}
		}
		c := tls.Client(conn, cfg)
		in := buffered{c, bufio.NewReader(c)}
		conn = in
		rounds := 1
		if l.challenged {
			rounds = 2
		}
		if i == len(layers)-1 {
			rounds = 0
		}
		for range rounds {
			if _, err := fmt.Fprintf(c, "CONNECT %s:443 HTTP/1.1\r\nHost: x\r\n\r\n", l.name(i+1)); err != nil {
				t.Fatal(err)
			}
			if err := readHead(in.r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := conn.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	a.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	r.add(parse.Opener, nil)
	r.add(parse.Accepter, nil)
	n := len(r.chunks)
	r.chunks[n-2].Fin, r.chunks[n-1].Fin, r.chunks[n-1].End = true, true, parse.FIN
	for i := range written {
		logs = append(logs, written[i].Bytes())
	}
	return r.chunks, logs
}

func serveInside(conn net.Conn, cert tls.Certificate, layers []layer) error {
	defer conn.Close()
	for i, l := range layers {
		s := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: l.auth})
		in := buffered{s, bufio.NewReader(s)}
		conn = in
		answers := []string{"HTTP/1.1 200 Connection established\r\n\r\n"}
		if l.challenged {
			answers = slices.Insert(answers, 0, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		}
		if i == len(layers)-1 {
			answers = nil
		}
		for _, answer := range answers {
			if err := readHead(in.r); err != nil {
				return err
			}
			if _, err := io.WriteString(s, answer); err != nil {
				return err
			}
		}
	}
	if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
		return err
	}
	_, err := conn.Write(make([]byte, 5000))
	_, _ = conn.Read(make([]byte, 1)) // until the client closes
	return err
}

// parsed feeds chunks to a new connection and returns its record and those of
// what is inside.
func parsed(k *parse.Keys, chunks []parse.Chunk) (all []*parse.Handshake) {
	p := parse.NewParser(parse.Options{Keys: k})
	c := p.NewConn()
	for _, ch := range chunks {
		c.Feed(ch)
	}
	h := c.Handshake()
	p.Recycle(c)
	for ; h != nil; h = h.Inner {
		all = append(all, h)
	}
	return all
}

// insideCases is every pair of layers that differ in what matters.
func insideCases() (all [][]layer) {
	for _, outer := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, inner := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for i, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert} {
				for _, certify := range []bool{false, true} {
					all = append(all, []layer{
						{version: outer, auth: []tls.ClientAuthType{tls.RequestClientCert, tls.NoClientCert}[i], challenged: certify},
						{version: inner, auth: auth, certify: certify},
					})
				}
			}
		}
	}
	return append(all,
		[]layer{{version: tls.VersionTLS13}, {version: tls.VersionTLS12, auth: tls.RequestClientCert}, {version: tls.VersionTLS13, auth: tls.RequestClientCert, certify: true}},
		[]layer{{version: tls.VersionTLS12}, {version: tls.VersionTLS13, auth: tls.RequestClientCert}, {version: tls.VersionTLS12, auth: tls.NoClientCert}},
		[]layer{{version: tls.VersionTLS13}, {version: tls.VersionTLS13}, {version: tls.VersionTLS13}, {version: tls.VersionTLS13, auth: tls.RequestClientCert}},
	)
}

// TestInside: with the keys of the connections around it, a handshake in a tunnel
// through a proxy that is spoken to by TLS gets its own answer.
func TestInside(t *testing.T) {
	const parsedDepth = 3
	for _, layers := range insideCases() {
		chunks, logs := recordInside(t, layers...)
		for keyed := range len(layers) + 1 {
			got := parsed(keysFrom(logs[:keyed]...), chunks)
			if want := min(keyed+1, len(layers), parsedDepth); len(got) != want {
				t.Fatalf("%+v, keys of %d: %d connections, want %d", layers, keyed, len(got), want)
			}
			for i, h := range got {
				v := attribute.Judge(h)
				if v.Asked != layers[i].want() || v.Asked == attribute.Yes && v.By != insideFlow.Addrs[parse.Accepter] {
					t.Errorf("%+v, keys of %d, layer %d: %v by %v, %v %q", layers, keyed, i, v.Asked, v.By, v.Evidence, v.Reason)
				}
				reply := attribute.NoReply
				if v.Asked == attribute.Yes {
					reply = attribute.ReplyEmpty
					if layers[i].certify {
						reply = attribute.ReplyCert
					}
				}
				if v.Reply != reply {
					t.Errorf("%+v, keys of %d, layer %d: reply %v, want %v", layers, keyed, i, v.Reply, reply)
				}
				preamble, target, tunnel := "", "", ""
				if i > 0 {
					preamble, target = "http-connect", layers[i].name(i)+":443"
				}
				if i < keyed && i+1 < len(layers) {
					tunnel = layers[i].name(i+1) + ":443"
				}
				if h.Preamble != preamble || h.Target != target || h.Tunnel != tunnel || h.ClientHello.ServerName != layers[i].name(i) || h.End != parse.FIN {
					t.Errorf("%+v, keys of %d, layer %d: %q to %q, tunnel %q, name %q, end %v", layers, keyed, i, h.Preamble, h.Target, h.Tunnel, h.ClientHello.ServerName, h.End)
				}
				for s := range h.Sides {
					if side := h.Sides[s]; side.Lost+int64(side.Hidden+side.Desync+side.Unopened) > 0 || side.Malformed != "" {
						t.Errorf("%+v, keys of %d, layer %d: %+v", layers, keyed, i, side)
					}
				}
			}
		}
	}
}

// TestInsideSplit: cutting the bytes in another way changes nothing.
func TestInsideSplit(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for _, layers := range insideCases() {
		chunks, logs := recordInside(t, layers...)
		want := fmt.Sprint(verdicts(parsed(keysFrom(logs...), chunks)))
		for round := range 8 {
			var cut []parse.Chunk
			for _, ch := range chunks {
				for len(ch.Data) > 0 {
					n := min(1+rng.IntN(1<<(1+rng.IntN(10))), len(ch.Data))
					part := ch
					part.Data, part.Fin, part.End = ch.Data[:n], false, parse.Open
					cut = append(cut, part)
					ch.Data = ch.Data[n:]
				}
				if ch.Fin || ch.End != parse.Open {
					cut = append(cut, ch)
				}
			}
			if got := fmt.Sprint(verdicts(parsed(keysFrom(logs...), cut))); got != want {
				t.Errorf("%+v, round %d: %s, want %s", layers, round, got, want)
			}
		}
	}
}

func verdicts(all []*parse.Handshake) (out []string) {
	for _, h := range all {
		v := attribute.Judge(h)
		out = append(out, fmt.Sprint(v.Asked, v.By, v.Basis, v.Reply, v.Evidence, h.Preamble, h.Target))
	}
	return out
}

// TestInsideLost: a hole costs answers, inside of the tunnel too, and turns none
// around.
func TestInsideLost(t *testing.T) {
	lost, same := 0, 0
	for _, layers := range insideCases() {
		chunks, logs := recordInside(t, layers...)
		for _, keyed := range []int{1, len(layers)} {
			for i, ch := range chunks {
				for _, hole := range [][2]int{{0, len(ch.Data)}, {0, 1}, {0, len(ch.Data) / 2}, {len(ch.Data) / 2, len(ch.Data)}, {7, 8}} {
					if len(ch.Data) < hole[1] {
						continue
					}
					first, second := ch, ch
					first.Data, first.Fin, first.End = ch.Data[:hole[0]], false, parse.Open
					second.Data, second.Lost = ch.Data[hole[1]:], hole[1]-hole[0]
					got := parsed(keysFrom(logs[:keyed]...), slices.Concat(chunks[:i], []parse.Chunk{first, second}, chunks[i+1:]))
					for depth, h := range got {
						switch v := attribute.Judge(h); v.Asked {
						case attribute.Unknown:
							lost++
						case layers[depth].want():
							same++
						default:
							t.Fatalf("%+v, keys of %d, without %v of chunk %d: layer %d %v, %v", layers, keyed, hole, i, depth, v.Asked, v.Evidence)
						}
					}
				}
			}
		}
	}
	if lost == 0 || same == 0 {
		t.Errorf("%d answers lost, %d not", lost, same)
	}
	t.Logf("%d answers lost, %d not", lost, same)
}
