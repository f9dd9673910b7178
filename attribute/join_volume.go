package attribute

import (
	"fmt"
	"net/netip"

	"whoasked/parse"
)

// byVolume: the terminator of one session opened another under the same name
// while that lasted, and as much data went through both.
func byVolume(j *joiner, inner *session) ([]*session, string) {
	first := inner.first()
	if first.sni == 0 || inner.down == 0 {
		return nil, ""
	}
	if u := j.usualOf(inner); u != nil {
		return j.byUsual(u, inner)
	}
	// Every session that may have used this one is a rival. Where one capture
	// shows both sides of the hop, the right one is among them, and it is the one
	// whose volumes fit, if only one's do.
	rivals := j.open(inner, func(s *session) bool { return s.last().sni == first.sni })
	var fit []*session
	for _, s := range rivals {
		if j.overlap(s, inner, 0) && inner.start >= s.start-slackBefore && s.alike(inner) {
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return nil, ""
	}
	out := rivals
	if len(fit) == 1 && len(rivals) < maxRivals && inner.down >= distinct && fit[0].last().capture == first.capture {
		out = fit
	}
	return out, fmt.Sprintf("the same name, opened by the server of the leg before while that lasted; %d and %d bytes passed here, %d and %d there",
		inner.up, inner.down, out[0].up, out[0].down)
}

// byUsual lists the sessions whose volumes differ from those of inner by as much as is
// usual. What is alike in another way is none: nearly all differ so.
func (j *joiner) byUsual(u *usual, inner *session) (out []*session, because string) {
	outers, ok := j.around(inner)
	if !ok {
		return nil, ""
	}
	for _, o := range outers {
		if o.alike(inner) && u.window[o.kind()].holds(inner.up-o.up, inner.down-o.down) {
			out = append(out, o)
		}
	}
	if len(out) == 0 {
		return nil, ""
	}
	return out, fmt.Sprintf("the same name, opened by the server of the leg before while that lasted; %d and %d bytes passed here, %d and %d there, "+
		"which differ as those of %d such sessions do", inner.up, inner.down, out[0].up, out[0].down, u.seen)
}

// distinct is how many bytes a response has at least to be told by its length.
const distinct = 4 << 10

// alike reports whether the volumes of two sessions may be the same requests and
// responses.
func (s *session) alike(o *session) bool {
	return alike(s.up, o.up, 0) && alike(s.down, o.down, s.tickets+o.tickets)
}

// alike reports whether two volumes may be the same with other headers, record sizes
// and tickets.
func alike(a, b, tickets int64) bool {
	const headers = 1 << 10
	d := max(a-b, b-a)
	return a > 0 && b > 0 && d <= headers+max(a, b)/100+tickets
}

// link is where sessions were opened, by which host, and by which protocol.
type link struct {
	from    netip.Addr
	to      netip.AddrPort
	version parse.Version
}

// usual is by how much the volumes of sessions on a link usually differ from those of
// the sessions that they were opened for: headers are added and taken out, always the
// same ones, and framing differs. It is learned from all that could belong together:
// what does not is scattered.
type usual struct {
	window [2]window // by whether the outer session is of TLS 1.3, which seals more
	seen   int       // inner sessions that it fits
}

// window is a range of differences, up and down: three units each way, from the lowest
// on. It is empty if the unit is 0.
type window struct {
	unit     int64
	up, down int64
}

func (w *window) holds(up, down int64) bool {
	return up >= w.up && up < w.up+3*w.unit && down >= w.down && down < w.down+3*w.unit
}

// around lists the sessions that were open when inner began, under its name and in its
// capture: if that shows both sides of the hop, the right one is among them. ok is
// false if there are too many to look at.
func (j *joiner) around(inner *session) (out []*session, ok bool) {
	first := inner.first()
	out = j.open(inner, func(s *session) bool {
		return s.last().sni == first.sni && s.last().capture == first.capture && inner.start >= s.start-slackBefore && s.end >= inner.start
	})
	return out, len(out) < maxRivals
}

// Bounds of what is learned.
const (
	// fewestUsual is how many sessions of a link have to show what is usual there.
	fewestUsual = 30
	// mostWrong bounds how often a session may be expected to fit a wrong one and not
	// the right one.
	mostWrong = 1e-4
	// mostOthers bounds how many wrong ones fit a session, on average.
	mostOthers = 0.1
)

// usualOf returns what is usual on the link of a session, nil if nothing is.
func (j *joiner) usualOf(inner *session) *usual {
	if j.usual == nil {
		j.usual = make(map[link]*usual)
		links := make(map[link][]*session)
		for _, s := range j.sessions {
			if l := s.first(); l.sni != 0 && s.down > 0 && (j.byEnd[l.client().Addr()] != nil || j.byEndHop[l.from] != nil) {
				links[s.link()] = append(links[s.link()], s)
			}
		}
		for k, inners := range links {
			if len(inners) >= fewestUsual {
				j.usual[k] = j.learn(inners)
			}
		}
	}
	return j.usual[inner.link()]
}

func (s *session) link() link {
	l := s.first()
	return link{l.client().Addr(), l.server(), l.version}
}

// pair is an inner session with one that it may have been opened for.
type pair struct {
	inner    int
	kind     int // index of usual.window
	up, down int64
}

// learn finds the narrowest windows that hold a difference of nearly all sessions, and
// seldom another one.
func (j *joiner) learn(inners []*session) *usual {
	var pairs []pair
	n := 0 // sessions that something could be told of
	for i, s := range inners {
		outers, ok := j.around(s)
		if len(outers) == 0 || !ok {
			continue
		}
		n++
		for _, o := range outers {
			if o.alike(s) {
				pairs = append(pairs, pair{i, o.kind(), s.up - o.up, s.down - o.down})
			}
		}
	}
	for unit := int64(32); unit <= 256 && n >= fewestUsual; unit *= 2 {
		u := &usual{}
		for kind := range u.window {
			u.window[kind] = densest(pairs, kind, unit)
		}
		if u.fits(pairs, n) {
			return u
		}
	}
	return nil
}

// kind is an index of usual.window.
func (s *session) kind() int {
	if s.last().version.IsTLS13() {
		return 1
	}
	return 0
}

// densest finds the window that holds most pairs of a kind.
func densest(pairs []pair, kind int, unit int64) window {
	type cell struct{ up, down int64 }
	cells := make(map[cell]int)
	floor := func(v int64) int64 { return (v - ((v%unit)+unit)%unit) / unit }
	for _, p := range pairs {
		if p.kind == kind {
			cells[cell{floor(p.up), floor(p.down)}]++
		}
	}
	var best cell
	most := 0
	for c := range cells {
		n := 0
		for up := c.up - 1; up <= c.up+1; up++ {
			for down := c.down - 1; down <= c.down+1; down++ {
				n += cells[cell{up, down}]
			}
		}
		if n > most || n == most && (c.up < best.up || c.up == best.up && c.down < best.down) {
			best, most = c, n
		}
	}
	if most == 0 {
		return window{}
	}
	return window{unit, (best.up - 1) * unit, (best.down - 1) * unit}
}

// fits reports whether windows tell right from wrong among n inner sessions.
func (u *usual) fits(pairs []pair, n int) bool {
	const region = 4 << 20 // about what alike lets through, up by down
	inside, outside, last := 0, 0, -1
	area := int64(0)
	for _, p := range pairs {
		w := &u.window[p.kind]
		if !w.holds(p.up, p.down) {
			outside++
			continue
		}
		inside++
		area = max(area, 9*w.unit*w.unit)
		if p.inner != last {
			u.seen++
			last = p.inner
		}
	}
	others := max(float64(inside-u.seen), float64(outside)*float64(area)/region) / float64(n)
	missed := float64(n-u.seen+1) / float64(n)
	return u.seen >= fewestUsual && others <= mostOthers && missed*others <= mostWrong
}
