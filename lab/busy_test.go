//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// busyConnections is how many connections go through the edge in continuous
// integration, where minutes are dear; WHOASKED_BUSY sets another number.
const busyConnections = 600

// busyPages is how many pages there are, each of another length.
const busyPages = 500

// TestBusyEdge sends many connections through an HAProxy that ends TLS and opens
// sessions of its own to an nginx, captured on both sides of the edge in one capture,
// and holds the joins of whoasked read against the edge's own log: none may be false.
func TestBusyEdge(t *testing.T) {
	l := New(t, "haproxy", "nginx", "go")
	program := buildProgram(t, l)
	connections := busyConnections
	if s := os.Getenv("WHOASKED_BUSY"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 40_000 {
			t.Fatalf("WHOASKED_BUSY=%q is not a number of connections", s)
		}
		connections = n
	}
	c := NewChain(t)
	serveBusyPages(l, c)
	log := busyEdge(l, c)
	cap := StartBulkCapture(t, c.Edge, "any", filepath.Join(l.Dir, "busy.pcap"))
	begun := time.Now()
	names := strings.Join([]string{portalName, shopName, "api.contoso.test"}, ",")
	cmd := c.Client.Command(l.goPeer(), "flood", "198.18.0.20:443", names, fmt.Sprint(connections), "24", fmt.Sprint(busyPages))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("flood: %v\n%s", err, out)
	}
	took := time.Since(begun)
	c.Edge.WaitQuiet(t, 10*time.Second)
	cap.Stop(t)
	truth := busyTruth(t, log, connections)
	config := l.File("busy.yaml", "hops:\n- name: edge\n  addresses: [198.18.0.20, 198.18.1.20]\n")
	joined := readJoins(t, program, config, cap.Path)
	right := 0
	for outer, inner := range joined {
		if truth[outer] == inner {
			right++
		} else {
			t.Errorf("%s was joined with %s, not with %s", outer, inner, truth[outer])
		}
	}
	t.Logf("%d connections in %v (%.0f/s); %d joined, %d of these rightly: precision %.2f %%, recall %.1f %%", connections, took.Round(time.Millisecond),
		float64(connections)/took.Seconds(), len(joined), right, percent(right, len(joined)), percent(right, len(truth)))
	if percent(right, len(truth)) < 80 {
		t.Errorf("only %d of %d were joined", right, len(truth))
	}
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// serveBusyPages has an nginx on the middle host answer with pages of 1 to 64 KiB, of
// which small ones are the more frequent.
func serveBusyPages(l *Lab, c *Chain) {
	l.T.Helper()
	dir := filepath.Join(l.Dir, "busy-pages")
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.T.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(11, 11))
	for i := range busyPages {
		n := 1 << 10 << rng.IntN(6)
		n += rng.IntN(n)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(strings.Repeat("page ", n/5+1)[:n]), 0o644); err != nil {
			l.T.Fatal(err)
		}
	}
	conf := l.File("busy-nginx.conf", fmt.Sprintf("daemon off; worker_processes 1; pid %[1]s/busy-nginx.pid; error_log stderr;\n"+
		"events { worker_connections 4096; }\nhttp { access_log off; large_client_header_buffers 4 16k; server {\n"+
		" listen 198.18.1.30:443 ssl backlog=4096; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate %[2]s; ssl_certificate_key %[3]s; root %[4]s; } }\n",
		l.Dir, l.PKI.ServerEC.Cert, l.PKI.ServerEC.Key, dir))
	Start(l.T, c.Middle.Command("nginx", "-c", conf))
	c.Middle.WaitListen(l.T, 443)
}

// busyEdge starts the edge and returns its log, which says which connection it opened
// for which.
func busyEdge(l *Lab, c *Chain) string {
	l.T.Helper()
	log, err := os.Create(filepath.Join(l.Dir, "busy-edge.log"))
	if err != nil {
		l.T.Fatal(err)
	}
	defer log.Close() // HAProxy has it open
	conf := haproxyBase + "listen edge\n log stdout format raw daemon\n log-format \"busy %ci:%cp %bi:%bp %ST\"\n" +
		fmt.Sprintf(" bind 198.18.0.20:443 backlog 4096 ssl crt %s\n", l.PKI.ServerEC.Both) + strings.TrimSuffix(onwards("198.18.1.30:443"), "\n") + " source 198.18.1.20:10000-60000\n" // each port tells one connection
	cmd := c.Edge.Command("haproxy", "-db", "-f", l.File("busy-edge.cfg", conf))
	cmd.Stdout = log
	Start(l.T, cmd)
	c.Edge.WaitListen(l.T, 443)
	return log.Name()
}

var busyLine = regexp.MustCompile(`(?m)^busy (\S+) (\S+) 200\r?$`)

// busyTruth maps each client's address to that of the connection opened for it.
func busyTruth(t *testing.T, log string, want int) map[string]string {
	t.Helper()
	truth := make(map[string]string)
	if !poll(10*time.Second, func() bool {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range busyLine.FindAllStringSubmatch(string(text), -1) {
			truth[m[1]] = m[2]
		}
		return len(truth) >= want
	}) {
		t.Fatalf("the edge's log tells of %d connections, want %d", len(truth), want)
	}
	return truth
}

// readJoins maps the client's address of each way's first connection to that of the
// next one.
func readJoins(t *testing.T, program, config, file string) map[string]string {
	t.Helper()
	out, err := exec.Command(program, "read", "--quiet", "--format", "json", "--config", config, file).Output()
	if err != nil {
		t.Fatalf("whoasked read: %v", err)
	}
	clients := make(map[int]string)
	joined := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		var v struct {
			Kind   string
			ID     int
			Client string
			Hops   []struct{ Connection int }
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		switch v.Kind {
		case "connection":
			clients[v.ID] = v.Client
		case "path":
			if len(v.Hops) != 2 {
				t.Errorf("a way of %d hops", len(v.Hops))
				continue
			}
			joined[clients[v.Hops[0].Connection]] = clients[v.Hops[1].Connection]
		}
	}
	return joined
}
