package traffic

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// small has everything the large profiles have.
func small() Profile {
	return Profile{
		Name: "small", Seed: 7, Duration: 3 * time.Second,
		Short: 600, Bulk: 6, BulkRecords: 48, Plain: 6, PlainBytes: 100_000, Datagrams: 40,
	}
}

func record(t *testing.T) []Recording {
	t.Helper()
	recs, err := Record()
	if err != nil {
		t.Fatal(err)
	}
	return recs
}

func writeSmall(t *testing.T, recs []Recording) ([]byte, Truth) {
	t.Helper()
	var b bytes.Buffer
	truth, err := Write(&b, small(), recs)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), truth
}

// seen is a packet read back, by other means than the generator's.
type seen struct {
	at       time.Duration
	src, dst netip.AddrPort
	proto    uint8
	seq      uint32
	flags    uint8
	payload  []byte
}

// readBack checks everything that a packet says about itself.
func readBack(t *testing.T, file []byte) []seen {
	t.Helper()
	r := bytes.NewReader(file)
	var fh [24]byte
	if _, err := io.ReadFull(r, fh[:]); err != nil || binary.LittleEndian.Uint32(fh[:]) != 0xa1b2c3d4 || fh[20] != 1 {
		t.Fatalf("file header % x: %v", fh, err)
	}
	var packets []seen
	for {
		var rh struct{ Sec, Usec, Caplen, Len uint32 }
		if err := binary.Read(r, binary.LittleEndian, &rh); err == io.EOF {
			return packets
		} else if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, rh.Caplen)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		if rh.Caplen != rh.Len || rh.Len > 1514 {
			t.Fatalf("packet %d: %d of %d bytes", len(packets), rh.Caplen, rh.Len)
		}
		p, err := dissect(b)
		if err != nil {
			t.Fatalf("packet %d: %v", len(packets), err)
		}
		p.at = time.Duration(rh.Sec)*time.Second + time.Duration(rh.Usec)*time.Microsecond
		packets = append(packets, p)
	}
}

func dissect(b []byte) (seen, error) {
	ip := b[14:]
	segment := ip[20:]
	pseudo := append(append([]byte{}, ip[12:20]...), 0, ip[9], byte(len(segment)>>8), byte(len(segment)))
	switch {
	case b[12] != 8 || b[13] != 0 || ip[0] != 0x45:
		return seen{}, fmt.Errorf("not Ethernet, IPv4: % x", b[:20])
	case int(binary.BigEndian.Uint16(ip[2:])) != len(ip):
		return seen{}, fmt.Errorf("IP says %d bytes of %d", binary.BigEndian.Uint16(ip[2:]), len(ip))
	case onesComplement(ip[:20]) != 0xffff:
		return seen{}, fmt.Errorf("wrong IP checksum")
	case onesComplement(append(pseudo, segment...)) != 0xffff:
		return seen{}, fmt.Errorf("wrong checksum of protocol %d", ip[9])
	}
	p := seen{
		proto: ip[9],
		src:   netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:16])), binary.BigEndian.Uint16(segment)),
		dst:   netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:20])), binary.BigEndian.Uint16(segment[2:])),
	}
	if p.proto == 17 {
		p.payload = segment[8:]
		return p, nil
	}
	p.seq, p.flags, p.payload = binary.BigEndian.Uint32(segment[4:]), segment[13], segment[segment[12]>>4*4:]
	return p, nil
}

func onesComplement(b []byte) uint16 {
	sum := uint32(0)
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// direction is one end's half of a connection, put in order.
type direction struct {
	syn, fin          int
	base, next        uint32
	stream            []byte
	repeated, swapped int
	early             map[uint32][]byte
}

func (d *direction) add(p *seen) {
	if p.flags&2 != 0 {
		d.syn++
		d.base, d.next, d.early = p.seq, p.seq+1, map[uint32][]byte{}
		return
	}
	if p.flags&1 != 0 {
		d.fin++
	}
	if len(p.payload) == 0 {
		return
	}
	if int32(p.seq-d.next) < 0 {
		d.repeated++
		return
	}
	if p.seq != d.next {
		d.swapped++
	}
	d.early[p.seq] = p.payload
	for b := d.early[d.next]; b != nil; b = d.early[d.next] {
		delete(d.early, d.next)
		d.stream = append(d.stream, b...)
		d.next += uint32(len(b))
	}
}

type pair struct{ from, to netip.AddrPort }

func TestWrite(t *testing.T) {
	recs := record(t)
	file, truth := writeSmall(t, recs)
	packets := readBack(t, file)
	if int64(len(packets)) != truth.Packets || int64(len(file)) != truth.Bytes {
		t.Errorf("%d packets, %d bytes; the truth says %d and %d", len(packets), len(file), truth.Packets, truth.Bytes)
	}
	dirs := map[pair]*direction{}
	udp, last := 0, time.Duration(0)
	for i := range packets {
		p := &packets[i]
		if p.at < last {
			t.Fatalf("packet %d: goes back in time by %v", i, last-p.at)
		}
		last = p.at
		if p.proto == 17 {
			udp++
			continue
		}
		k := pair{p.src, p.dst}
		if dirs[k] == nil {
			dirs[k] = &direction{}
		}
		dirs[k].add(p)
	}
	if want := 2 * (truth.TLS + truth.Other); len(dirs) != want {
		t.Errorf("%d directions, want %d", len(dirs), want)
	}
	if udp != small().Datagrams {
		t.Errorf("%d datagrams, want %d", udp, small().Datagrams)
	}
	checkStreams(t, dirs, recs, &truth)
}

// checkStreams compares what arrives with what was recorded.
func checkStreams(t *testing.T, dirs map[pair]*direction, recs []Recording, truth *Truth) {
	counts := make([]int, len(recs))
	randoms := map[[32]byte]bool{}
	repeated, swapped, bulk := 0, 0, 0
	for k, d := range dirs {
		repeated, swapped = repeated+d.repeated, swapped+d.swapped
		if d.syn != 1 || d.fin != 1 || len(d.early) != 0 {
			t.Fatalf("%v: %d SYN, %d FIN, %d segments too early", k, d.syn, d.fin, len(d.early))
		}
		n, from := truth.Find(k.to.Addr()), client
		if n < 0 {
			n, from = truth.Find(k.from.Addr()), server
		}
		if n < 0 {
			continue // no TLS
		}
		want, tail := recs[n].stream(from)
		if from == client {
			counts[n]++
			r := [32]byte(d.stream[clientRandom:])
			if randoms[r] {
				t.Errorf("%v: a client random comes twice", k)
			}
			randoms[r] = true
			copy(d.stream[clientRandom:], want[clientRandom:][:32])
		}
		extra := len(d.stream) - len(want)
		if extra < 0 || !bytes.Equal(d.stream[:tail], want[:tail]) || !bytes.Equal(d.stream[tail+extra:], want[tail:]) {
			t.Fatalf("%v: %q does not carry what was recorded", k, recs[n].Name)
		}
		bulk += extra
		for b := d.stream; len(b) > 0; b = b[5+int(binary.BigEndian.Uint16(b[3:])):] {
			if b[0] < 20 || b[0] > 23 || b[1] != 3 {
				t.Fatalf("%v: no record header where one is due: % x", k, b[:5])
			}
		}
	}
	for i, n := range counts {
		if s := truth.Scenarios[i]; n != s.Connections || n == 0 {
			t.Errorf("%s: %d connections, the truth says %d", s.Name, n, s.Connections)
		}
	}
	if repeated == 0 || swapped == 0 {
		t.Errorf("%d segments repeated, %d swapped: want some", repeated, swapped)
	}
	if want := small().Bulk * small().BulkRecords / 2 * 16401; bulk < want {
		t.Errorf("%d bytes of bulk data, want at least %d", bulk, want)
	}
}

// stream returns what one end sent, and where its closing alert begins.
func (r *Recording) stream(from side) (b []byte, tail int) {
	for i, w := range r.writes {
		if i == r.tail {
			tail = len(b)
		}
		if w.from == from {
			b = append(b, w.data...)
		}
	}
	if r.tail == len(r.writes) {
		tail = len(b)
	}
	return b, tail
}

func TestWriteIsRepeatable(t *testing.T) {
	recs := record(t)
	a, _ := writeSmall(t, recs)
	b, _ := writeSmall(t, recs)
	if !bytes.Equal(a, b) {
		t.Error("the same recordings give two different captures")
	}
	c, _ := writeSmall(t, record(t))
	p, q := readBack(t, a), readBack(t, c)
	if len(p) != len(q) {
		t.Fatalf("other recordings give %d packets, not %d", len(q), len(p))
	}
	for i := range p {
		p[i].payload, q[i].payload = p[i].payload[:0:len(p[i].payload)], q[i].payload[:0:len(q[i].payload)]
		if fmt.Sprint(p[i], cap(p[i].payload)) != fmt.Sprint(q[i], cap(q[i].payload)) {
			t.Fatalf("packet %d: %v with other recordings, was %v", i, q[i], p[i])
		}
	}
}

func TestHelloSizes(t *testing.T) {
	for _, r := range record(t) {
		// A segment holds 1448 or 1460 bytes.
		if got := r.HelloLen() <= 1448; got != r.SmallHello && !(got && r.Resumed) {
			t.Errorf("%s: ClientHello of %d bytes, small: %t", r.Name, r.HelloLen(), r.SmallHello)
		}
	}
}

// TestProfiles holds the captures to the sizes the benchmark promises. Writing
// them takes seconds, so a tenth stands for the whole.
func TestProfiles(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 170 MB to nowhere")
	}
	recs := record(t)
	for _, tt := range []struct {
		profile                      Profile
		tls                          int
		minPackets, minSize, maxSize int64
	}{
		{HandshakeProfile(0.1), 7_000, 110_000, 0, 40e6},
		{BulkProfile(0.1), 2_000, 150_000, 100e6, 200e6},
	} {
		got, err := Write(io.Discard, tt.profile, recs)
		if err != nil {
			t.Fatal(err)
		}
		if got.TLS < tt.tls || got.Packets < tt.minPackets || got.Bytes < tt.minSize || got.Bytes > tt.maxSize || got.Peak < 200 {
			t.Errorf("%v; want at least %d connections, %d packets, %d to %d bytes, 200 open at once",
				&got, tt.tls, tt.minPackets, tt.minSize, tt.maxSize)
		}
	}
}

// TestTsharkAgrees asks another reader which connections carry a request in the
// clear.
func TestTsharkAgrees(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed")
	}
	file, truth := writeSmall(t, record(t))
	path := filepath.Join(t.TempDir(), "small.pcap")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tshark", "-r", path, "-o", "tcp.reassemble_out_of_order:TRUE",
		"-Y", "tls.handshake.type==13", "-T", "fields", "-e", "tcp.stream").Output()
	if err != nil {
		t.Fatal(err)
	}
	streams := map[string]bool{}
	for _, s := range strings.Fields(string(out)) {
		streams[s] = true
	}
	want := 0
	for _, s := range truth.Scenarios {
		if s.Asked && s.Version == "TLS 1.2" {
			want += s.Connections
		}
	}
	if len(streams) != want {
		t.Errorf("tshark finds %d connections with a request in the clear, want %d", len(streams), want)
	}
}
