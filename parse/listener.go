package parse

import (
	"bytes"
	"strings"
)

// Bounds of what is heard in front of TLS.
const (
	// maxHeard is how much of one message is kept until it is complete: more
	// than any line or address that matters (RFC 5321 §4.5.3.1, a host name in
	// a CONNECT).
	maxHeard = 1 << 10
	// maxLayers bounds the protocols that follow each other.
	maxLayers = 4
	// maxDue bounds how often in one direction a place is said to be one where
	// TLS may begin.
	maxDue = 16
)

// listener hears what runs in front of TLS and notes what a report can use. It
// hears exactly the bytes that hunting passes over, and nothing depends on it
// but names and addresses: TLS is found wherever it begins.
type listener struct {
	ears   [2]ear // by Side
	row    *Preamble
	layers []string // protocols that are over
	vote   int      // index in preambles of the best clue in lines of text, -1 for none
	sure   bool     // the clue is a sure one
	xml    bool     // messages of text end with ">"
	asked  bool     // the opener asked for TLS in a line of text
	http   httpTalk
	socks  socksTalk

	proxied *Proxied
	target  string
	// broken: the beginning of a stream is missing, or may be.
	broken bool
}

// ear is what is heard of one direction.
type ear struct {
	buf    []byte // of the message that is not complete, at most maxHeard bytes
	skip   int    // bytes of the message still to pass over
	after  turn   // what it means, once over
	line   bool   // the rest of a line is passed over
	deaf   bool   // nothing can be told any more
	spoke  bool   // bytes were heard since the last layer
	odd    bool   // they are of no protocol known, nor look like TLS
	taken  int    // messages read since the last layer
	dues   int
	inHTTP httpHead
}

// pass lets the listener hear bytes in which TLS does not begin. It returns how
// many of them lead up to a place where TLS may begin.
func (d *direction) pass(b []byte) (n int, due bool) {
	if d.found || len(b) == 0 {
		return len(b), false
	}
	l := d.c.heard
	if l == nil {
		l = &listener{vote: -1, broken: d.c.h.Midstream}
		d.c.heard = l
	}
	return l.hear(d.from, b)
}

// passAll is pass where TLS cannot begin.
func (d *direction) passAll(b []byte) {
	for len(b) > 0 {
		n, _ := d.pass(b)
		b = b[n:]
	}
}

// missed is told that bytes of a direction were lost.
func (l *listener) missed(from Side) {
	e := &l.ears[from]
	e.deaf, e.buf = true, nil
	if e.taken == 0 {
		l.broken = true
	}
}

// hear takes bytes up to where TLS may begin, or all.
func (l *listener) hear(from Side, b []byte) (n int, due bool) {
	e := &l.ears[from]
	for n < len(b) {
		rest := b[n:]
		e.spoke = true
		switch {
		case e.deaf:
			return len(b), false
		case e.line:
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				return len(b), false
			}
			e.line = false
			n += i + 1
		case e.skip > 0:
			k := min(e.skip, len(rest))
			e.skip -= k
			n += k
			if e.skip == 0 && l.apply(from, e.after) {
				return n, true
			}
		default:
			k, turn := l.message(from, rest)
			n += k
			if l.apply(from, turn) {
				return n, true
			}
		}
	}
	return n, false
}

// message puts the message together that rest begins with or goes on with. It
// returns how many bytes of rest it took.
func (l *listener) message(from Side, rest []byte) (int, turn) {
	e := &l.ears[from]
	old := len(e.buf)
	work := rest[:min(len(rest), maxHeard-old)]
	if old > 0 {
		e.buf = append(e.buf, work...)
		work = e.buf
	}
	row, wait, n := l.row, false, 0
	if from == Opener && e.taken == 0 {
		// A PROXY header comes first, whatever the other side has said already.
		var head *Preamble
		if head, wait = recognise(from, work, true); head != nil {
			row = head
		}
	}
	switch {
	case wait:
		row = nil
	case row == nil:
		found, more := recognise(from, work, false)
		switch {
		case found != nil:
			// What the other side said before is heard first, whatever the split.
			l.row, e.buf = found, e.buf[:old]
			l.settle(from.Other())
			return 0, turnStay
		case !more && (len(work) > 1 || !looksLikeTLS(append(work[:1:1], 3))):
			e.odd = !looksLikeTLS(work)
			return len(rest), turnDeaf
		}
	default:
		if n = row.tongue.cut(l, from, work); n < 0 && row.leads {
			l.over(row.Name)
		}
	}
	switch {
	case n < 0:
		return len(rest), turnDeaf
	case len(work) < maxHeard && (n == 0 || n > len(work)):
		if old == 0 {
			e.buf = append(e.buf, work...)
		}
		return len(work) - old, turnStay
	case n == 0 && (row == nil || row.starts != nil && !e.inHTTP.lines()):
		return len(rest), turnDeaf
	case n == 0: // a line too long to keep
		n, e.line = len(work), true
	}
	have := min(n, len(work))
	turn := row.tongue.take(l, from, work[:have])
	if row.leads {
		l.over(row.Name)
	} else {
		e.taken++
	}
	// Of bytes kept before the row was known, some may be of the next message.
	kept := copy(e.buf, e.buf[min(n, old):old])
	clear(e.buf[kept:]) // it may have held a password
	e.buf = e.buf[:kept]
	if kept > 0 || n == old {
		return 0, turn
	}
	if n > have {
		e.skip, e.after, turn = n-have, turn, turnStay
	}
	return have - old, turn
}

// apply does what a message means and reports whether TLS may begin behind it.
func (l *listener) apply(from Side, t turn) bool {
	e := &l.ears[from]
	switch t {
	case turnDeaf:
		e.deaf, e.buf = true, nil
		return false
	case turnOver:
		l.over(l.name())
		l.row, l.vote, l.sure, l.xml, l.asked = nil, -1, false, false, false
		l.http, l.socks = httpTalk{}, socksTalk{}
		for s := range l.ears {
			o := &l.ears[s]
			*o = ear{buf: o.buf, deaf: o.deaf || len(l.layers) == maxLayers, dues: o.dues, spoke: len(o.buf) > 0}
		}
		l.settle(from.Other())
	case turnStay:
		return false
	}
	e.dues++
	return e.dues <= maxDue
}

// over adds a layer.
func (l *listener) over(name string) {
	if len(l.layers) < maxLayers {
		l.layers = append(l.layers, name)
	}
}

// settle hears again what was kept of a direction under another row.
func (l *listener) settle(from Side) {
	b := l.ears[from].buf
	l.ears[from].buf = nil
	for len(b) > 0 {
		n, _ := l.hear(from, b)
		b = b[n:]
	}
}

// recognise finds the row by how a stream begins, among those that lead or
// those that don't; more is set if that takes more bytes.
func recognise(from Side, b []byte, leads bool) (row *Preamble, more bool) {
	for i := range preambles {
		if preambles[i].starts == nil || preambles[i].leads != leads {
			continue
		}
		switch preambles[i].starts(from, b) {
		case signYes:
			if !more { // a row before this one may still match
				return &preambles[i], false
			}
		case signNeedMore:
			more = true
		}
	}
	if !more && !leads && isText(b) {
		return &textRow, false
	}
	return nil, more
}

// looksLikeTLS reports whether bytes that were not believed to begin TLS may
// still be of it: the beginning may not be captured.
func looksLikeTLS(b []byte) bool {
	return len(b) >= 2 && (isRecordType(b[0]) && b[1] == 3 || b[0]&0x80 != 0)
}

// name names the current protocol, empty for nothing heard.
func (l *listener) name() string {
	switch {
	case l.row == nil:
		if l.ears[Opener].odd || l.ears[Accepter].odd || len(l.ears[Opener].buf)+len(l.ears[Accepter].buf) > 0 {
			return "other"
		}
		return ""
	case l.row == &textRow:
		if l.vote >= 0 && (l.sure || !l.broken) {
			return preambles[l.vote].Name
		}
		return "other"
	case l.row.Name == "http-connect":
		return l.http.name()
	case l.row.Name == "socks4" && l.socks.named:
		return "socks4a"
	}
	return l.row.Name
}

// before sums up what was heard. Where the beginning of a stream is missing, a
// few bytes that look like a protocol may be anything: only what both sides
// said, or a sure line, counts.
func (l *listener) before() Before {
	layers := l.layers
	name := l.name()
	if l.broken && (name == "other" || l.row != nil && l.row != &textRow && l.row.Name != "http-connect" &&
		(l.ears[Opener].taken == 0 || l.ears[Accepter].taken == 0)) {
		name = ""
	}
	if name != "" {
		layers = append(layers[:len(layers):len(layers)], name)
	}
	target := l.target
	if name == "http-connect" {
		target = l.http.target
	}
	return Before{Name: strings.Join(layers, "+"), Proxied: l.proxied, Target: target}
}

// Before tells what ran in front of TLS, as the fields of the same names in
// Handshake.
type Before struct {
	Name    string
	Proxied *Proxied
	Target  string
}
