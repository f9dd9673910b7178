package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		term := &terminal{err: &screen}
		// shown returns what was written since the last call.
		shown := func() string {
			term.mu.Lock()
			defer term.mu.Unlock()
			s := screen.String()
			screen.Reset()
			return s
		}
		stop := watch(term, fileBar("dir/some\x1b.pcap", func() (int64, int64) { return 2e6, 8e6 }))

		time.Sleep(progressAfter - time.Millisecond)
		synctest.Wait()
		if got := shown(); got != "" {
			t.Errorf("a bar for a short read: %q", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := shown(); !strings.Contains(got, "\r\x1b[Ksome?.pcap  [######---") || strings.Contains(got, "\n") {
			t.Errorf("got %q", got)
		}

		// A message takes the place of the bar, and the bar comes back below it.
		term.note("hello")
		if got, want := shown(), "\r\x1b[Kwhoasked: note: hello\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		time.Sleep(progressEvery)
		synctest.Wait()
		stop()
		if got := shown(); !strings.HasPrefix(got, "\r\x1b[Ksome?.pcap") || !strings.HasSuffix(got, " left\r\x1b[K") {
			t.Errorf("got %q", got)
		}
		term.note("hello")
		if got, want := shown(), "whoasked: note: hello\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestBar(t *testing.T) {
	for _, tc := range []struct {
		read, total int64
		after       time.Duration
		want        string
	}{
		{0, 100, time.Second, "[------------------------]   0%  0 B, 0 B/s"},
		{2e6, 8e6, 2 * time.Second, "[######------------------]  25%  2.0 MB, 1.0 MB/s, 6s left"},
		{999, 999, time.Second, "[########################] 100%  999 B, 999 B/s, 0s left"},
		{4e9, 0, 10 * time.Second, "4.0 GB, 400 MB/s"},
		{1000, 500, time.Second, "1.0 kB, 1.0 kB/s"}, // the file grows
		{5e15, 0, time.Second, "5000.0 TB, 5000.0 TB/s"},
	} {
		if got := bar(tc.read, tc.total, tc.after); got != tc.want {
			t.Errorf("%d of %d after %s: got %q, want %q", tc.read, tc.total, tc.after, got, tc.want)
		}
	}
}
