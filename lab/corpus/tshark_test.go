package corpus

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tsharkFields are read of every packet with a handshake message.
var tsharkFields = []string{
	"tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport", "tls.handshake.type",
	"tls.handshake.ciphersuite", "tls.handshake.version", "tls.handshake.extensions.supported_version",
	"tls.handshake.extensions_server_name", "tls.handshake.extension.type",
}

// TestTshark compares with tshark, as TestPublic does, over the captures that
// have no list of what it says: it is run here, with all keys there are.
func TestTshark(t *testing.T) {
	tool, err := exec.LookPath("tshark")
	if os.Getenv("WHOASKED_LAB") == "" || err != nil {
		t.Skip("set WHOASKED_LAB=run and install tshark to compare with it")
	}
	root := shared(t)
	logs := []string{filepath.Join(root, "matrix", "keys.log"), filepath.Join(root, "matrix", "rkeys.log")}
	log := filepath.Join(t.TempDir(), "keys.log")
	if err := os.WriteFile(log, slices.Concat(readFile(t, logs[0]), []byte("\n"), readFile(t, logs[1])), 0o600); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, pattern := range []string{"matrix/*.pcap*", "recorded/*/*.pcap"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		files = append(files, found...)
	}
	listed := differences(t, "testdata/differences-tshark.txt")
	truths := make([]*truth, len(files))
	var all sync.WaitGroup
	for half := range 2 {
		all.Go(func() {
			for i := half; i < len(files); i += 2 {
				truths[i] = runTshark(tool, files[i], log)
			}
		})
	}
	all.Wait()
	c := newComparison(listed, "")
	for i, name := range files {
		if truths[i] == nil {
			t.Fatalf("tshark failed on %s", name)
		}
		truths[i].File, _ = filepath.Rel(root, name)
		c.file(t, truths[i], judgeWith(load(t, name), keysFor(t, name, log)))
	}
	c.report(t)
	stale(t, listed)
}

// runTshark reads one capture; tshark ends with an error where it is damaged,
// and has then read what is in front. It opens records by the secrets in the
// file, too.
func runTshark(tool, name, log string) *truth {
	args := []string{"-r", name, "-o", "tls.keylog_file:" + log, "-o", "tcp.try_heuristic_first:TRUE", "-o", "tcp.reassemble_out_of_order:TRUE",
		"-Y", "tls.handshake.type", "-T", "fields", "-E", "aggregator=,"}
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command(tool, args...).Output()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		return nil
	}
	tr := &truth{}
	streams := map[string]*shown{}
	var order []string
	for line := range strings.Lines(string(out)) {
		f := map[string][]string{}
		cells := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(cells) != len(tsharkFields) {
			return nil
		}
		for i, cell := range cells {
			if cell != "" {
				f[tsharkFields[i]] = strings.Split(cell, ",")
			}
		}
		id := f["tcp.stream"][0]
		if streams[id] == nil {
			streams[id] = newShown(id)
			order = append(order, id)
		}
		streams[id].packet(f)
	}
	for _, id := range order {
		tr.Streams = append(tr.Streams, streams[id].stream())
	}
	return tr
}

// shown is what tshark shows of the handshakes of one connection.
type shown struct {
	s       stream
	server  []string // types of the messages
	unseals bool     // messages that are always sealed were read
}

func newShown(id string) *shown { return &shown{s: stream{Transport: "tcp", Stream: id}} }

// packet takes the messages of one packet.
func (f *shown) packet(p map[string][]string) {
	end := func(addr4, addr6, port string) string {
		if a := p[addr6]; a != nil {
			return "[" + a[len(a)-1] + "]:" + p[port][0]
		}
		a := p[addr4]
		return a[len(a)-1] + ":" + p[port][0] // the innermost
	}
	src, dst := end("ip.src", "ipv6.src", "tcp.srcport"), end("ip.dst", "ipv6.dst", "tcp.dstport")
	types := p["tls.handshake.type"]
	if f.s.Client == "" {
		f.s.Client, f.s.Server = src, dst
		if slices.Contains(types, "2") {
			f.s.Client, f.s.Server = dst, src
		}
	}
	f.unseals = f.unseals || slices.Contains(types, "8")
	if src == f.s.Client {
		if names := p["tls.handshake.extensions_server_name"]; names != nil && f.s.SNI == "" {
			f.s.SNI = names[0]
		}
		return
	}
	f.server = append(f.server, types...)
	for range count(types, "13") {
		f.s.Requests = append(f.s.Requests, request{From: src, DNs: -1})
	}
	if slices.Contains(types, "2") && f.s.Cipher == "" {
		f.s.Cipher = p["tls.handshake.ciphersuite"][0]
		f.s.PSK = slices.Contains(p["tls.handshake.extension.type"], "41")
		version := p["tls.handshake.version"]
		if v := p["tls.handshake.extensions.supported_version"]; v != nil {
			version = v
		}
		f.s.Version = map[string]string{"0x0304": "TLSv1.3", "0x0303": "TLSv1.2", "0x0302": "TLSv1.1", "0x0301": "TLSv1.0", "0x0300": "SSLv3"}[version[0]]
	}
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// stream judges the messages as the list of public captures does.
func (f *shown) stream() stream {
	has := func(t string) bool { return slices.Contains(f.server, t) }
	s := f.s
	switch {
	case !has("2"):
		s.Clear = "no_server_hello"
	case len(s.Requests) > 0:
		s.Clear = "requested"
	case s.Version == "TLSv1.3" && f.unseals && s.PSK:
		s.Clear = "not_requested_psk"
	case s.Version == "TLSv1.3" && f.unseals && has("20"):
		s.Clear = "not_requested"
	case s.Version == "TLSv1.3":
		s.Clear = "hidden_tls13"
	case has("14"):
		s.Clear = "not_requested"
	case !has("11"):
		s.Clear = "resumed"
	default:
		s.Clear = "incomplete"
	}
	return s
}
