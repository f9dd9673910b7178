package parse

import (
	"bytes"
	"math"
	"strconv"
)

// httpTalk is what requests and responses say (RFC 9112); a proxy may refuse a
// CONNECT and hear another on the same connection.
type httpTalk struct {
	requests, answers int
	method            string // of the last request: CONNECT, HEAD or empty
	target            string // of the last CONNECT
	upgraded          bool
}

func (t *httpTalk) name() string {
	switch {
	case t.upgraded:
		return "http-upgrade"
	case t.method == "CONNECT":
		return "http-connect"
	}
	return "http"
}

// httpHead is how far one side is in its message.
type httpHead struct {
	state   httpState
	status  int // of a response
	length  int // Content-Length
	chunked bool
	body    int // bytes of the body, or chunk, that follow
}

type httpState uint8

const (
	httpStart  httpState = iota // the first line of a message
	httpFields                  // header fields
	httpBody                    // body bytes follow
	httpChunk                   // a chunk's size
	httpTail                    // the trailer section
)

// lines reports whether what comes next is a line.
func (h *httpHead) lines() bool { return h.state != httpBody }

var httpMethods = []string{"CONNECT ", "GET ", "POST ", "HEAD ", "OPTIONS ", "PUT ", "DELETE ", "PATCH ", "TRACE "}

func startsHTTP(from Side, b []byte) sign {
	if from == Accepter {
		return startsWith(b, "HTTP/1.")
	}
	return startsWith(b, httpMethods...)
}

func cutHTTP(l *listener, from Side, b []byte) int {
	if h := &l.ears[from].inHTTP; !h.lines() {
		return h.body
	}
	return bytes.IndexByte(b, '\n') + 1
}

func takeHTTP(l *listener, from Side, b []byte) turn {
	h := &l.ears[from].inHTTP
	line := bytes.TrimRight(b, "\r\n")
	switch h.state {
	case httpStart:
		if len(line) == 0 {
			return turnStay // tolerated in front of a message (RFC 9112 §2.2)
		}
		*h = httpHead{state: httpFields, length: -1}
		if !h.start(l, from, line) {
			return turnDeaf
		}
	case httpFields:
		if len(line) == 0 {
			return h.end(l, from)
		}
		h.field(line)
	case httpBody:
		h.state = httpStart
		if h.chunked {
			h.state = httpChunk
		}
	case httpChunk:
		return h.chunk(line)
	case httpTail:
		if len(line) == 0 {
			h.state = httpStart
		}
	}
	return turnStay
}

// start reads a request line or a status line (RFC 9112 §3, §4).
func (h *httpHead) start(l *listener, from Side, line []byte) bool {
	if from == Accepter {
		word := secondWord(line)
		if !hasPrefixFold(line, "HTTP/") || len(word) < 3 {
			return false
		}
		status, err := strconv.Atoi(string(word[:3]))
		h.status = status
		return err == nil
	}
	method, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || !bytes.Contains(rest, []byte(" HTTP/1.")) {
		return false
	}
	t := &l.http
	t.requests++
	t.method, t.target = "", ""
	switch string(method) {
	case "CONNECT":
		target, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
		t.method, t.target = "CONNECT", string(target)
	case "HEAD":
		t.method = "HEAD"
	}
	return true
}

// field reads what tells where the message ends (RFC 9112 §6).
func (h *httpHead) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		if n, err := strconv.ParseUint(string(value), 10, 64); err == nil {
			h.length = int(min(n, math.MaxInt32)) // far beyond where hunting ends
		}
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.chunked = len(value) >= 7 && bytes.EqualFold(value[len(value)-7:], []byte("chunked"))
	}
}

// end is told of the empty line behind the header section.
func (h *httpHead) end(l *listener, from Side) turn {
	t := &l.http
	h.state = httpStart
	if from == Opener {
		if t.method == "CONNECT" {
			return turnDue // a client may not wait for the answer
		}
		h.follow(0)
		return turnStay
	}
	if h.status == 101 { // Switching Protocols: to TLS (RFC 2817 §3.3) or any other
		t.upgraded = true
		return turnOver
	}
	if h.status < 200 {
		return turnStay
	}
	t.answers++
	last := t.answers >= t.requests
	switch {
	case last && t.method == "CONNECT" && h.status < 300:
		l.target = t.target
		return turnOver
	case last && t.method == "HEAD" || h.status == 204 || h.status == 304:
		return turnStay
	}
	h.follow(-1)
	if h.state == httpBody && h.body < 0 {
		return turnDeaf // up to the end of the connection
	}
	return turnStay
}

// follow prepares for the body; without a length it has n bytes.
func (h *httpHead) follow(n int) {
	if h.length >= 0 {
		n = h.length
	}
	switch {
	case h.chunked:
		h.state = httpChunk
	case n != 0:
		h.state, h.body = httpBody, n
	}
}

// chunk reads a chunk's size (RFC 9112 §7.1).
func (h *httpHead) chunk(line []byte) turn {
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
	switch {
	case err != nil:
		return turnDeaf
	case n == 0:
		h.state = httpTail
	default:
		h.state, h.body = httpBody, int(n)+2 // and CRLF
	}
	return turnStay
}
