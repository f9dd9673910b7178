package corpus

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"whoasked/attribute"
	"whoasked/parse"
)

// run is one labelled handshake of the matrix.
type run struct{ server, version, mode, client, cert string }

// matrixRuns reads the labels, in the order of the connections to each port.
func matrixRuns(t *testing.T, dir string) (want map[uint16][]run, total int) {
	t.Helper()
	want = make(map[uint16][]run)
	f, err := os.Open(filepath.Join(dir, "runs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); total++ {
		var r run
		var port uint16
		if _, err := fmt.Sscan(lines.Text(), &r.server, &r.version, &r.mode, &r.client, &r.cert, &port); err != nil {
			t.Fatal(err)
		}
		want[port] = append(want[port], r)
	}
	return want, total
}

// TestMatrix: 192 labelled handshakes of other people's software, every cell of
// {server} × {version} × {not asked, optional, required} × {client} × {without,
// with a certificate}. None may be wrong and none needlessly unknown.
func TestMatrix(t *testing.T) {
	dir := shared(t, "matrix")
	want, total := matrixRuns(t, dir)
	conns := judge(load(t, filepath.Join(dir, "matrix.pcap")))
	slices.SortStableFunc(conns, func(a, b connection) int { return a.Start.Compare(b.Start) })
	right := 0
	for _, c := range conns {
		_, server := c.Ends()
		if _, labelled := want[server.Port()]; !labelled {
			continue // not of the matrix
		}
		if len(want[server.Port()]) == 0 {
			t.Errorf("one connection too many to %v", server)
			continue
		}
		r := want[server.Port()][0]
		want[server.Port()] = want[server.Port()][1:]
		asked, reply := attribute.Yes, attribute.ReplyEmpty
		switch {
		case r.mode == "0":
			asked, reply = attribute.No, attribute.NoReply
		case r.cert == "cert":
			reply = attribute.ReplyCert
		}
		v := c.verdict
		if v.Asked != asked || v.Reply != reply || v.Required == attribute.Yes && r.mode != "2" || v.Required == attribute.No && r.mode == "2" {
			t.Errorf("%+v: %+v", r, v)
			continue
		}
		right++
	}
	t.Logf("%d of %d right", right, total)
	if right != total {
		t.Errorf("%d of %d right", right, total)
	}
}

// TestRecorded holds what the TRUTH files say for one vantage point. An item is
// asked/reply/when of one connection, in order of time.
func TestRecorded(t *testing.T) {
	dropped := "yes dropped handshake"
	tests := []struct {
		name    string
		asker   string
		want    []string
		prompts []string
	}{
		{"apache_reneg12", "198.18.1.30:443", []string{"no", "yes certificate renegotiation", "yes empty renegotiation"}, nil},
		// The first of them was closed before the server's flight came.
		{"chrome_cancel13", "127.0.0.1:9544", []string{"yes none handshake", dropped, dropped, dropped, "yes empty handshake"}, []string{"cancelled 8"}},
		{"chrome_dialog13", "127.0.0.1:9544", []string{dropped, dropped, dropped, "yes certificate handshake"}, []string{"certificate 14"}},
		{"chrome_nomatch13", "127.0.0.1:9564", []string{dropped, dropped, dropped, "yes empty handshake"}, []string{"none-shown 0"}},
		{"direct12", "198.18.1.30:443", []string{"yes empty handshake", "yes certificate handshake", "yes empty handshake"}, nil},
		{"direct13", "198.18.1.30:443", []string{"yes empty handshake", "yes certificate handshake"}, nil},
		{"edge_asks", "198.18.0.20:443", []string{"yes empty handshake", "yes certificate handshake"}, nil},
		{"intermittent_sni", "198.18.1.30:443", []string{"yes empty handshake", "no", "yes empty handshake", "no", "yes empty handshake", "no"}, nil},
		{"none13", "", []string{"no", "no"}, nil},
		// From the client alone the edge is the asker; that it only passes TLS
		// through takes the second vantage point.
		{"passthrough", "198.18.0.20:443", []string{"yes empty handshake", "yes empty handshake"}, nil},
		// TRUTH expects unknown, as the handshake is cut at 96 bytes. But the
		// client's empty Certificate message lies within them and is proof.
		{"truncated", "198.18.1.30:443", []string{"yes empty handshake"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conns := judge(load(t, filepath.Join(shared(t, "recorded"), tt.name, "client.pcap")))
			slices.SortStableFunc(conns, func(a, b connection) int { return a.Start.Compare(b.Start) })
			var got []string
			book := attribute.NewBook()
			for i := range conns {
				c := &conns[i]
				v := c.verdict
				got = append(got, strings.TrimSpace(fmt.Sprintf("%v %v %v", v.Asked, v.Reply, v.When)))
				if v.Asked == attribute.Yes && v.By.String() != tt.asker {
					t.Errorf("asked by %v, want %v", v.By, tt.asker)
				}
				client, server := c.Ends()
				book.Add(&attribute.Connection{ID: uint64(i + 1), Client: client, Server: server, Handshake: c.Handshake, Verdict: v})
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			prompts, _ := book.Finish()
			var shown []string
			for _, p := range prompts {
				shown = append(shown, fmt.Sprintf("%v %.0f", p.Outcome, p.Closed.Sub(p.Opened).Seconds()))
			}
			if !slices.Equal(shown, tt.prompts) {
				t.Errorf("prompts %q, want %q", shown, tt.prompts)
			}
		})
	}
}

// TestVariants: the same eight TLS 1.2 connections, all asked, in every form
// that makes other tools choose between settings.
func TestVariants(t *testing.T) {
	dir := shared(t, "matrix")
	for _, name := range []string{
		"one", "v_seg", "v_ooo", "v_dup", "v_nosyn", "v_vlan", "v_qinq", "v_vxlan", "v_geneve", "v_gre", "v_mpls", "v_snap1024",
	} {
		conns := judge(load(t, filepath.Join(dir, name+".pcap")))
		asked := 0
		for _, c := range conns {
			if c.verdict.Asked == attribute.Yes {
				asked++
			} else {
				t.Errorf("%s: %v: %+v", name, c.Flow.Addrs, c.verdict)
			}
		}
		if asked != 8 || len(conns) != 8 {
			t.Errorf("%s: %d of %d asked, want 8 of 8", name, asked, len(conns))
		}
	}
	// Cut at 200 bytes the request itself is gone, but the client's answer may
	// be there: never a no.
	for _, c := range judge(load(t, filepath.Join(dir, "v_snap200.pcap"))) {
		if c.verdict.Asked == attribute.No {
			t.Errorf("v_snap200: %+v", c.verdict)
		}
	}
}

// TestReorderingAndLossInOnePass: swapped neighbours and a missing server
// segment at once, for which other tools need two settings.
func TestReorderingAndLossInOnePass(t *testing.T) {
	pkts := load(t, filepath.Join(shared(t, "matrix"), "v_ooo.pcap"))
	lost := make(map[string]bool)
	var kept []packet
	for _, p := range pkts {
		var s segment
		// Drop the second full segment of each server's flight.
		if s.decode(p) && s.SrcPort < s.DstPort && len(s.Payload) == 300 {
			k := fmt.Sprint(s.Tuple)
			if seen, ok := lost[k]; ok && !seen {
				lost[k] = true
				continue
			} else if !ok {
				lost[k] = false
			}
		}
		kept = append(kept, p)
	}
	if len(pkts)-len(kept) != 8 {
		t.Fatalf("%d segments dropped, want 8", len(pkts)-len(kept))
	}
	asked := 0
	for _, c := range judge(kept) {
		if c.verdict.Asked == attribute.Yes {
			asked++
		}
	}
	if asked != 8 {
		t.Errorf("%d of 8 asked", asked)
	}
}

// TestFormats: what the files of the matrix hold beside packets must not matter.
func TestFormats(t *testing.T) {
	dir := shared(t, "matrix")
	for _, name := range []string{"ng_plain", "ng_dsb_editcap", "ng_dsbunk", "r13_dsbstart", "r13_dsbend"} {
		conns := judge(load(t, filepath.Join(dir, name+".pcapng")))
		if len(conns) == 0 {
			t.Errorf("%s: no connection", name)
		}
		for _, c := range conns {
			if c.verdict.Asked != attribute.Yes || c.End == parse.Evicted {
				t.Errorf("%s: %v: %+v", name, c.Flow.Addrs, c.verdict)
			}
		}
	}
}
