package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// readAll reads to the end and returns copies of the packets and the error.
func readAll(src io.Reader) ([]Packet, Stats, error) {
	r, err := New(src, "test")
	if err != nil {
		return nil, Stats{}, err
	}
	defer r.Close()
	var all []Packet
	for {
		var p Packet
		if err := r.Next(&p); err != nil {
			return all, r.Stats(), err
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
}

func kindOf(err error) string {
	var e *Error
	switch {
	case err == io.EOF:
		return "end"
	case errors.As(err, &e):
		return fmt.Sprint(e.Kind)
	}
	return fmt.Sprintf("untyped: %v", err)
}

func gzipped(t testing.TB, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func TestFormats(t *testing.T) {
	a, b := []byte("first packet"), []byte("second")
	const sec, nano = 1_700_000_000, 123_456_000
	const stamp = sec*1e6 + nano/1000
	want := []Packet{
		{Time: sec*1e9 + nano, Link: 1, WireLen: 1500, Data: a},
		{Time: (sec+1)*1e9 + nano, Link: 1, WireLen: len(b), Data: b},
	}
	micro := []stamped{{sec, nano / 1000, 1500, a}, {sec + 1, nano / 1000, len(b), b}}
	nanos := []stamped{{sec, nano, 1500, a}, {sec + 1, nano, len(b), b}}
	untimed := []Packet{{Link: 1, WireLen: 1500, Data: a}, {Link: 1, WireLen: len(b), Data: b}}
	section := func(o order) *ng { return new(ng).section(o).iface(1, 0) }
	usual := section(le).enhanced(0, stamp, 1500, a).enhanced(0, stamp+1e6, len(b), b).b

	for _, c := range []struct {
		name string
		file []byte
		want []Packet
	}{
		{"pcap, little-endian", writePcap(le, 0xa1b2c3d4, 0, micro...), want},
		{"pcap, big-endian", writePcap(be, 0xa1b2c3d4, 0, micro...), want},
		{"pcap, ns, little-endian", writePcap(le, 0xa1b23c4d, 0, nanos...), want},
		{"pcap, ns, big-endian", writePcap(be, 0xa1b23c4d, 0, nanos...), want},
		{"pcap, patched, little-endian", writePcap(le, 0xa1b2cd34, 8, micro...), want},
		{"pcap, patched, big-endian", writePcap(be, 0xa1b2cd34, 8, micro...), want},
		{"pcap without packets", writePcap(le, 0xa1b2c3d4, 0), nil},
		{"pcapng, little-endian", usual, want},
		{"pcapng, big-endian", section(be).enhanced(0, stamp, 1500, a).enhanced(0, stamp+1e6, len(b), b).b, want},
		{"pcapng, obsolete blocks", section(be).obsolete(0, stamp, 1500, a).obsolete(0, stamp+1e6, len(b), b).b, want},
		{"pcapng, simple blocks", new(ng).section(le).iface(1, uint32(len(a))).simple(1500, a).simple(len(b), b).b, untimed},
		{"pcapng, blocks to pass over", section(le).
			block(0x0bad, []byte("custom")).enhanced(0, stamp, 1500, a).
			block(blockSecrets, make([]byte, 3<<20)).block(5, nil).enhanced(0, stamp+1e6, len(b), b).b, want},
		{"gzip", gzipped(t, usual), want},
		{"gzip, two members", append(gzipped(t, usual[:50]), gzipped(t, usual[50:])...), want},
		{"zstd", zstded(t, usual), want},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, wrap := range map[string]func(io.Reader) io.Reader{
				"at once": func(r io.Reader) io.Reader { return r },
				"bytes":   iotest.OneByteReader,
				"halves":  iotest.HalfReader,
				"end with data": func(r io.Reader) io.Reader {
					return iotest.DataErrReader(r)
				},
			} {
				if how == "bytes" && len(c.file) > 1<<20 {
					continue
				}
				got, _, err := readAll(wrap(bytes.NewReader(c.file)))
				if err != io.EOF {
					t.Errorf("%s: ends with %v", how, err)
				}
				if !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s:\n got %+v\nwant %+v", how, got, c.want)
				}
			}
		})
	}
}

func TestTimes(t *testing.T) {
	res := func(v byte) option { return option{9, []byte{v}} }
	for _, c := range []struct {
		name    string
		options []option
		stamp   uint64
		want    int64
	}{
		{"microseconds unless told", nil, 1_500_000, 1_500_000_000},
		{"10^-6", []option{res(6)}, 1_500_000, 1_500_000_000},
		{"10^-9", []option{res(9)}, 1_500_000_001, 1_500_000_001},
		{"10^-3 after a name of odd length", []option{{2, []byte("eth0x")}, res(3)}, 1500, 1_500_000_000},
		{"seconds", []option{res(0)}, 15, 15_000_000_000},
		{"10^-12", []option{res(12)}, 1_500_000_000_999, 1_500_000_000},
		{"2^-10", []option{res(0x8a)}, 1536, 1_500_000_000},
		{"2^-32", []option{res(0xa0)}, 3 << 31, 1_500_000_000},
		{"2^0", []option{res(0x80)}, 15, 15_000_000_000},
		{"offset", []option{{14, le.AppendUint64(nil, 100)}}, 1_500_000, 101_500_000_000},
		{"offset before 1970", []option{{14, le.AppendUint64(nil, 1<<64-1)}}, 1_500_000, 500_000_000},
		{"nothing behind the end of options", []option{{0, nil}, res(0)}, 1_500_000, 1_500_000_000},
	} {
		got, _, err := readAll(bytes.NewReader(new(ng).section(le).iface(1, 0, c.options...).enhanced(0, c.stamp, 1, []byte{1}).b))
		if err != io.EOF || len(got) != 1 {
			t.Errorf("%s: %d packets, %v", c.name, len(got), err)
		} else if got[0].Time != c.want {
			t.Errorf("%s: %d, want %d", c.name, got[0].Time, c.want)
		}
	}
}

func TestSections(t *testing.T) {
	file := new(ng).section(le).iface(1, 0).iface(113, 0, option{9, []byte{9}}).
		enhanced(1, 5, 1, []byte{1}).enhanced(0, 5, 1, []byte{2}).
		section(be).iface(101, 2).enhanced(0, 6, 1, []byte{3}).simple(9, []byte{4, 5}).b
	want := []Packet{
		{Time: 5, Link: 113, Interface: 1, WireLen: 1, Data: []byte{1}},
		{Time: 5000, Link: 1, Interface: 0, WireLen: 1, Data: []byte{2}},
		{Time: 6000, Link: 101, Interface: 2, WireLen: 1, Data: []byte{3}},
		{Time: 6000, Link: 101, Interface: 2, WireLen: 9, Data: []byte{4, 5}},
	}
	got, _, err := readAll(bytes.NewReader(file))
	if err != io.EOF || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
}

// A file cut anywhere gives the packets before the cut, and says that it was
// cut, save where that cannot be seen.
func TestCutAnywhere(t *testing.T) {
	data := []byte("some bytes of a packet")
	for name, file := range map[string][]byte{
		"pcap": writePcap(le, 0xa1b2c3d4, 0, stamped{1, 1, 22, data}, stamped{2, 2, 22, data}),
		"pcapng": new(ng).section(be).iface(1, 0).enhanced(0, 1, 22, data).
			block(99, data).section(le).iface(1, 0).simple(22, data).b,
	} {
		all, _, err := readAll(bytes.NewReader(file))
		if err != io.EOF || len(all) != 2 {
			t.Fatalf("%s: %d packets, %v", name, len(all), err)
		}
		ends := 0
		for n := range file {
			got, _, err := readAll(bytes.NewReader(file[:n]))
			if len(got) > 2 || len(got) > 0 && !reflect.DeepEqual(got, all[:len(got)]) {
				t.Errorf("%s cut at %d: %+v", name, n, got)
			}
			var e *Error
			switch {
			case err == io.EOF:
				ends++
			case !errors.As(err, &e):
				t.Errorf("%s cut at %d: untyped %v", name, n, err)
			case n == 0 && e.Kind != Empty, n >= 4 && e.Kind != Cut:
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
		}
		if want := map[string]int{"pcap": 2, "pcapng": 6}[name]; ends != want {
			t.Errorf("%s: %d prefixes read as whole, want %d", name, ends, want)
		}
		packed := gzipped(t, file)
		if _, _, err := readAll(bytes.NewReader(packed[:len(packed)-9])); kindOf(err) != fmt.Sprint(Cut) {
			t.Errorf("%s, gzip cut: %v", name, err)
		}
	}
}

// Packets of every length arrive whole wherever they lie in the blocks.
func TestBlockBorders(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, maxPacket)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	var packets []stamped
	for total := 0; total < 8*fullBlock; {
		n := rng.IntN(2000)
		if rng.IntN(20) == 0 {
			n = maxPacket - rng.IntN(3)
		}
		at := rng.IntN(maxPacket - n + 1)
		packets = append(packets, stamped{wire: n, data: noise[at : at+n]})
		total += n
	}
	file := writePcap(le, 0xa1b2c3d4, 0, packets...)
	for name, src := range map[string]io.Reader{
		"plain":  bytes.NewReader(file),
		"halves": iotest.HalfReader(bytes.NewReader(file)),
		"zstd":   bytes.NewReader(zstded(t, file)),
	} {
		r, err := New(src, name)
		if err != nil {
			t.Fatal(err)
		}
		var p Packet
		n := 0
		for ; ; n++ {
			if err = r.Next(&p); err != nil {
				break
			}
			if !bytes.Equal(p.Data, packets[n].data) {
				t.Fatalf("%s: packet %d of %d bytes differs", name, n+1, len(p.Data))
			}
		}
		if err != io.EOF || n != len(packets) {
			t.Errorf("%s: %d of %d packets, %v", name, n, len(packets), err)
		}
		if c := cap(p.Data); c != len(p.Data) {
			t.Errorf("%s: a packet can be appended to", name)
		}
		r.Close()
	}
}

// A consumer that stops early leaves no goroutine behind: synctest fails where
// one stays blocked.
func TestStopEarly(t *testing.T) {
	data := make([]byte, 1000)
	long := writePcap(le, 0xa1b2c3d4, 0)
	for len(long) < 20*fullBlock {
		long = append(u32s(le, long, 0, 0, 1000, 1000), data...)
	}
	for _, reads := range []int{0, 1, 3000} {
		synctest.Test(t, func(t *testing.T) {
			r, err := New(bytes.NewReader(long), "long")
			if err != nil {
				t.Fatal(err)
			}
			var p Packet
			for range reads {
				if err := r.Next(&p); err != nil {
					t.Fatal(err)
				}
			}
			r.Close()
			r.Close()
		})
	}
}

// What was written to a pipe can be read at once, although more may follow.
func TestPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		file := writePcap(le, 0xa1b2c3d4, 0, stamped{1, 1, 3, []byte("abc")})
		go pw.Write(file)
		r, err := New(pr, "pipe")
		if err != nil {
			t.Fatal(err)
		}
		var p Packet
		for range 3 {
			if err := r.Next(&p); err != nil || string(p.Data) != "abc" {
				t.Fatalf("%q, %v", p.Data, err)
			}
			go pw.Write(file[24:])
		}
		r.Close()
		pr.Close()
	})
}

func FuzzReader(f *testing.F) {
	data := []byte("some bytes of a packet")
	f.Add(writePcap(le, 0xa1b2c3d4, 0, stamped{1, 1, 22, data}, stamped{2, 2, 99, data}))
	f.Add(writePcap(be, 0xa1b23c4d, 0, stamped{1, 1, 22, data}))
	ngFile := new(ng).section(be).iface(1, 20, option{9, []byte{0x8a}}).enhanced(0, 1, 22, data).
		block(blockSecrets, data).section(le).iface(1, 0, option{14, make([]byte, 8)}).
		simple(22, data).obsolete(0, 5, 22, data).b
	f.Add(ngFile)
	f.Add(gzipped(f, ngFile))
	f.Add(zstded(f, ngFile))
	f.Fuzz(func(t *testing.T, file []byte) {
		all, stats, err := readAll(bytes.NewReader(file))
		kind := kindOf(err)
		if len(kind) > 4 {
			t.Fatal(kind)
		}
		if stats.Packets != int64(len(all)) {
			t.Fatalf("%d packets counted, %d read", stats.Packets, len(all))
		}
		for i, p := range all {
			if len(p.Data) > maxPacket || p.WireLen < len(p.Data) {
				t.Fatalf("packet %d: %d bytes of %d", i+1, len(p.Data), p.WireLen)
			}
		}
		again, _, err := readAll(iotest.HalfReader(bytes.NewReader(file)))
		if kindOf(err) != kind || !reflect.DeepEqual(again, all) {
			t.Fatalf("read in halves: %d packets and %v, at once %d and %s", len(again), err, len(all), kind)
		}
	})
}

func benchmarkFile(packets, length int) []byte {
	data := make([]byte, length)
	copy(data[12:], "\x08\x00\x45")
	b := writePcap(le, 0xa1b2c3d4, 0)
	for i := range packets {
		b = append(u32s(le, b, uint32(i/1000), 0, uint32(length), uint32(length)), data...)
	}
	return b
}

func BenchmarkReader(b *testing.B) {
	for _, length := range []int{66, 700, 1514} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			file := benchmarkFile((64<<20)/(length+16), length)
			b.ReportAllocs()
			b.SetBytes(int64(length + 16))
			var r *Reader
			var p Packet
			for b.Loop() {
				if r == nil {
					var err error
					if r, err = New(bytes.NewReader(file), "bench"); err != nil {
						b.Fatal(err)
					}
				}
				if err := r.Next(&p); err == io.EOF {
					r.Close()
					r = nil
				} else if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
