package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/file"
	"whoasked/parse"
)

// dropsOf returns the chunks of a capture of a Chromium that starts and visits an NSS
// server, which seals its flight in one record. The browser drops what it has when its
// certificate verifier is ready; asked, it drops two more, and answers later.
func dropsOf(t *testing.T, name string) (chunks []parse.Chunk) {
	t.Helper()
	r, err := file.Open(filepath.Join("testdata", "drops", name+".pcap.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for ch, err := range file.NewSource(r, capture.Limits{}).Chunks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		kept := *ch
		kept.Data = slices.Clone(ch.Data)
		chunks = append(chunks, kept)
	}
	return chunks
}

func listOf(chunks []parse.Chunk) (out list) {
	for _, ch := range chunks {
		out = append(out, item{chunk: ch})
	}
	return out
}

func toldOf(connections []attribute.Connection) string {
	var out []string
	for i := range connections {
		c := &connections[i]
		out = append(out, fmt.Sprint(c.ID, " ", c.Verdict.Asked))
	}
	return strings.Join(out, ", ")
}

// TestLineDropped: what a browser dropped is told once, when nothing more can tell why.
func TestLineDropped(t *testing.T) {
	// The same twice, at another time, so that records of connections are used again.
	later := func(chunks []parse.Chunk, by time.Duration) []parse.Chunk {
		out := slices.Clone(chunks)
		for i := range out {
			out[i].Time = out[i].Time.Add(by)
		}
		return out
	}
	asked := dropsOf(t, "optional")
	for _, tt := range []struct {
		name   string
		chunks []parse.Chunk
		want   string
		tally  tally
	}{
		{"asked", asked, "2 unknown, 4 yes, 1 yes, 3 yes", tally{asked: 3, unknown: 1}},
		{"asked, and again", append(slices.Clone(asked), later(asked, time.Hour)...),
			"2 unknown, 4 yes, 1 yes, 3 yes, 6 unknown, 8 yes, 5 yes, 7 yes", tally{asked: 3, unknown: 1}}, // sightings count once
		{"not asked", dropsOf(t, "not-asked"), "1 unknown, 2 no", tally{notAsked: 1, unknown: 1}},
	} {
		var out minutes
		l := newLine(&out)
		l.batch = 2
		if err := l.read(t.Context(), "test", listOf(tt.chunks), func(err error) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}
		if err := l.finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := toldOf(out.connections); got != tt.want || l.tally != tt.tally {
			t.Errorf("%s: told %s, %+v\nwant %s, %+v", tt.name, got, l.tally, tt.want, tt.tally)
		}
		for _, c := range out.connections {
			if c.ClientHello == nil || c.ClientHello.ServerName != "portal.contoso.test" {
				t.Errorf("%s: connection %d is not what it was", tt.name, c.ID)
			}
		}
	}
}

// TestLineDroppedIsBounded: of those kept back the oldest go when there are too many.
func TestLineDroppedIsBounded(t *testing.T) {
	chunks := dropsOf(t, "optional")
	var all list
	for i := range maxDropped {
		for _, ch := range chunks {
			ch.Conn += 100 * i
			all = append(all, item{chunk: ch})
		}
	}
	var out minutes
	l := newLine(&out)
	if err := l.read(t.Context(), "test", all, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	if n := len(l.dropped); n > maxDropped || n+len(out.connections) != 4*maxDropped {
		t.Errorf("%d kept back, %d told", n, len(out.connections))
	}
}

// TestWatchingDropped: what a browser dropped is told to be unknown when a browser that
// was not asked would have come again, and to have been asked when it answers; all of
// it when there is an end.
func TestWatchingDropped(t *testing.T) {
	run := func(chunks []parse.Chunk, ticks bool) (string, tally) {
		var out minutes
		w, _ := newTestWatching(&out)
		for _, ch := range chunks {
			w.feed(ch)
			if ticks {
				w.tick()
			}
		}
		if err := w.finish(nil); err != nil {
			t.Fatal(err)
		}
		if len(w.dropped) > 0 || len(out.connections) > 0 && w.told.verdicts[attribute.Yes] != w.tally.asked {
			t.Errorf("%d kept back, told %+v, counted %+v", len(w.dropped), w.told.verdicts, w.tally)
		}
		return toldOf(out.connections), w.tally
	}
	chunks := dropsOf(t, "optional")
	answer := slices.IndexFunc(chunks, func(ch parse.Chunk) bool { return ch.Time.Sub(chunks[0].Time) > time.Second })
	for _, tt := range []struct {
		name   string
		chunks []parse.Chunk
		ticks  bool
		want   string
		tally  tally
	}{
		{"up to the dialog", chunks[:answer], true, "2 unknown, 1 unknown, 3 unknown", tally{unknown: 3}},
		{"all, asked from time to time", chunks, true, "2 unknown, 1 unknown, 3 unknown, 4 yes, 1 yes, 3 yes", tally{asked: 3, unknown: 1}},
		{"all at once", chunks, false, "2 unknown, 4 yes, 1 yes, 3 yes", tally{asked: 3, unknown: 1}},
		{"not asked", dropsOf(t, "not-asked"), true, "1 unknown, 2 no", tally{notAsked: 1, unknown: 1}},
	} {
		if got, counts := run(tt.chunks, tt.ticks); got != tt.want || counts != tt.tally {
			t.Errorf("%s: told %s, %+v\nwant %s, %+v", tt.name, got, counts, tt.want, tt.tally)
		}
	}
}
