package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"whoasked/capture"
	"whoasked/parse"
)

// tcpPacket is an Ethernet frame with VLAN 12 between 198.18.0.1 and .2.
func tcpPacket(src, dst byte, srcPort, dstPort uint16, seq, ack uint32, flags byte, payload string) []byte {
	tcp := be.AppendUint16(be.AppendUint16(nil, srcPort), dstPort)
	tcp = u32s(be, tcp, seq, ack)
	tcp = append(tcp, 5<<4, flags, 4, 0, 0, 0, 0, 0)
	ip := be.AppendUint16([]byte{0x45, 0}, uint16(40+len(payload)))
	ip = append(ip, 0, 1, 0, 0, 64, 6, 0, 0, 198, 18, 0, src, 198, 18, 0, dst)
	return slices.Concat(make([]byte, 12), []byte{0x81, 0, 0, 12, 8, 0}, ip, tcp, []byte(payload))
}

// conversation is a connection: SYN, SYN+ACK, a request, an answer.
func conversation() []stamped {
	out := func(flags byte, seq, ack uint32, text string) []byte {
		return tcpPacket(1, 2, 50000, 8443, seq, ack, flags, text)
	}
	in := func(flags byte, seq, ack uint32, text string) []byte {
		return tcpPacket(2, 1, 8443, 50000, seq, ack, flags, text)
	}
	var all []stamped
	for i, data := range [][]byte{
		out(capture.FlagSYN, 99, 0, ""),
		in(capture.FlagSYN|capture.FlagACK, 499, 100, ""),
		out(capture.FlagACK, 100, 500, "request"),
		in(capture.FlagACK, 500, 107, "answer"),
	} {
		all = append(all, stamped{sec: uint32(i), wire: len(data), data: data})
	}
	return all
}

// collect runs a source and writes down what it yields.
func collect(ctx context.Context, s *Source) (lines []string) {
	for c, err := range s.Chunks(ctx) {
		switch {
		case err != nil:
			lines = append(lines, "error "+err.Error())
		case c.End != parse.Open:
			lines = append(lines, fmt.Sprintf("end %v", c.End))
		default:
			lines = append(lines, fmt.Sprintf("%v %s>%s %d %q", c.From, c.Flow.Via, c.Flow.Addrs[c.From], c.Time.Unix(), c.Data))
		}
	}
	return lines
}

func source(t *testing.T, src io.Reader) *Source {
	t.Helper()
	r, err := New(src, "test")
	if err != nil {
		t.Fatal(err)
	}
	return NewSource(r, capture.Limits{})
}

func TestSource(t *testing.T) {
	file := writePcap(le, 0xa1b2c3d4, 0, conversation()...)
	chunks := []string{`opener vlan 12>198.18.0.1:50000 2 "request"`, `accepter vlan 12>198.18.0.2:8443 3 "answer"`}
	end := "end " + parse.CaptureEnd.String()
	for _, c := range []struct {
		name string
		file []byte
		want []string
	}{
		{"whole", file, append(slices.Clone(chunks), end)},
		{"cut", file[:len(file)-1], []string{chunks[0], "error test: the file ends in the middle of packet 4 " +
			"(it was cut, or is still being written)", end}},
		{"no packets", file[:24], nil},
	} {
		if got := collect(t.Context(), source(t, bytes.NewReader(c.file))); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestSourceStops(t *testing.T) {
	file := writePcap(le, 0xa1b2c3d4, 0, conversation()...)
	synctest.Test(t, func(t *testing.T) {
		n := 0
		for range source(t, bytes.NewReader(file)).Chunks(t.Context()) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%d chunks", n)
		}
	})
	// The pipe stays open: only ctx can end this.
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		go pw.Write(file)
		ctx, cancel := context.WithCancelCause(t.Context())
		s := source(t, pr)
		go func() {
			synctest.Wait()
			cancel(errors.New("enough"))
		}()
		lines := collect(ctx, s)
		pr.Close()
		if want := []string{"error enough", "end capture-end"}; len(lines) != 4 || !slices.Equal(lines[2:], want) {
			t.Errorf("%q", lines)
		}
	})
}

func TestNotes(t *testing.T) {
	cut := conversation()
	cut[2].data = cut[2].data[:60] // of 65
	cut[3].sec = 0
	quic := slices.Concat(make([]byte, 12), []byte{8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0}, make([]byte, 8), []byte{1, 187, 1, 187, 0, 8, 0, 0})
	fragment := slices.Clone(quic)
	fragment[20] = 0x20
	ngFile := new(ng).section(le).iface(1, 0).iface(147, 0).block(blockSecrets, tlsSecrets(le, ""))
	for _, p := range cut {
		ngFile.enhanced(0, uint64(p.sec), p.wire, p.data)
	}
	ngFile.enhanced(1, 9, 1, []byte{1}).enhanced(0, 9, len(quic), quic).enhanced(0, 9, len(fragment), fragment).
		enhanced(0, 9, 5, []byte("short")).enhanced(0, 9, 1, make([]byte, maxRecord))

	s := source(t, bytes.NewReader(ngFile.b))
	collect(t.Context(), s)
	got := map[string]capture.Note{}
	for _, n := range s.Notes() {
		if n.Count <= 0 || n.Text == "" {
			t.Errorf("%+v", n)
		}
		got[n.Kind] = n
	}
	for kind, text := range map[string]string{
		"truncated-packets": "1 of 8 packets were captured only in part; capture whole packets, with tcpdump -s 0 or a snap length of at least 65 bytes",
		"fragments":         "1 IP packet came",
		"bad-packets":       "1 packet has",
		"unknown-link-type": "such as 147",
		"quic":              "switch QUIC off",
		"overlong-packets":  "256 KiB",
		"secrets":           "1 block of",
		"clock-backwards":   "1 time a packet",
	} {
		if n, ok := got[kind]; !ok || !strings.Contains(n.Text+"; "+n.Hint, text) {
			t.Errorf("%s: %+v", kind, n)
		}
	}

	clean := source(t, bytes.NewReader(writePcap(le, 0xa1b2c3d4, 0, conversation()...)))
	collect(t.Context(), clean)
	if notes := clean.Notes(); len(notes) != 0 {
		t.Errorf("notes on a clean capture: %+v", notes)
	}
	if d := clean.Decoded(); d.Outcomes[capture.TCP] != 4 {
		t.Errorf("%+v", d)
	}
}
