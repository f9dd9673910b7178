package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

// skips takes down which sides are skipped.
type skips map[int][2]bool

func newTestWatching(out *minutes) (*watching, skips) {
	skipped := skips{}
	w := newWatching("test", parse.NewParser(parse.Options{}), out)
	w.skip = func(conn int, from parse.Side) {
		s := skipped[conn]
		s[from] = true
		skipped[conn] = s
	}
	return w, skipped
}

func (w *watching) feed(chunks ...parse.Chunk) {
	for i := range chunks {
		w.chunk(&chunks[i])
	}
}

// TestWatchingWhileOpen: a connection is told as soon as it is decided, once, and
// its bulk is left alone once nothing more can come of it.
func TestWatchingWhileOpen(t *testing.T) {
	p := newPeers(t)
	both, none := [2]bool{true, true}, [2]bool{}
	for _, c := range []struct {
		spec    string
		asked   attribute.Answer
		reply   attribute.Reply
		skipped [2]bool
		held    bool // for what the server makes of it
	}{
		{"1.2/free/none", attribute.No, 0, none, false}, // which may be renegotiated
		{"1.2/asked/none", attribute.Yes, attribute.ReplyEmpty, none, true},
		{"1.2/asked/cert", attribute.Yes, attribute.ReplyCert, both, false},
		{"1.3/free/none", attribute.No, 0, both, false},
		{"1.3/asked/none", attribute.Yes, attribute.ReplyEmpty, none, true},
		{"1.3/asked/cert", attribute.Yes, attribute.ReplyCert, both, false},
	} {
		var out minutes
		w, skipped := newTestWatching(&out)
		chunks := p.chunks(t, 0, c.spec, flowOf(1))
		last := len(chunks) - 1
		w.feed(chunks[:last]...)
		if told := len(out.connections) == 1; told == c.held {
			t.Errorf("%s: told %t while open", c.spec, told)
		}
		if waits := len(w.waiting) == 1; w.told.open != 1 || waits != c.held {
			t.Errorf("%s: %d open, %d waiting", c.spec, w.told.open, len(w.waiting))
		}
		w.feed(chunks[last])
		if len(out.connections) != 1 || len(w.waiting) != 0 || w.told.open != 0 || w.told.tls != 1 || w.tally.judged() != 1 {
			t.Errorf("%s: at the end told %d times, %+v, %+v", c.spec, len(out.connections), w.told, w.tally)
			continue
		}
		got := &out.connections[0]
		if got.Verdict.Asked != c.asked || got.Verdict.Reply != c.reply || got.ID != 1 || got.Capture != "test" || got.Server != testServer {
			t.Errorf("%s: told %+v", c.spec, got.Verdict)
		}
		if skipped[0] != c.skipped {
			t.Errorf("%s: skipped %v, want %v", c.spec, skipped[0], c.skipped)
		}
	}
}

// stalls feeds a connection up to where its client has to answer a request.
func stalls(t *testing.T, p *peers, w *watching) (rest []parse.Chunk) {
	t.Helper()
	chunks := p.chunks(t, 0, "1.2/asked/cert", flowOf(1))
	for i := range chunks {
		if i > 0 && chunks[i].From == parse.Opener {
			w.feed(chunks[:i]...)
			return chunks[i:]
		}
	}
	t.Fatal("the client says nothing")
	return nil
}

// TestWatchingSilence: a client that keeps silent is told after three seconds, and
// the same connection again when it has answered after all.
func TestWatchingSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeers(t)
		var out minutes
		w, _ := newTestWatching(&out)
		rest := stalls(t, p, w)
		time.Sleep(silence - time.Millisecond)
		w.tick()
		if len(out.connections) != 0 {
			t.Fatalf("told after %v: %+v", silence-time.Millisecond, out.connections[0].Verdict)
		}
		time.Sleep(2 * time.Millisecond)
		w.tick()
		w.tick()
		if len(out.connections) != 1 || out.connections[0].Verdict.Reply != attribute.ReplyStalled || out.connections[0].Verdict.Asked != attribute.Yes {
			t.Fatalf("told %d times", len(out.connections))
		}
		for i := range rest {
			rest[i].Time = rest[i].Time.Add(time.Minute)
		}
		w.feed(rest...)
		last := out.connections[len(out.connections)-1]
		if len(out.connections) != 2 || last.ID != out.connections[0].ID || last.Verdict.Reply != attribute.ReplyCert {
			t.Errorf("told %d times, at last %+v", len(out.connections), last.Verdict)
		}
		if want := (tally{asked: 1}); w.tally != want {
			t.Errorf("%+v, want %+v", w.tally, want)
		}
	})
}

// TestWatchingNoSilence: neither packets that were dropped nor a clock that is set
// make a silent client.
func TestWatchingNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeers(t)
		var out minutes
		w, _ := newTestWatching(&out)
		drops := int64(0)
		w.drops = func() int64 { return drops }
		stalls(t, p, w)
		ahead := p.chunks(t, 1, "1.3/free/none", flowOf(2))
		for i := range ahead {
			ahead[i].Time = ahead[i].Time.Add(time.Hour)
		}
		w.feed(ahead...)
		w.tick()
		if len(out.connections) != 1 || out.connections[0].Client.Port() != 2 {
			t.Fatalf("told %d times though no time has passed", len(out.connections))
		}
		drops++
		time.Sleep(10 * silence)
		w.tick()
		if len(out.connections) != 1 {
			t.Errorf("the answer may have been dropped: %+v", out.connections[1].Verdict)
		}
		drops--
		w.tick()
		if len(out.connections) != 2 {
			t.Error("a client that keeps silent is not told")
		}
	})
}

// TestWatchingFilter: what the filter leaves out is counted once, and not told.
func TestWatchingFilter(t *testing.T) {
	p := newPeers(t)
	var out minutes
	w, _ := newTestWatching(&out)
	w.keep = filter{sni: []string{"*.fabrikam.test"}}
	w.feed(p.chunks(t, 0, "1.2/asked/none", flowOf(1))...)
	w.feed(p.chunks(t, 0, "1.2/asked/none/www.fabrikam.test", flowOf(2))...)
	if len(out.connections) != 1 || out.connections[0].Client.Port() != 2 {
		t.Errorf("told %d connections", len(out.connections))
	}
	if want := (tally{asked: 1, filtered: 1}); w.tally != want {
		t.Errorf("%+v, want %+v", w.tally, want)
	}
}

// TestWatchingPlain: what shows no TLS is given up, and counted at its end.
func TestWatchingPlain(t *testing.T) {
	var out minutes
	w, skipped := newTestWatching(&out)
	bulk := make([]byte, 64<<10)
	for i := range bulk {
		bulk[i] = byte(i * 7)
	}
	for range 64 {
		for _, from := range []parse.Side{parse.Opener, parse.Accepter} {
			w.feed(parse.Chunk{Conn: 0, Flow: flowOf(1), From: from, Time: time.Unix(1, 0), Data: bulk})
		}
	}
	if skipped[0] != [2]bool{true, true} {
		t.Errorf("skipped %v", skipped[0])
	}
	w.feed(parse.Chunk{Conn: 0, Flow: flowOf(1), Time: time.Unix(1, 0), End: parse.FIN})
	if len(out.connections) != 0 || w.tally.plain != 1 {
		t.Errorf("told %d times, %+v", len(out.connections), w.tally)
	}
}

// TestWatchingCannotWrite: where answers cannot be written the run ends.
func TestWatchingCannotWrite(t *testing.T) {
	p := newPeers(t)
	out := minutes{fail: errors.New("no space")}
	w, _ := newTestWatching(&out)
	var src list
	for i := range 3 {
		for _, ch := range p.chunks(t, i, "1.2/asked/none", flowOf(uint16(i))) {
			src = append(src, item{chunk: ch})
		}
	}
	if err := w.read(t.Context(), src, func(err error) { t.Error(err) }); !errors.Is(err, out.fail) {
		t.Errorf("got %v", err)
	}
	if len(out.connections) != 1 {
		t.Errorf("told %d times", len(out.connections))
	}
}
