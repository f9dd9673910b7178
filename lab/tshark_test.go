//go:build linux

package lab

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// wireFacts is what tshark reads of one connection.
type wireFacts struct {
	types  []string // of handshake messages, unsealed ones included
	suite  uint16
	opened bool // sealed messages of the handshake were opened
	psk    bool // the server accepted a pre-shared key, TLS 1.3
}

// resumed tells full handshakes from resumed ones, both in the clear: up to
// TLS 1.2 a resumed one has no server certificate (RFC 5246 §7.3).
func (w *wireFacts) resumed(tls13 bool) bool {
	if tls13 {
		return w.psk
	}
	return !slices.Contains(w.types, "11")
}

// connKey names a connection as Truth does.
type connKey struct {
	sni string
	nth int
}

// checkTruth holds the truth against tshark with the clients' key log: a
// second opinion on how the connections were made, before any verdict is
// judged by it.
func checkTruth(t *testing.T, l *Lab, pcap string, truth []Truth) {
	t.Helper()
	seen := readWithTshark(t, pcap, l.KeyLog())
	checked := 0
	for _, tr := range truth {
		f, ok := seen[connKey{tr.SNI, tr.Nth}]
		if !ok {
			t.Errorf("%v: not in the capture", tr)
			continue
		}
		if want := tr.Suite(); want != 0 && f.suite != want {
			t.Errorf("%v: suite %#04x on the wire", tr, f.suite)
		}
		if resumed := f.resumed(tr.tls13()); resumed != tr.Resumed {
			t.Errorf("%v: resumed is %t on the wire; messages %v", tr, resumed, f.types)
		}
		if (tr.tls13() || tr.When == "renegotiation") && !f.opened {
			continue // this client writes no keys
		}
		checked++
		if asked := slices.Contains(f.types, "13"); asked != tr.Asked {
			t.Errorf("%v: asked is %t, tshark says %t; messages %v", tr, tr.Asked, asked, f.types)
		}
	}
	if len(seen) != len(truth) {
		t.Errorf("%d connections in the capture, %d in the truth", len(seen), len(truth))
	}
	t.Logf("tshark confirms the request, or its absence, on %d of %d connections", checked, len(truth))
}

func readWithTshark(t *testing.T, pcap, keys string) map[connKey]*wireFacts {
	t.Helper()
	// A client's port may be the registered port of another protocol.
	decode := fmt.Sprintf("tcp.port==%d-%d,tls", firstPort, firstPort+999)
	out, err := exec.Command("tshark", "-r", pcap, "-d", decode, "-o", "tls.keylog_file:"+keys, "-o", "tcp.reassemble_out_of_order:TRUE",
		"-Y", "tls.handshake.type", "-T", "fields", "-E", "aggregator=,", "-e", "tcp.stream", "-e", "tls.handshake.type",
		"-e", "tls.handshake.ciphersuite", "-e", "tls.handshake.extensions_server_name", "-e", "tls.handshake.extension.type").Output()
	if err != nil {
		t.Fatal("tshark: ", err)
	}
	streams := map[string]*wireFacts{}
	byKey := map[connKey]*wireFacts{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 5 {
			t.Fatalf("tshark wrote %q", line)
		}
		w := streams[f[0]]
		if w == nil {
			if f[3] == "" {
				t.Fatalf("stream %s does not begin with a server name", f[0])
			}
			w = &wireFacts{}
			streams[f[0]] = w
			k := connKey{sni: f[3]}
			for byKey[k] != nil {
				k.nth++
			}
			byKey[k] = w
		}
		w.add(strings.Split(f[1], ","), strings.Split(f[2], ","), strings.Split(f[4], ","))
	}
	return byKey
}

// add takes the messages of one packet, and the suites and extensions in it.
func (w *wireFacts) add(types, suites, extensions []string) {
	w.types = append(w.types, types...)
	// EncryptedExtensions and HelloRequest are always sealed here.
	w.opened = w.opened || slices.Contains(types, "8") || slices.Contains(types, "0")
	if slices.Contains(types, "2") {
		w.psk = w.psk || slices.Contains(extensions, "41") // pre_shared_key
		// Only one that is malformed does not parse, and then 0 fits no truth.
		n, _ := strconv.ParseUint(strings.TrimPrefix(suites[0], "0x"), 16, 16)
		w.suite = uint16(n)
	}
}
