package metrics

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

type counts struct{ packets, open int64 }

var rows = []Row[counts]{
	{
		Name: "test_packets_total", Help: "Packets.",
		Read: func(s *counts, put func(float64, ...string)) { put(float64(s.packets)) },
	},
	{
		Name: "test_open", Help: "Open.", Gauge: true, Labels: []string{"of"},
		Read: func(s *counts, put func(float64, ...string)) { put(float64(s.open), "a\xff\"b\nc") },
	},
	{Name: "test_none_total", Help: "Does not apply.", Read: func(*counts, func(float64, ...string)) {}},
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + s.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func serve(t *testing.T, take func() *counts, well func() error) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := Serve(s, rows, take, well); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServe(t *testing.T) {
	var n atomic.Int64
	var ill atomic.Bool
	s := serve(t, func() *counts { return &counts{n.Add(1), 7} }, func() error {
		if ill.Load() {
			return errors.New("the clock stands still")
		}
		return nil
	})
	for i := range 2 {
		status, body := get(t, s, "/metrics")
		for _, want := range []string{
			"# HELP test_packets_total Packets.\n# TYPE test_packets_total counter\n" + fmt.Sprintf("test_packets_total %d\n", i+1),
			"# TYPE test_open gauge\ntest_open{of=\"a?\\\"b\\nc\"} 7\n",
			"\ngo_goroutines ",
		} {
			if status != 200 || !strings.Contains(body, want) {
				t.Errorf("status %d, no %q in\n%s", status, want, body)
			}
		}
		if strings.Contains(body, "test_none") {
			t.Errorf("a row without values is told:\n%s", body)
		}
	}
	if status, body := get(t, s, "/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("%d %q", status, body)
	}
	ill.Store(true)
	if status, body := get(t, s, "/healthz"); status != 503 || body != "the clock stands still\n" {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := get(t, s, "/debug/pprof/"); status != 404 {
		t.Errorf("%d for what is not there", status)
	}
}

// TestBounds: requests that are too long or no requests are turned away, and
// more connections than the bound wait.
func TestBounds(t *testing.T) {
	s := serve(t, func() *counts { return &counts{} }, func() error { return nil })
	for name, request := range map[string]string{
		"long header": "GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n",
		"TLS":         "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\n", 20),
		"another way": "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	} {
		c := dial(t, s)
		go func() { _, _ = io.WriteString(c, request) }()
		if line, err := bufio.NewReader(c).ReadString('\n'); err == nil && !strings.HasPrefix(line, "HTTP/1.1 4") {
			t.Errorf("%s: %q", name, line)
		}
		c.Close()
	}
	var idle []net.Conn
	for range maxConns {
		c := dial(t, s)
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q, %v", line, err)
		}
		idle = append(idle, c)
	}
	late := dial(t, s)
	if _, err := io.WriteString(late, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = late.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := late.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("one beyond the bound is answered")
	}
	idle[0].Close()
	_ = late.SetReadDeadline(time.Now().Add(10 * time.Second))
	if line, err := bufio.NewReader(late).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Errorf("once there is room: %q, %v", line, err)
	}
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// TestListen: an address that is taken is an error with its reason.
func TestListen(t *testing.T) {
	s := serve(t, func() *counts { return &counts{} }, func() error { return nil })
	if _, err := Listen(s.Addr().String()); err == nil || !strings.Contains(err.Error(), "serve metrics: ") {
		t.Errorf("got %v", err)
	}
	unused, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused.Close()
}
