package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"whoasked/parse"
)

// script is what one end of a connection does: it writes a stream made from a
// seed, in pieces of random sizes, and then closes its direction or resets.
type script struct {
	seed  uint64
	size  int
	reset bool
}

func newScript(rnd *rand.Rand) script {
	sizes := []int{0, 1, 5, 100, 3000, 70_000, 300_000}
	return script{seed: rnd.Uint64(), size: rnd.IntN(1 + sizes[rnd.IntN(len(sizes))]), reset: rnd.IntN(8) == 0}
}

func (s script) stream() []byte {
	b := make([]byte, s.size)
	src := rand.NewPCG(s.seed, 1)
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], src.Uint64())
		copy(b[i:], word[:])
	}
	return b
}

// play runs a script on c and returns what came from the other end, and whether
// that ended with a reset.
func (s script) play(c *net.TCPConn) (got []byte, reset bool, err error) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	written := make(chan error, 1)
	go func() {
		rnd := rand.New(rand.NewPCG(s.seed, 2))
		b := s.stream()
		for len(b) > 0 {
			n := min(len(b), 1+rnd.IntN([]int{1, 3, 1000, 100_000}[rnd.IntN(4)]))
			if _, err := c.Write(b[:n]); err != nil {
				written <- err
				return
			}
			b = b[n:]
		}
		if !s.reset {
			_ = c.CloseWrite()
		}
		written <- nil
	}()
	if s.reset {
		if err := <-written; err != nil {
			return nil, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE), nil
		}
		_ = c.SetLinger(0)
		return nil, false, nil
	}
	got, err = io.ReadAll(c)
	if werr := <-written; werr != nil {
		err = werr
	}
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return got, true, nil
	}
	return got, false, err
}

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
	for name, way := range ways(t) {
		t.Run(name, func(t *testing.T) {
			for i := range rounds {
				t.Run(fmt.Sprint(i), func(t *testing.T) { testTransparent(t, way.way, way.connect, round, uint64(i)) })
			}
		})
	}
}

func testTransparent(t *testing.T, wayTo func(target string) Way, connect connector, connections int, seed uint64) {
	rnd := rand.New(rand.NewPCG(3+seed, uint64(connections)))
	type pair struct{ client, server script }
	pairs := make([]pair, connections)
	for i := range pairs {
		pairs[i] = pair{newScript(rnd), newScript(rnd)}
	}
	type result struct {
		got   []byte
		reset bool
		err   error
	}
	var mu sync.Mutex
	atServer := make(map[uint64]result)
	server := serve(t, func(c *net.TCPConn) {
		var head [8]byte // which pair this is
		if _, err := io.ReadFull(c, head[:]); err != nil {
			c.Close()
			return
		}
		i := binary.BigEndian.Uint64(head[:])
		got, reset, err := pairs[i].server.play(c)
		mu.Lock()
		atServer[i] = result{got, reset, err}
		mu.Unlock()
	})
	r := start(t, wayTo(server.String()), Options{Limits: Limits{Rate: 1 << 20, Tap: 64 << 20}})

	atClient := make([]result, connections)
	var clients sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range pairs {
		slots <- struct{}{}
		clients.Go(func() {
			defer func() { <-slots }()
			c, err := connect(r.addr, server.String())
			if err != nil {
				atClient[i] = result{err: err}
				return
			}
			if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(i))); err != nil {
				atClient[i] = result{err: err}
				return
			}
			got, reset, err := pairs[i].client.play(c)
			atClient[i] = result{got, reset, err}
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
		c, s := atClient[i], atServer[uint64(i)]
		for _, e := range []struct {
			name      string
			result    result
			sent, own script
		}{
			{"client", c, p.server, p.client},
			{"server", s, p.client, p.server},
		} {
			if err := checkEnd(e.result.got, e.result.reset, e.result.err, e.sent, e.own); err != nil {
				t.Fatalf("connection %d (%+v): at the %s: %v", i, p, e.name, err)
			}
		}
	}
	if len(r.trouble) > 0 {
		t.Errorf("trouble: %v", r.trouble[0])
	}
	checkTold(t, r)
}

// checkEnd compares what an end got with what the other sent.
func checkEnd(got []byte, reset bool, err error, sent, own script) error {
	want := sent.stream()
	switch {
	case err != nil:
		return err
	case own.reset:
		return nil // it has not listened to the end
	case sent.reset:
		if !reset {
			return errors.New("the reset became an orderly end")
		}
		if !bytes.HasPrefix(want, got) {
			return errors.New("other bytes than sent")
		}
	case reset:
		return errors.New("a reset out of nothing")
	case !bytes.Equal(got, want):
		return fmt.Errorf("got %d bytes of %d, or others", len(got), len(want))
	}
	return nil
}

// checkTold demands that the tap has told the same as the ends.
func checkTold(t *testing.T, r *running) {
	t.Helper()
	for _, c := range r.ended {
		if c.lost > 0 || c.skipped > 0 {
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
		}, plainly},
		"connect": {always(Connect()), byConnect},
		"socks5":  {always(SOCKS5()), bySOCKS},
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
