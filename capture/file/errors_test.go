package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// start is a pcapng file that has an interface but no packets yet.
func start() *ng { return new(ng).section(le).iface(1, 0) }

// claim overwrites the word at an offset, counted from the end if negative.
func claim(file []byte, at int, word uint32) []byte {
	if at < 0 {
		at += len(file)
	}
	file = bytes.Clone(file)
	binary.LittleEndian.PutUint32(file[at:], word)
	return file
}

func TestBadFiles(t *testing.T) {
	data := []byte("0123456789")
	pcap := writePcap(le, 0xa1b2c3d4, 0, stamped{1, 1, 10, data}, stamped{1, 1, 10, data})
	one := start().enhanced(0, 1, 10, data).b
	first := len(start().b) // where the first packet's block begins
	long := start()
	for range maxInterfaces {
		long.iface(1, 0)
	}
	for _, c := range []struct {
		name    string
		file    []byte
		kind    Kind
		packets int
		text    string
	}{
		{"empty", nil, Empty, 0, "is empty"},
		{"1 byte", []byte{0xd4}, NotCapture, 0, "is not a packet capture"},
		{"only a magic number", pcap[:4], Cut, 0, "in the middle of its header"},
		{"second packet cut", pcap[:len(pcap)-1], Cut, 1, "in the middle of packet 2"},
		{"pcap, 2 GB packet", claim(pcap, 24+26+8, 1<<31-1), Damaged, 1, "packet of 2147483647 bytes"},
		{"pcap, and another one", slices.Concat(pcap, pcap), Damaged, 2, "another capture begins behind packet 2"},
		{"pcap, just too long", claim(pcap, 24+8, maxPacket+1), Damaged, 0, "damaged after packet 0"},
		{"pcap, version", claim(pcap, 4, 9), Unsupported, 0, "version 9"},
		{"pcapng, version", claim(one, 12, 2), Unsupported, 0, "version 2"},
		{"section without order", claim(one, 8, 0), Damaged, 0, "byte order"},
		{"section header too short", claim(one, 4, 16), Damaged, 0, "section header of 16 bytes"},
		{"section header too long", claim(one, 4, 1<<31), Cut, 0, "a block after packet 0"},
		{"block too short", claim(one, first+4, 4), Damaged, 0, "block of 4 bytes"},
		{"block length odd", claim(one, first+4, 49), Damaged, 0, "block of 49 bytes"},
		{"block too long for the file", claim(one, first+4, 1000), Cut, 0, "in the middle of packet 1"},
		{"block of 2 GB", claim(one, first+4, 1<<31), Cut, 0, "in the middle of packet 1"},
		{"lengths differ", claim(one, -4, 999), Damaged, 0, "ends as one of 999"},
		{"2 GB in a small block", claim(one, first+20, 1<<31-1), Damaged, 0, "room for 16"},
		{"unknown interface", claim(one, first+8, 7), Damaged, 0, "interface 7 of 1"},
		{"packet block too short", start().block(blockEnhanced, data).b, Damaged, 0, "packet block of 12 bytes"},
		{"obsolete block too short", start().block(blockPacket, data).b, Damaged, 0, "packet block of 12 bytes"},
		{"simple packet, no interface", new(ng).section(le).simple(3, data).b, Damaged, 0, "0 interfaces"},
		{"interface too short", new(ng).section(le).block(blockInterface, data[:4]).b, Damaged, 0, "described in 4 bytes"},
		{"too many interfaces", long.b, Damaged, 0, "interfaces"},
		{"unknown resolution", new(ng).section(le).iface(1, 0, option{9, []byte{99}}).b, Unsupported, 0, "resolution 0x63"},
		{"cut between blocks' words", one[:first+6], Cut, 0, "a block after packet 0"},
		{"gzip of nothing", gzipped(t, nil), Empty, 0, "empty"},
		{"gzip of text", gzipped(t, []byte("hello")), NotCapture, 0, "below its gzip compression: it looks like text"},
		{"gzip twice", gzipped(t, gzipped(t, pcap)), NotCapture, 0, "gzip-compressed twice"},
		{"gzip, damaged", claim(gzipped(t, pcap), -8, 1), Damaged, 2, "gzip compression"},
		{"gzip magic alone", []byte("\x1f\x8b"), Cut, 0, "gzip"},
		{"zstd, cut", zstded(t, pcap)[:20], Cut, 0, "zstd"},
		{"zstd, window of 1 GB", []byte("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00"), Unsupported, 0, "window"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, _, err := readAll(bytes.NewReader(c.file))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v", err)
			}
			if e.Kind != c.kind || len(all) != c.packets || !strings.Contains(e.Error(), c.text) || e.Name != "test" {
				t.Errorf("kind %d, %d packets: %v", e.Kind, len(all), e)
			}
		})
	}
}

func TestReadErrorComesThrough(t *testing.T) {
	cause := errors.New("the disk is on fire")
	file := writePcap(le, 0xa1b2c3d4, 0, stamped{1, 1, 3, []byte("abc")})
	all, _, err := readAll(io.MultiReader(bytes.NewReader(file), errReader{cause}))
	if len(all) != 1 || !errors.Is(err, cause) {
		t.Errorf("%d packets, %v", len(all), err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestSkippedIsCounted(t *testing.T) {
	file := start().block(blockSecrets, []byte("KSLT\x04\x00\x00\x00keys")).block(blockSecrets, []byte("keys")).block(blockSecrets, nil).
		enhanced(0, 1, 1, []byte{1}).
		enhanced(0, 1, 1, make([]byte, maxRecord)).
		block(blockSecrets, append([]byte("KSLT\xff\xff\xff\xff"), make([]byte, 2*maxRecord)...)).
		enhanced(0, 1, 1, []byte{2}).b
	all, stats, err := readAll(bytes.NewReader(file))
	if want := (Stats{Packets: 2, Secrets: 2, OtherSecrets: 2, Overlong: 1}); err != io.EOF || stats != want || len(all) != 2 || all[1].Data[0] != 2 {
		t.Errorf("%d packets, %+v, %v", len(all), stats, err)
	}
}

// Small files that claim gigabytes cost kilobytes.
func TestClaimsCostNothing(t *testing.T) {
	one := start().enhanced(0, 1, 10, []byte("0123456789")).b
	first := len(start().b)
	for name, file := range map[string][]byte{
		"packet":  claim(one, first+20, 1<<31-1),
		"block":   claim(one, first+4, 1<<31),
		"secrets": claim(start().block(blockSecrets, nil).b, first+4, 1<<31),
		"section": claim(one, 4, 1<<31),
		"pcap":    claim(writePcap(le, 0xa1b2c3d4, 0, stamped{1, 1, 1, []byte{1}}), 32, 1<<31),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := readAll(bytes.NewReader(file))
		runtime.ReadMemStats(&after)
		if err == nil || err == io.EOF {
			t.Errorf("%s: read as sound", name)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 512<<10 {
			t.Errorf("%s: %d bytes allocated for a file of %d", name, got, len(file))
		}
	}
}

func TestLooks(t *testing.T) {
	for _, c := range []struct{ name, head, what, hint string }{
		{"x.html", "\r\n<!DOCTYPE html><html>", "like a web page", "sign-in"},
		{"x.har", `{"log": {}}`, "like JSON", "HAR"},
		{"x.json", "\xef\xbb\xbf[1]", "like JSON", "export"},
		{"x.xml", "<?xml version='1.0'?><pdml>", "like XML", "export"},
		{"x.txt", "12:00:00.1 IP 198.18.0.1.443 > ", "like text", "-w FILE"},
		{"x.etl", "\x00", "event trace", "etl2pcapng"},
		{"x", "\x00\x00\x01\x00\x90\x03\x00\x00\x90\x03\x00\x00\x00\x00", "event trace", "pktmon"},
		{"x.pcap.xz", "\xfd7zXZ\x00\x00", "looks xz-compressed", "xz -d"},
		{"x.zip", "PK\x03\x04", "like a zip archive", "unpack"},
		{"x.tar", strings.Repeat("\x00", 257) + "ustar", "like a tar archive", "unpack"},
		{"x.snoop", "snoop\x00\x00\x00", "like a snoop capture", "editcap"},
		{"x.log", "CLIENT_RANDOM 00", "like a TLS key log", "another file"},
		{"x", "\x01\x02\x03\x04", "is not a packet capture (", "pcap and pcapng"},
	} {
		_, err := New(strings.NewReader(c.head), c.name)
		if err == nil || !strings.Contains(err.Error(), c.what) || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.pcap")
	file := writePcap(le, 0xa1b2c3d4, 0, stamped{1, 1, 3, []byte("abc")})
	if err := os.WriteFile(good, file, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(good)
	if err != nil {
		t.Fatal(err)
	}
	var p Packet
	if err := r.Next(&p); err != nil || string(p.Data) != "abc" {
		t.Errorf("%q, %v", p.Data, err)
	}
	if err := r.Next(&p); err != io.EOF {
		t.Error(err)
	}
	if read, size := r.Progress(); read != size || size != int64(len(file)) {
		t.Errorf("%d bytes of %d read", read, size)
	}
	r.Close()

	secret := filepath.Join(dir, "secret.pcap")
	if err := os.WriteFile(secret, file, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text string }{
		{dir, "is a directory"},
		{filepath.Join(dir, "none.pcap"), "no such file"},
		{secret, "permission denied"},
	} {
		if c.name == secret && (os.Geteuid() == 0 || runtime.GOOS == "windows") {
			continue // nothing is unreadable there
		}
		_, err := Open(c.name)
		var e *Error
		if !errors.As(err, &e) || e.Kind != Unreadable || !strings.Contains(e.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && strings.Count(err.Error(), c.name) != 1 {
			t.Errorf("name not said once: %v", err)
		}
	}
}
