package main

import (
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/parse"
	"whoasked/report"
	"whoasked/report/evidence"
)

// answers watches a capture and returns the latest verdict of each connection,
// and the comment on it.
func answers(t *testing.T, name, dir string) (map[[2]netip.AddrPort]attribute.Verdict, map[[2]netip.AddrPort]string) {
	t.Helper()
	reader, err := file.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	src := file.NewSource(reader, capture.Limits{})
	w := newWatching(name, parse.NewParser(parse.Options{}), report.NewJSON(io.Discard))
	verdicts := make(map[[2]netip.AddrPort]attribute.Verdict)
	comments := make(map[[2]netip.AddrPort]string)
	w.keys = &keyLogs{keys: parse.NewKeys()}
	w.seen = func(a *attribute.Connection) {
		k := [2]netip.AddrPort{a.Client, a.Server}
		verdicts[k], comments[k] = a.Verdict, report.Comment(a)
	}
	if dir != "" {
		k, err := evidence.Open(evidence.Options{Dir: dir, ViaName: src.ViaName})
		if err != nil {
			t.Fatal(err)
		}
		w.files = k
		src.Tap(func(p *file.Packet, seg *capture.Segment) { k.Packet(p.Time, p.Link, p.WireLen, p.Data, seg) })
		defer func() {
			k.Close()
			if s := k.Stats(); s.Failed+s.Lost+s.Cut > 0 {
				t.Errorf("%+v", s)
			}
		}()
	}
	if err := w.read(context.Background(), src, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	if err := w.finish(nil); err != nil {
		t.Fatal(err)
	}
	return verdicts, comments
}

// TestEvidence: what is kept of a connection gives the same answer.
func TestEvidence(t *testing.T) {
	captures, _ := filepath.Glob("demo/*.pcap*")
	if len(captures) == 0 {
		t.Fatal("no captures")
	}
	for _, name := range captures {
		dir := t.TempDir()
		all, comments := answers(t, name, dir)
		files, _ := filepath.Glob(filepath.Join(dir, "*.pcapng"))
		want := 0
		for _, v := range all {
			if v.Asked != attribute.No {
				want++
			}
		}
		if len(files) != want || want == 0 {
			t.Errorf("%s: %d files for %d connections", name, len(files), want)
		}
		for _, f := range files {
			again, _ := answers(t, f, "")
			if len(again) != 1 {
				t.Errorf("%s has %d connections", f, len(again))
			}
			for k, v := range again {
				before := all[k]
				if !same(&v, &before) {
					t.Errorf("%s: %v is %+v, was %+v", f, k, v, before)
				}
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if !hasComment(text, comments[k]) {
					t.Errorf("%s has no comment %q", f, comments[k])
				}
			}
		}
	}
}

// hasComment looks for an option 1 of a packet block, as tshark shows it in
// frame.comment.
func hasComment(b []byte, comment string) bool {
	for len(b) >= 12 {
		size := int(uint32(b[4]) | uint32(b[5])<<8 | uint32(b[6])<<16)
		if b[0] == 6 { // an Enhanced Packet Block
			n := int(b[20]) | int(b[21])<<8 | int(b[22])<<16
			options := b[28+(n+3)&^3 : size-4]
			if len(options) < 4 {
				return false
			}
			length := int(options[2]) | int(options[3])<<8
			return options[0] == 1 && string(options[4:4+length]) == comment
		}
		b = b[size:]
	}
	return false
}
