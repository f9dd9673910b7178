package attribute

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// joinRule is a row of the table by which sessions are joined where one hop ends
// TLS and opens a session of its own.
type joinRule struct {
	name       string
	confidence string
	// outers lists the sessions that inner may have been opened for, with what
	// shows it.
	outers func(j *joiner, inner *session) ([]*session, string)
	// several: one outer session may have several inner ones.
	several bool
	timed   bool // it rests on times
}

// joinRules is tried in order; a rule that finds one session for one decides, and
// one that finds several says that they are several.
var joinRules = []joinRule{
	{"proxy-header", "certain", byProxyHeader, true, false},
	{"connect-target", "likely", byTarget, false, true},
	{"terminated", "likely", byVolume, false, true},
}

// join finds the inner session of each.
func (j *joiner) join() {
	for r := range joinRules {
		rule := &joinRules[r]
		type candidate struct {
			outers  []*session
			because string
		}
		found := make(map[*session]candidate)
		inners := make(map[*session]int)
		for _, s := range j.sessions {
			if s.outer {
				continue
			}
			if outers, because := rule.outers(j, s); len(outers) > 0 {
				found[s] = candidate{outers, because}
				for _, o := range outers {
					inners[o]++
				}
			}
		}
		for _, s := range j.sessions {
			c := found[s]
			switch {
			case len(c.outers) > 1:
				s.crowded = true
			case len(c.outers) == 0:
			case c.outers[0].inner != nil && !rule.several:
			case inners[c.outers[0]] > 1 && !rule.several:
				c.outers[0].rivals = inners[c.outers[0]]
			default:
				o := c.outers[0]
				s.outer, s.crowded = true, false
				if o.inner == nil {
					o.inner, o.joined, o.because, o.rivals = s, rule, c.because, 0
				}
			}
		}
	}
}

// byProxyHeader: the session says for which connection it was opened.
func byProxyHeader(j *joiner, inner *session) ([]*session, string) {
	n := inner.first().source
	if n == 0 {
		return nil, ""
	}
	source := j.sources[n-1]
	var best *session
	for _, s := range j.byClient[source] {
		if s != inner && j.overlap(s, inner, time.Second) && (best == nil || s.start > best.start) {
			best = s
		}
	}
	if best == nil {
		return nil, ""
	}
	return []*session{best}, fmt.Sprintf("a PROXY header names the client %s", source)
}

// byTarget: a client asked a proxy for a tunnel to a host, and the proxy opened a
// TLS session of its own there: it inspects what passes.
func byTarget(j *joiner, inner *session) ([]*session, string) {
	first := inner.first()
	if first.sni == 0 {
		return nil, ""
	}
	name := j.names.text(first.sni)
	out := j.open(inner, func(s *session) bool {
		target, _ := splitTarget(j.names.text(s.last().target))
		return strings.EqualFold(target, name) && inner.start >= s.start-slackBefore
	})
	if len(out) == 0 {
		return nil, "" // as nearly always: no text for it
	}
	return out, "the client asked the proxy for a tunnel to " + name
}

const (
	// slackBefore is how much earlier than its outer session one may seem to begin.
	slackBefore = int64(20 * time.Millisecond)
	// slackAround is how near in time a session has to be to be a rival, as hops
	// let connections go later than their clients do, or sooner.
	slackAround = int64(200 * time.Millisecond)
)

// overlap reports whether two sessions were open at the same time, give or take.
func (j *joiner) overlap(a, b *session, slack time.Duration) bool {
	return a.start <= b.end+int64(slack) && b.start <= a.end+int64(slack)
}

// ending lists the sessions that end at one host: the short ones and the long ones, as
// a long one would have all behind it looked at.
type ending [2]spans

// long is how long a session lasts to be one of the long ones, in nanoseconds.
const long = int64(5 * time.Second)

func (e *ending) add(s *session) {
	if s.end-s.start < long {
		e[0].add(s)
	} else {
		e[1].add(s)
	}
}

// spans lists sessions by start, with the latest end among each and those before it.
type spans struct {
	sessions []*session
	latest   []int64
}

func (e *spans) add(s *session) {
	latest := s.end
	if n := len(e.latest); n > 0 {
		latest = max(latest, e.latest[n-1])
	}
	e.sessions = append(e.sessions, s)
	e.latest = append(e.latest, latest)
}

// maxRivals is how many rivals are looked at.
const maxRivals = 64

// open lists sessions, no more than maxRivals, that end at the host which opened inner,
// and were open at the same time or nearly so. Those that this host opened itself, as
// over its loopback, say nothing: its client may have opened inner as well.
func (j *joiner) open(inner *session, fits func(*session) bool) []*session {
	l := inner.first()
	foreign := func(s *session) bool {
		o := s.first()
		return o.client().Addr() != l.client().Addr() && (o.from == 0 || o.from != l.from) && fits(s)
	}
	out := j.openIn(j.byEnd[l.client().Addr()], inner, foreign, nil)
	if l.from != 0 {
		out = j.openIn(j.byEndHop[l.from], inner, foreign, out)
	}
	return out
}

func (j *joiner) openIn(e *ending, inner *session, fits func(*session) bool, out []*session) []*session {
	if e == nil {
		return out
	}
	for i := range e {
		out = e[i].open(inner, fits, out)
	}
	return out
}

func (e *spans) open(inner *session, fits func(*session) bool, out []*session) []*session {
	from, to := inner.start-slackAround, inner.end+slackAround
	i, _ := slices.BinarySearchFunc(e.sessions, to, func(s *session, end int64) int {
		if s.start <= end {
			return -1
		}
		return 1
	})
	for i--; i >= 0 && e.latest[i] >= from && len(out) < maxRivals; i-- {
		s := e.sessions[i]
		if s != inner && s.end >= from && fits(s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func splitTarget(t string) (host, port string) {
	if i := strings.LastIndexByte(t, ':'); i >= 0 {
		return strings.Trim(t[:i], "[]"), t[i+1:]
	}
	return t, ""
}
