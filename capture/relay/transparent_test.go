package relay

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"whoasked/lab/relaytest"
	"whoasked/parse"
)

// connector opens a connection through a relay to a target, ready for the bytes
// to be relayed.
type connector func(relay, target string) (*net.TCPConn, error)

// manyConnections is the environment variable that asks for more than a few
// connections through each way in.
const manyConnections = "WHOASKED_CONNECTIONS"

// TestTransparent sends random streams both ways at once, ended in order or by a
// reset, and demands the same bytes at the other end.
func TestTransparent(t *testing.T) {
	round, rounds := 3000, 1
	if testing.Short() {
		round = 300
	}
	if v := os.Getenv(manyConnections); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is no number of connections", manyConnections, v)
		}
		rounds = (n + round - 1) / round
	}
	all := ways(t)
	all["sni"] = wayIn{func(target string) Way { return SNI(netip.MustParseAddrPort(target).Port()) }, plainly, clientHello("www.contoso.test")}
	const byGoroutines = "fixed, by goroutines" // as on systems without epoll
	all[byGoroutines] = all["fixed"]
	for name, way := range all {
		t.Run(name, func(t *testing.T) {
			for i := range rounds {
				t.Run(fmt.Sprint(i), func(t *testing.T) { testTransparent(t, way, round, uint64(i), name == byGoroutines) })
			}
		})
	}
}

func testTransparent(t *testing.T, way wayIn, connections int, seed uint64, goroutines bool) {
	pairs := relaytest.Pairs(seed, connections)
	var mu sync.Mutex
	atServer := make(map[int]relaytest.Result)
	server := serve(t, func(c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(way.preface))); err != nil {
			c.Close()
			return
		}
		i, err := relaytest.ReadNumber(c)
		if err != nil {
			c.Close()
			return
		}
		got := pairs[i].Server.Play(c)
		mu.Lock()
		atServer[i] = got
		mu.Unlock()
	})
	r := start(t, way.way(server.String()), Options{goroutines: goroutines, Dial: Dial{Resolver: toServer(server)}, Limits: Limits{Rate: 1 << 20, Tap: 1 << 30}})

	atClient := make([]relaytest.Result, connections)
	var clients sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range pairs {
		slots <- struct{}{}
		clients.Go(func() {
			defer func() { <-slots }()
			c, err := way.connect(r.addr, server.String())
			if err == nil {
				_, err = c.Write(way.preface)
			}
			if err == nil {
				err = relaytest.Number(c, i)
			}
			if err != nil {
				atClient[i] = relaytest.Result{Err: err}
				return
			}
			atClient[i] = pairs[i].Client.Play(c)
		})
	}
	clients.Wait()
	r.endedConn(t, connections)
	r.wait(t)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		mu.Lock() // the relay may be done with a connection before its server has read all of it
		n := len(atServer)
		mu.Unlock()
		if n == connections {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for i, p := range pairs {
		c, s := atClient[i], atServer[i]
		if err := c.Check(p.Server, p.Client); err != nil {
			t.Fatalf("connection %d (%+v): at the client: %v", i, p, err)
		}
		if err := s.Check(p.Client, p.Server); err != nil {
			t.Fatalf("connection %d (%+v): at the server: %v", i, p, err)
		}
	}
	if len(r.trouble) > 0 {
		t.Errorf("trouble: %v", r.trouble[0])
	}
	checkTold(t, r, len(way.preface) > 0)
}

// clientHello is one for a server.
func clientHello(name string) []byte {
	var first firstWrite
	_ = tls.Client(&first, &tls.Config{ServerName: name}).Handshake()
	return first.data
}

// firstWrite keeps what is written first, and then fails.
type firstWrite struct {
	net.Conn
	data []byte
}

func (f *firstWrite) Write(b []byte) (int, error) {
	f.data = append(f.data, b...)
	return 0, io.ErrClosedPipe
}

func (f *firstWrite) Close() error { return nil }

// checkTold demands that the tap has told the same as the ends. Of what begins
// with a ClientHello, bodies of records may have been skipped.
func checkTold(t *testing.T, r *running, hello bool) {
	t.Helper()
	for _, c := range r.ended {
		if c.lost > 0 || c.skipped > 0 && !hello {
			t.Fatalf("%d bytes lost, %d skipped", c.lost, c.skipped)
		}
		switch c.end {
		case parse.FIN:
			if !c.fin[0] || !c.fin[1] {
				t.Fatalf("an orderly end without both sides': %v", c.fin)
			}
		case parse.RST:
		default:
			t.Fatalf("ended by %v", c.end)
		}
	}
}

type wayIn struct {
	way     func(target string) Way
	connect connector
	preface []byte // what the stream has to begin with
}

// ways are the ways in that need no rights.
func ways(t *testing.T) map[string]wayIn {
	always := func(w Way) func(string) Way { return func(string) Way { return w } }
	return map[string]wayIn{
		"fixed": {func(target string) Way {
			w, err := Fixed(target)
			if err != nil {
				t.Fatal(err)
			}
			return w
		}, plainly, nil},
		"connect": {always(Connect()), byConnect, nil},
		"socks5":  {always(SOCKS5()), bySOCKS, nil},
	}
}

func plainly(relay, _ string) (*net.TCPConn, error) {
	c, err := net.Dial("tcp", relay)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func byConnect(relay, target string) (*net.TCPConn, error) {
	c, err := plainly(relay, target)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
	const want = "HTTP/1.1 200 Connection established\r\n\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		c.Close()
		return nil, fmt.Errorf("the proxy answered %q, %v", got, err)
	}
	return c, nil
}

func bySOCKS(relay, target string) (*net.TCPConn, error) {
	c, err := plainly(relay, target)
	if err != nil {
		return nil, err
	}
	to := netip.MustParseAddrPort(target)
	request := append([]byte{5, 1, 0, 5, 1, 0, 1}, to.Addr().AsSlice()...)
	if _, err := c.Write(binary.BigEndian.AppendUint16(request, to.Port())); err != nil {
		return nil, err
	}
	want := append([]byte{5, 0, 5, 0, 0, 1}, request[7:]...)
	want = binary.BigEndian.AppendUint16(want, to.Port())
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		c.Close()
		return nil, fmt.Errorf("the proxy answered %x, want %x: %v", got, want, err)
	}
	return c, nil
}
