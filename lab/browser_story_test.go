//go:build linux

package lab

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// glance is how long a person looks at a dialog in a story: longer than a browser
// takes to answer by itself.
const glance = 1500 * time.Millisecond

// storyPage is what the pages of a story are called; storyImage is on another host.
const storyPage, storyImage = "/", "/badge.png"

// storySeen is a dialog of a story, as it went.
type storySeen struct {
	sni, outcome string
	pages        []string // over which of them it may be told to have come up; "" for none
	seen, ended  time.Time
	served       time.Time // when the request that had waited was answered
}

// story is a browser that a person uses for a while.
type story struct {
	*Lab
	b      Browser
	screen *Screen
	site   *Portal
	watch  *Watch
	seen   []storySeen
}

// TestBrowserStory has a person use a browser for a while: a page with an image of
// another host that asks, the same again, a page that asks where they cancel, the
// same again, and a page that connects to another host in advance. Dialogs, what
// the browser remembers and what it does in advance have to be told apart with
// keys and without, at either end of a passthrough, and while it happens.
func TestBrowserStory(t *testing.T) {
	Need(t, "go")
	program := buildProgram(t, &Lab{Dir: t.TempDir()})
	for _, b := range Browsers() {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			l := New(t, append(b.Tools(), "nginx", "haproxy")...)
			c := NewChain(t)
			cas, ids := l.sitePKI([]string{start}, []string{news}, []string{vault}, []string{wiki}, []string{cdn}, []string{portal})
			l.Net = &Net{Client: c.Client, Server: c.Middle}
			site := l.ServeSites("TLSv1.2 TLSv1.3", cas,
				Site{Name: start, Mode: NotAsked, Identity: ids[0], Fresh: true},
				Site{Name: news, Mode: NotAsked, Identity: ids[1], Fresh: true, Body: fmt.Sprintf(`<img src="https://%s%s?$request_id">`, vault, storyImage)},
				Site{Name: vault, Mode: Optional, Identity: ids[2], Fresh: true},
				Site{Name: wiki, Mode: Optional, Identity: ids[3], Fresh: true},
				Site{Name: cdn, Mode: Optional, Identity: ids[4], Fresh: true},
				Site{Name: portal, Mode: NotAsked, Identity: ids[5], Fresh: true, Body: fmt.Sprintf(`<link rel=preconnect href="https://%s">`, cdn)})
			edge(l, c, "\n server inner 198.18.1.30:443\n")
			l.Net = &Net{Client: c.Client, Server: c.Edge} // the names lead to the passthrough
			points := c.Points[:2]
			var files []string
			var running []*Capture
			for _, p := range points {
				files = append(files, filepath.Join(l.Dir, "story-"+b.Name+"-"+p.Name+".pcap"))
				running = append(running, StartCapture(t, p.At, p.Device, files[len(files)-1]))
			}
			st := &story{Lab: l, b: b, screen: l.NewScreen(), site: site}
			st.watch = StartWatch(t, points[0].At, program, filepath.Join(l.Dir, "story.jsonl"), 1, "-i", points[0].Device)
			st.tell(t)
			for i, r := range running {
				r.Stop(t)
				l.Keep(t, "story-"+b.Name+"-"+points[i].Name, files[i], nil)
			}
			st.watch.Stop(t)
			for _, way := range []struct {
				name string
				args []string
			}{
				{"sealed", files[:1]},
				{"with keys", []string{"--keylog", l.KeyLog(), files[0]}},
				{"at the inner side", files[1:]},
				{"at both", files},
			} {
				st.check(t, way.name, readAnswers(t, program, way.args...))
			}
			live := ReadAnswers(t, st.watch.Path)
			st.check(t, "live", live)
			read := ReadCapture(t, program, files[0])
			n, asked := live.Same(t, "live", read)
			live.samePrompts(t, "live", read)
			t.Logf("%d connections told live as read tells them: %v", n, asked)
		})
	}
}

// tell is what happens in front of the browser.
func (st *story) tell(t *testing.T) {
	t.Helper()
	began := time.Now()
	p := st.b.Visit(st.Lab, st.screen, "https://"+start+"/", st.PKI.ClientRSA)
	st.waitServed(t, start, storyPage, 1, time.Minute)

	st.open(t, news, func() bool { return st.screen.Dialog(t) })
	st.end(t, storySeen{sni: vault, outcome: "certificate", pages: []string{news}}, "Return", storyImage)
	st.open(t, news, func() bool { return st.served(t, vault, storyImage, 2).SNI != "" })

	st.open(t, wiki, func() bool { return st.screen.Dialog(t) })
	st.end(t, storySeen{sni: wiki, outcome: "cancelled", pages: []string{"", news}}, "Escape", storyPage) // news may have been quick
	st.open(t, wiki, func() bool { return st.served(t, wiki, storyPage, 2).SNI != "" })

	st.open(t, portal, func() bool { return len(ReadAnswers(t, st.watch.Path).named(cdn)) > 0 })
	if st.screen.Dialog(t) {
		t.Error("a dialog came up for a connection in advance")
	}
	for _, name := range []string{vault, wiki} {
		if want := pick(name == vault, "SUCCESS", "NONE"); st.served(t, name, pick(name == vault, storyImage, storyPage), 2).Verify != want {
			t.Errorf("%s: the choice was not remembered", name)
		}
	}
	p.Stop()
	if !st.Net.Client.WaitQuiet(t, 20*time.Second) {
		t.Error("the browser is gone, its connections are not")
	}
	t.Logf("the story took %.1f s", time.Since(began).Seconds())
}

// served returns the n-th request for a page, or none.
func (st *story) served(t *testing.T, name, path string, n int) Request {
	t.Helper()
	for _, r := range st.site.Requests(t) {
		if r.SNI == name && r.Path == path {
			if n--; n == 0 {
				return r
			}
		}
	}
	return Request{}
}

func (st *story) waitServed(t *testing.T, name, path string, n int, limit time.Duration) (r Request) {
	t.Helper()
	if !poll(limit, func() bool { r = st.served(t, name, path, n); return r.SNI != "" }) {
		st.screen.keep(t, t.Name()+"-"+name)
		t.Fatalf("%s%s was not served %d times in %v", name, path, n, limit)
	}
	return r
}

// open leads the browser to a page until it is done. A browser that is still
// building its window takes no keys.
func (st *story) open(t *testing.T, name string, done func() bool) {
	t.Helper()
	connected := func() int { return len(ReadAnswers(t, st.watch.Path).named(name)) }
	before := connected()
	for range 6 {
		st.screen.demoOpen(t, name)
		if poll(8*time.Second, func() bool { return done() || connected() > before }) {
			if poll(time.Minute, done) {
				return
			}
			break
		}
	}
	st.screen.keep(t, t.Name()+"-"+name)
	t.Fatalf("nothing came of %s", name)
}

// end looks at a dialog for a while and ends it with a key.
func (st *story) end(t *testing.T, d storySeen, key, path string) {
	t.Helper()
	d.seen = time.Now()
	time.Sleep(glance)
	d.ended = time.Now()
	st.screen.Press(t, key)
	r := st.waitServed(t, d.sni, path, 1, time.Minute)
	d.served = r.Time
	// What comes within a second of an answer is taken to have come with it.
	time.Sleep(time.Until(d.served.Add(1200 * time.Millisecond)))
	st.seen = append(st.seen, d)
}

// check holds the dialogs that were told, and what was told of choices that are
// remembered, against the story.
func (st *story) check(t *testing.T, way string, got *Answers) {
	t.Helper()
	const clock = 10 * time.Millisecond // the kernel stamps packets by a coarser clock
	var shown []map[string]any
	for _, p := range got.Prompts {
		switch outcome := fmt.Sprint(p["outcome"]); {
		case outcome == "none-shown":
		case outcome == "unknown" && p["sni"] == cdn && !st.b.Holds: // Chromium drops what it asks about, too
		default:
			shown = append(shown, p)
		}
	}
	if len(shown) != len(st.seen) {
		t.Errorf("%s: prompts %v, want %+v", way, got.Prompts, st.seen)
		return
	}
	for i, p := range shown {
		want := st.seen[i]
		page, _ := p["page"].(string)
		if p["sni"] != want.sni || p["outcome"] != want.outcome || !slices.Contains(want.pages, page) || p["nth"] != float64(i+1) {
			t.Errorf("%s: prompt %v, want %+v", way, p, want)
		}
		opened, closed := promptTime(t, p, "opened"), promptTime(t, p, "closed")
		if opened.After(want.seen.Add(clock)) || closed.Before(want.ended.Add(-clock)) || closed.After(want.served.Add(nginxLag)) {
			t.Errorf("%s: prompt from %v to %v, on the screen from %v to %v, and served at %v", way, opened, closed, want.seen, want.ended, want.served)
		}
	}
	for _, name := range []string{vault, wiki} {
		if cause := got.cause(name, "cached-choice"); way != "live" && !strings.Contains(cause, "showed its dialog 1 time, and answered too fast") {
			t.Errorf("%s: %s: that the choice was remembered is told as %q", way, name, cause)
		}
	}
	if len(got.named(cdn)) == 0 {
		t.Errorf("%s: nothing is told of the connection in advance", way)
	}
}

func promptTime(t *testing.T, p map[string]any, field string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(p[field]))
	if err != nil {
		t.Errorf("prompt %v: %v", p, err)
	}
	return at
}

// named returns the connections under a name.
func (a *Answers) named(sni string) (out []map[string]any) {
	for _, list := range a.Connections {
		for _, c := range list {
			if c["sni"] == sni {
				out = append(out, c)
			}
		}
	}
	return out
}

// cause returns why a cause is told of a name, of the endpoint that ends its TLS.
func (a *Answers) cause(sni, id string) string {
	for _, asker := range a.Askers {
		causes, _ := asker["causes"].([]any)
		for _, c := range causes {
			if c := c.(map[string]any); asker["sni"] == sni && c["id"] == id {
				return fmt.Sprint(c["why"])
			}
		}
	}
	return ""
}

// samePrompts compares the dialogs with those of another answer, with the stamps
// of another socket.
func (a *Answers) samePrompts(t testing.TB, name string, want *Answers) {
	t.Helper()
	if len(a.Prompts) != len(want.Prompts) {
		t.Errorf("%s: %d prompts, want %d:\n%v\n%v", name, len(a.Prompts), len(want.Prompts), a.Prompts, want.Prompts)
		return
	}
	for i, p := range a.Prompts {
		w := want.Prompts[i]
		for _, field := range []string{"asked_by", "sni", "client", "outcome", "when", "page", "nth"} {
			if fmt.Sprint(p[field]) != fmt.Sprint(w[field]) {
				t.Errorf("%s: %s is %v, want %v, of the prompts\n%v\n%v", name, field, p[field], w[field], p, w)
			}
		}
		for _, field := range []string{"opened", "closed"} {
			if g, w := fmt.Sprint(p[field]), fmt.Sprint(w[field]); g != w && !closeBy(g, w) {
				t.Errorf("%s: %s is %s, want %s", name, field, g, w)
			}
		}
	}
}

// readAnswers answers from captures with whoasked read.
func readAnswers(t testing.TB, program string, args ...string) *Answers {
	t.Helper()
	out := filepath.Join(t.TempDir(), "answers.jsonl")
	if text, err := exec.Command(program, append([]string{"read", "--quiet", "--format", "json", "--output", out}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("whoasked read: %v\n%s", err, text)
	}
	return ReadAnswers(t, out)
}
