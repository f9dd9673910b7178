package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// TestSelection compares with sorting everything.
func TestSelection(t *testing.T) {
	rank := []int{attribute.Yes: 0, attribute.Unknown: 1, attribute.No: 2}
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		s := selection{limit: rnd.IntN(12)}
		var all []row
		for i := range rnd.IntN(40) {
			c := conn(float64(i), gateway, contoso, parse.TLS13)
			c.ID, c.Verdict.Asked = uint64(i+1), attribute.Answer(rnd.IntN(3))
			s.add(c)
			if s.kept > s.limit {
				t.Fatalf("seed %d: keeps %d of %d", seed, s.kept, s.limit)
			}
			all = append(all, newRow(c))
		}
		slices.SortStableFunc(all, func(x, y row) int { return rank[x.asked] - rank[y.asked] })
		if want := all[:min(len(all), s.limit)]; !slices.Equal(s.list(), want) {
			t.Errorf("seed %d: got %v, want %v", seed, s.list(), want)
		}
	}
}

// TestTextIsBounded: ten times the connections, endpoints, dialogs and notes
// take no more memory, and not much more paper.
func TestTextIsBounded(t *testing.T) {
	measure := func(n int) (heap uint64, lines int) {
		var out bytes.Buffer
		w := NewText(&out, TextOptions{Rows: 50})
		before := heapInUse()
		for i := range n {
			if err := feed(w, i); err != nil {
				t.Fatal(err)
			}
		}
		heap = heapInUse() - before
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return heap, bytes.Count(out.Bytes(), []byte("\n"))
	}
	few, fewLines := measure(20_000)
	many, manyLines := measure(200_000)
	if many > few+few/4+1<<20 {
		t.Errorf("%d KiB for 20,000 connections, %d KiB for 200,000", few>>10, many>>10)
	}
	if manyLines > fewLines+10 {
		t.Errorf("%d lines for 20,000 connections, %d lines for 200,000", fewLines, manyLines)
	}
}

// feed hands over one connection, dialog, endpoint and note, none like another.
func feed(w Writer, i int) error {
	server := fmt.Sprintf("198.18.%d.%d:%d", i>>8&0xff, i&0xff, 1024+i>>16)
	name := fmt.Sprintf("host-%d.contoso.test", i)
	c := conn(0, server, name, parse.TLS12, request(20), asked(attribute.Seen, attribute.ReplyEmpty, 0.1, 0.2, emptyEvidence))
	switch i % 3 {
	case 1:
		unknown(fmt.Sprintf("reason %d", i))(c)
	case 2:
		seenClear(c)
	}
	a := &attribute.Asker{Addr: c.Server, SNI: name, Full: 1, Asked: 1, Reasons: map[string]int{c.Verdict.Reason: 1}, First: noon, Last: noon}
	p := &attribute.Prompt{AskedBy: c.Server, SNI: name, Client: c.Client.Addr(), Opened: noon, Closed: after(3), Outcome: attribute.OutcomeCancelled}
	return errors.Join(w.Connection(c), w.Prompt(p), w.Asker(a), w.Note(capture.Note{Kind: "k", Text: name}))
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// failing is a disk that is full.
type failing struct{}

var errFull = errors.New("no space left")

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrors(t *testing.T) {
	s := sceneNamed(t, "hundreds")
	for name, w := range map[string]Writer{
		"text": NewText(failing{}, TextOptions{Rows: 5}),
		"json": NewJSON(failing{}),
		"log":  NewLog(failing{}, LogOptions{}),
		"cons": NewLog(failing{}, LogOptions{Console: true}),
	} {
		err := s.play(w)
		if err := w.Close(); !errors.Is(err, errFull) && name != "text" {
			t.Errorf("%s: Close returns %v", name, err)
		}
		if !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTextWidth: where lines can be broken, they fit.
func TestTextWidth(t *testing.T) {
	for _, width := range []int{80, 100, 140} {
		for _, name := range []string{"cancelled", "nobody", "unknown", "partly-unknown", "authorities", "renegotiation", "hundreds"} {
			var out bytes.Buffer
			if err := sceneNamed(t, name).play(NewText(&out, TextOptions{Rows: 5, Width: width})); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
					t.Errorf("%s: %d columns on a page of %d: %s", name, n, width, line)
				}
			}
		}
	}
}

func TestTextRowsAndLists(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    TextOptions
		rows int
	}{
		{"none", TextOptions{}, 0},
		{"two", TextOptions{Rows: 2}, 2},
		{"all", TextOptions{Rows: 100}, 6},
		{"only unknown", TextOptions{Rows: 100, Lists: func(a attribute.Answer) bool { return a == attribute.Unknown }}, 1},
	} {
		var out bytes.Buffer
		if err := sceneNamed(t, "cancelled").play(NewText(&out, tt.o)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "198.18.0.10:50"); n != tt.rows {
			t.Errorf("%s: %d rows, want %d", tt.name, n, tt.rows)
		}
		if !strings.Contains(out.String(), "tls13-client-flight") {
			t.Errorf("%s: the evidence is missing", tt.name)
		}
	}
}

// TestZeroValues: a connection of which nothing is known breaks no report.
func TestZeroValues(t *testing.T) {
	s := compileSchema(t)
	c := &attribute.Connection{
		ID: 1, Handshake: &parse.Handshake{}, Verdict: attribute.Verdict{Reason: "nothing is known"},
		Client: netip.MustParseAddrPort("198.18.0.10:1"), Server: netip.MustParseAddrPort("198.18.0.20:2"),
	}
	var out bytes.Buffer
	for _, w := range []Writer{NewJSON(&out), NewText(io.Discard, TextOptions{Rows: 3}), NewLog(io.Discard, LogOptions{})} {
		if err := errors.Join(w.Connection(c), w.Prompt(&attribute.Prompt{}), w.Asker(&attribute.Asker{}), w.Note(capture.Note{}), w.Close()); err != nil {
			t.Error(err)
		}
	}
	s.validate(t, out.Bytes()[:bytes.IndexByte(out.Bytes(), '\n')+1])
}
