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
	over         string // the page that was visited right before
	seen, ended  time.Time
	served       time.Time // when the request that had waited was answered
}

// story is a browser that a person uses for a while.
type story struct {
	*Lab
	b      Browser
	screen *Screen
	site   *Portal
	// told returns what a whoasked that runs has told so far.
	told func() *Answers
	seen []storySeen
}

// TestBrowserStory has a person use a browser for a while: a page with an image of
// another host that asks, the same again, a page that asks where they cancel, the
// same again, and a page that connects to another host in advance. Dialogs, what
// the browser remembers and what it does in advance have to be told apart with
// keys and without, at either end of a passthrough, and while it happens.
func TestBrowserStory(t *testing.T) {
	Need(t, "go")
	program := theProgram(t)
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
			watch := StartWatch(t, points[0].At, program, filepath.Join(l.Dir, "story.jsonl"), 1, "-i", points[0].Device)
			st.told = func() *Answers { return ReadAnswers(t, watch.Path) }
			st.tell(t)
			for i, r := range running {
				r.Stop(t)
				l.Keep(t, "story-"+b.Name+"-"+points[i].Name, files[i], nil)
			}
			watch.Stop(t)
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
			live := st.told()
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
	st.waitServed(t, Request{SNI: start, Path: storyPage, Verify: "NONE"}, began)

	rest := func() { time.Sleep(time.Until(st.seen[len(st.seen)-1].served.Add(1200 * time.Millisecond))) }
	image, page := Request{SNI: vault, Path: storyImage, Verify: "SUCCESS"}, Request{SNI: wiki, Path: storyPage, Verify: "NONE"}
	st.open(t, news, func(time.Time) bool { return st.screen.Dialog(t) })
	st.end(t, storySeen{sni: vault, outcome: "certificate", over: news}, "Return", image)
	rest() // what comes within a second of an answer is taken to have come with it
	st.open(t, news, func(since time.Time) bool { return st.served(t, image, since) != nil })

	st.open(t, wiki, func(time.Time) bool { return st.screen.Dialog(t) })
	st.end(t, storySeen{sni: wiki, outcome: "cancelled", over: news}, "Escape", page)
	rest()
	st.open(t, wiki, func(since time.Time) bool { return st.served(t, page, since) != nil })

	st.open(t, portal, func(time.Time) bool { return len(st.told().named(cdn)) > 0 })
	if st.screen.Dialog(t) {
		t.Error("a dialog came up for a choice that is remembered, or a connection in advance")
	}
	p.Stop()
	if !st.Net.Client.WaitQuiet(t, 20*time.Second) {
		t.Error("the browser is gone, its connections are not")
	}
	t.Logf("the story took %.1f s", time.Since(began).Seconds())
}

// served returns a request like want, answered since then; nil for none.
func (st *story) served(t *testing.T, want Request, since time.Time) *Request {
	t.Helper()
	for _, r := range st.site.Requests(t) {
		if r.SNI == want.SNI && r.Path == want.Path && r.Verify == want.Verify && r.Time.After(since.Add(-nginxLag)) {
			return &r
		}
	}
	return nil
}

func (st *story) waitServed(t *testing.T, want Request, since time.Time) (r *Request) {
	t.Helper()
	if !poll(time.Minute, func() bool { r = st.served(t, want, since); return r != nil }) {
		st.screen.keep(t, t.Name()+"-"+want.SNI)
		t.Fatalf("%+v was not served in a minute", want)
	}
	return r
}

// open leads the browser to a page until it is done. A browser that is still
// building its window takes no keys.
func (st *story) open(t *testing.T, name string, done func(since time.Time) bool) {
	t.Helper()
	since := time.Now()
	host, _, _ := strings.Cut(name, ":")
	connected := func() int { return len(st.told().named(host)) }
	before := connected()
	for range 6 {
		st.screen.demoOpen(t, name)
		if poll(8*time.Second, func() bool { return done(since) || connected() > before }) {
			if poll(time.Minute, func() bool { return done(since) }) {
				return
			}
			break
		}
	}
	st.screen.keep(t, t.Name()+"-"+name)
	t.Fatalf("nothing came of %s", name)
}

// end looks at a dialog for a while and ends it with a key.
func (st *story) end(t *testing.T, d storySeen, key string, waited Request) {
	t.Helper()
	d.seen = time.Now()
	time.Sleep(glance)
	d.ended = time.Now()
	st.screen.Press(t, key)
	d.served = st.waitServed(t, waited, d.ended).Time
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
		if over := got.before(t, p, &want); p["sni"] != want.sni || p["outcome"] != want.outcome || !slices.Contains(over, page) || p["nth"] != float64(i+1) {
			t.Errorf("%s: prompt %v, want the %d. %+v over one of %q", way, p, i+1, want, over)
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

// before returns what a dialog may be told to have come up over: the page where it
// was connected to within two seconds before a connection of the dialog, and none
// where a busy browser took longer.
func (a *Answers) before(t *testing.T, p map[string]any, d *storySeen) (names []string) {
	t.Helper()
	ids, _ := p["connections"].([]any)
	for _, c := range a.named(d.sni) {
		at := promptTime(t, c, "time")
		if !slices.Contains(ids, c["id"]) || at.After(d.seen) {
			continue
		}
		close := slices.ContainsFunc(a.named(d.over), func(of map[string]any) bool {
			gap := at.Sub(promptTime(t, of, "time"))
			return gap >= 0 && gap <= 2*time.Second
		})
		names = append(names, pick(close, d.over, ""))
	}
	return names
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
// of another socket, and less some fields.
func (a *Answers) samePrompts(t testing.TB, name string, want *Answers, without ...string) {
	t.Helper()
	if len(a.Prompts) != len(want.Prompts) {
		t.Errorf("%s: %d prompts, want %d:\n%v\n%v", name, len(a.Prompts), len(want.Prompts), a.Prompts, want.Prompts)
		return
	}
	for i, p := range a.Prompts {
		w := want.Prompts[i]
		for _, field := range []string{"asked_by", "sni", "client", "outcome", "when", "page", "nth"} {
			if fmt.Sprint(p[field]) != fmt.Sprint(w[field]) && !slices.Contains(without, field) {
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
