package file

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"whoasked/capture"
)

// shared returns the path of the labelled captures beside the project.
func shared(t testing.TB) string {
	dir := filepath.Join("..", "..", "..", "shared", "captures")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("../shared/captures is not there")
	}
	return dir
}

// count reads the file called name to its end.
func count(name string) (int64, error) {
	r, err := Open(name)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var p Packet
	for err == nil {
		err = r.Next(&p)
	}
	return r.Stats().Packets, err
}

func TestMatrixFiles(t *testing.T) {
	dir := filepath.Join(shared(t), "matrix")
	for name, want := range map[string]struct {
		packets int64
		kind    string
	}{
		"one.pcap":               {128, "end"},
		"v_dup.pcap":             {352, "end"},
		"v_snap200.pcap":         {128, "end"},
		"ng_plain.pcapng":        {128, "end"},
		"ng_be.pcapng":           {1, "end"},
		"ng_dsb_editcap.pcapng":  {128, "end"},
		"ng_dsbunk.pcapng":       {128, "end"},
		"ng_small.pcapng":        {2, "end"},
		"ng_trunc.pcapng":        {83, strconv.Itoa(int(Cut))},
		"ng_badlen.pcapng":       {2, strconv.Itoa(int(Damaged))},
		"ng_huge.pcapng":         {0, strconv.Itoa(int(Damaged))},
		"ng_dsbhuge.pcapng":      {128, "end"},
		"r13_dsbstart.pcapng":    {-1, "end"},
		"r13_dsbend.pcapng":      {-1, "end"},
		"../recorded/truncated/": {0, strconv.Itoa(int(Unreadable))},
	} {
		n, err := count(filepath.Join(dir, name))
		if kind := kindOf(err); kind != want.kind || n != want.packets && want.packets >= 0 {
			t.Errorf("%s: %d packets, %v", name, n, err)
		}
	}
}

// truth is what tshark says of one public capture.
type truth struct {
	File     string
	Status   int `json:"tshark_rc"`
	Capinfos map[string]string
	Streams  []struct{ Transport, Client, Server string }
}

func publicTruth(t *testing.T, dir string) (all []truth) {
	list, err := os.Open(filepath.Join(dir, "truth.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	for dec := json.NewDecoder(list); dec.More(); {
		var one truth
		if err := dec.Decode(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// Every public capture that tshark reads to its end has as many packets here;
// where either gives up, the other formats and the exceptions are listed.
func TestPublicFiles(t *testing.T) {
	dir := filepath.Join(shared(t), "public")
	read := 0
	for _, truth := range publicTruth(t, dir) {
		n, err := count(filepath.Join(dir, truth.File))
		if e := (*Error)(nil); err != io.EOF && !errors.As(err, &e) {
			t.Errorf("%s: untyped %v", truth.File, err)
		}
		want, format := truth.Capinfos["Number of packets"], truth.Capinfos["File type"]
		if truth.Status != 0 || want == "" || !strings.Contains(format, "pcap") {
			t.Logf("not compared: %s (%s, tshark %d): %d, %v", truth.File, format, truth.Status, n, err)
			continue
		}
		if strconv.FormatInt(n, 10) != want || err != io.EOF {
			t.Errorf("%s: %d packets of %s, %v", truth.File, n, want, err)
		}
		read++
	}
	if read < 800 {
		t.Errorf("only %d files compared", read)
	}
}

// The same eight connections, however wrapped, give the same number of
// segments.
func TestMatrixEncapsulations(t *testing.T) {
	dir := filepath.Join(shared(t), "matrix")
	for name, via := range map[string]string{
		"one.pcap":       "",
		"v_snap200.pcap": "",
		"v_vlan.pcap":    "vlan",
		"v_qinq.pcap":    "vlan",
		"v_vxlan.pcap":   "vxlan",
		"v_geneve.pcap":  "geneve",
		"v_gre.pcap":     "gre",
		"v_mpls.pcap":    "mpls",
	} {
		r, err := Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		d := capture.NewDecoder()
		var p Packet
		var seg capture.Segment
		for r.Next(&p) == nil {
			if out := d.Decode(p.Link, p.Data, p.WireLen, &seg); out != capture.TCP {
				t.Errorf("%s, packet %d: %v", name, r.Stats().Packets, out)
			}
			if got := d.ViaName(seg.Via); !strings.HasPrefix(got, via) || via == "" && got != "" {
				t.Errorf("%s: via %q", name, got)
			}
		}
		if n := d.Stats().Outcomes[capture.TCP]; n != 128 {
			t.Errorf("%s: %d segments", name, n)
		}
		r.Close()
	}
}

// Every TCP stream with TLS that tshark names is found by its addresses,
// whatever it is wrapped in.
func TestPublicStreams(t *testing.T) {
	dir := filepath.Join(shared(t), "public")
	found := 0
	for _, truth := range publicTruth(t, dir) {
		ends := endpoints(filepath.Join(dir, truth.File))
		lost := 0
		for _, s := range truth.Streams {
			if s.Transport != "tcp" || s.Client == "" || s.Server == "" {
				continue
			}
			if ends[address(s.Client)] && ends[address(s.Server)] {
				found++
			} else {
				lost++
			}
		}
		if lost != 0 {
			t.Errorf("%s: %d streams not found", truth.File, lost)
		}
	}
	if found < 1600 {
		t.Errorf("only %d streams found", found)
	}
}

// endpoints returns all senders and receivers of TCP segments in a file.
func endpoints(name string) map[netip.AddrPort]bool {
	ends := map[netip.AddrPort]bool{}
	r, err := Open(name)
	if err != nil {
		return ends
	}
	defer r.Close()
	d := capture.NewDecoder()
	var p Packet
	var seg capture.Segment
	for r.Next(&p) == nil {
		if d.Decode(p.Link, p.Data, p.WireLen, &seg) == capture.TCP {
			ends[seg.SrcAddr()] = true
			ends[seg.DstAddr()] = true
		}
	}
	return ends
}

// address reads "host:port", IPv6 hosts without brackets.
func address(s string) netip.AddrPort {
	colon := strings.LastIndexByte(s, ':')
	host, _ := netip.ParseAddr(strings.Trim(s[:max(colon, 0)], "[]"))
	port, _ := strconv.ParseUint(s[colon+1:], 10, 16)
	return netip.AddrPortFrom(host, uint16(port))
}
