package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"whoasked/parse"
)

// tap is a connection that lets the parser see what passes. The client that
// runs over it writes its secrets to keys.
type tap struct {
	net.Conn
	mu         sync.Mutex
	keys       *parse.KeyLog
	conn       *parse.Conn
	flow       parse.Flow
	ended      bool
	handshakes int
	// sending is Prober.Sending until it was called.
	sending func([32]byte)
}

// newTap taps a connection to addr, which may lead through a proxy.
func newTap(c net.Conn, addr netip.AddrPort, start time.Time) *tap {
	keys := parse.NewKeys()
	keys.Growing = true
	t := &tap{
		Conn: c,
		keys: keys.Log(),
		conn: parse.NewParser(parse.Options{Fingerprints: true, Keys: keys}).NewConn(),
		flow: parse.Flow{Addrs: [2]netip.AddrPort{addrPort(c.LocalAddr()), addr}},
	}
	t.feed(parse.Chunk{From: parse.Opener, Time: start})
	return t
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

func (t *tap) feed(ch parse.Chunk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	ch.Flow = t.flow
	if ch.Time.IsZero() {
		ch.Time = time.Now()
	}
	t.ended = ch.End != parse.Open
	t.conn.Feed(ch)
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n > 0 {
		t.feed(parse.Chunk{From: parse.Accepter, Data: b[:n]})
	}
	switch {
	case errors.Is(err, io.EOF):
		t.feed(parse.Chunk{From: parse.Accepter, Fin: true})
	case errors.Is(err, syscall.ECONNRESET):
		t.feed(parse.Chunk{From: parse.Accepter, End: parse.RST})
	}
	return n, err
}

func (t *tap) Write(b []byte) (int, error) {
	// Before it is sent: what answers it must not be seen first.
	t.feed(parse.Chunk{From: parse.Opener, Data: b})
	if t.sending != nil {
		t.announce()
	}
	return t.Conn.Write(b)
}

// announce tells of the ClientHello once it is written.
func (t *tap) announce() {
	t.mu.Lock()
	hello := t.conn.Handshake().ClientHello
	t.mu.Unlock()
	if hello != nil {
		t.sending(hello.Random)
		t.sending = nil
	}
}

// maxHandshakes is how many handshakes one connection goes through: the first and
// those that renegotiate it.
const maxHandshakes = 5

var errLoop = fmt.Errorf("the server renegotiates again and again: given up after %d times", maxHandshakes-1)

// keyLog is where the client writes its secrets, once for each handshake up to TLS
// 1.2 that resumes nothing. Beyond maxHandshakes it fails, and the handshake with
// it: this is where both libraries can be stopped alike.
func (t *tap) keyLog() io.Writer { return keyWriter{t} }

type keyWriter struct{ t *tap }

func (w keyWriter) Write(line []byte) (int, error) {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	if bytes.HasPrefix(line, []byte("CLIENT_RANDOM ")) {
		if w.t.handshakes++; w.t.handshakes > maxHandshakes {
			return 0, errLoop
		}
	}
	return w.t.keys.Write(line)
}

// looped reports whether that happened.
func (t *tap) looped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.handshakes > maxHandshakes
}

// finish ends the connection for the parser and returns what it found.
func (t *tap) finish() *parse.Handshake {
	t.feed(parse.Chunk{From: parse.Opener, Fin: true, End: parse.FIN})
	return t.conn.Handshake()
}
