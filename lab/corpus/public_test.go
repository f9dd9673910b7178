package corpus

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"whoasked/attribute"
	"whoasked/parse"
)

// truth is what tshark says about one capture.
type truth struct {
	File    string   `json:"file"`
	Streams []stream `json:"streams"`
}

type stream struct {
	Transport string   `json:"transport"`
	Stream    string   `json:"stream"`
	Client    string   `json:"client"`
	Server    string   `json:"server"`
	SNI       string   `json:"sni"`
	Version   string   `json:"version"`
	Clear     string   `json:"verdict_clear"`
	Keys      string   `json:"verdict_keys"`
	Before    []string `json:"before_tls"`
	Requests  []struct {
		From  string `json:"from"`
		DNs   int    `json:"dn_count"`
		Phase string `json:"phase"`
	} `json:"cert_requests"`
}

// verdict is what tshark can know: in the clear or, better, with keys.
func (s *stream) verdict() string {
	switch s.Keys {
	case "", "hidden_tls13":
		return s.Clear
	}
	return s.Keys
}

// TestPublic compares the answers with tshark's over public captures. Every
// difference is in testdata/differences.txt with its reason, and nothing there
// is stale.
func TestPublic(t *testing.T) {
	dir := shared(t, "public")
	listed := differences(t)
	f, err := os.Open(filepath.Join(dir, "truth.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	counts := make(map[string]int)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var tr truth
		if err := json.Unmarshal(lines.Bytes(), &tr); err != nil {
			t.Fatal(err)
		}
		if len(tr.Streams) == 0 {
			continue
		}
		for _, d := range compare(&tr, judge(load(t, filepath.Join(dir, tr.File))), counts) {
			key := tr.File + " " + d.stream + " " + d.what
			if _, ok := listed[key]; !ok {
				t.Errorf("not listed: %s\n\t%s", key, d.detail)
			}
			listed[key] = true
		}
	}
	for key, met := range listed {
		if !met {
			t.Errorf("listed, but no difference any more: %s", key)
		}
	}
	t.Logf("%v", counts)
}

// differences reads the list: "FILE STREAM WHAT" lines under a line of reason
// that begins with "# ".
func differences(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]bool)
	reason := false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "# "):
			reason = true
		case line == "":
			reason = false
		case !reason:
			t.Fatalf("a difference without a reason: %s", line)
		default:
			out[line] = false
		}
	}
	return out
}

type difference struct{ stream, what, detail string }

// compare matches tshark's streams with our connections by their ends, in order.
func compare(tr *truth, conns []connection, counts map[string]int) []difference {
	slices.SortStableFunc(conns, func(a, b connection) int { return a.Start.Compare(b.Start) })
	byEnds := make(map[way][]*connection)
	for i := range conns {
		p := wayOf(&conns[i])
		byEnds[p] = append(byEnds[p], &conns[i])
	}
	var out []difference
	for i := range tr.Streams {
		s := &tr.Streams[i]
		known := map[string]string{"requested": "yes", "not_requested": "no", "not_requested_psk": "no resumed", "resumed": "no resumed"}[s.verdict()]
		c := next(byEnds, s)
		if c == nil {
			counts[s.verdict()+": not found"]++
			if known != "" {
				out = append(out, difference{s.Stream, "missing", fmt.Sprintf("%s %s → %s", s.verdict(), s.Client, s.Server)})
			}
			continue
		}
		ours := c.verdict.Asked.String()
		if c.verdict.Asked == attribute.No && c.verdict.Resumed {
			ours += " resumed"
		}
		counts[s.verdict()+": "+ours]++
		detail := fmt.Sprintf("tshark %s, we %s %v %s; lost %d/%d", s.verdict(), ours, c.verdict.Evidence, c.verdict.Reason, c.Sides[0].Lost, c.Sides[1].Lost)
		if known != "" && ours != known {
			out = append(out, difference{s.Stream, ours, detail})
			continue
		}
		if c.verdict.Asked == attribute.Yes && len(s.Requests) > 0 && s.Requests[0].From != parse.EndName(c.verdict.By) {
			out = append(out, difference{s.Stream, "asker", fmt.Sprintf("tshark %s, we %s", s.Requests[0].From, c.verdict.By)})
		}
		if c.ClientHello != nil && s.SNI != "" && c.ClientHello.ServerName != s.SNI {
			out = append(out, difference{s.Stream, "sni", fmt.Sprintf("tshark %q, we %q", s.SNI, c.ClientHello.ServerName)})
		}
		if c.ServerHello != nil && s.Version != "" && wireshark.Replace(c.ServerHello.Version.String()) != s.Version {
			out = append(out, difference{s.Stream, "version", fmt.Sprintf("tshark %q, we %q", s.Version, c.ServerHello.Version)})
		}
		if known == "yes" && len(c.Requests) > 0 && len(s.Requests) > 0 && len(c.Requests[0].Authorities) != s.Requests[0].DNs {
			out = append(out, difference{s.Stream, "authorities", fmt.Sprintf("tshark %d, we %d", s.Requests[0].DNs, len(c.Requests[0].Authorities))})
		}
	}
	return out
}

// wireshark writes a version as tshark does.
var wireshark = strings.NewReplacer("SSL 3.0", "SSLv3", "SSL 2.0", "SSLv2", " draft ", "-draft", " fb", "-fb", "TLS ", "TLSv", "DTLS ", "DTLSv")

// way is how tshark and we know a connection.
type way struct {
	transport string
	pair
}

func wayOf(c *connection) way {
	names := map[parse.Proto]string{parse.TCP: "tcp", parse.UDP: "udp", parse.EAPOL: "eap", parse.RADIUS: "radius"}
	return way{names[c.Flow.Proto], pairOf(c)}
}

// next takes the first connection left between the ends of a stream.
func next(byEnds map[way][]*connection, s *stream) *connection {
	a, b := endOf(s.Client), endOf(s.Server)
	p := pair{a, b}
	if a.Compare(b) > 0 {
		p = pair{b, a}
	}
	left := byEnds[way{s.Transport, p}]
	if len(left) == 0 {
		return nil
	}
	byEnds[way{s.Transport, p}] = left[1:]
	return left[0]
}

// endOf reads an address and port, or a link address.
func endOf(s string) netip.AddrPort {
	if mac, err := net.ParseMAC(s); err == nil {
		return netip.AddrPortFrom(parse.LinkAddr(mac), 0)
	}
	a, _ := netip.ParseAddrPort(s)
	return a
}
