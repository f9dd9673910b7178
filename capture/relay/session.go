package relay

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"whoasked/parse"
)

// session is one relayed connection: two TCP connections and a pump for each
// direction.
type session struct {
	r      *Relay
	flow   parse.Flow
	number int             // Chunk.Conn
	conns  [2]*net.TCPConn // by Side: the client's and the upstream's
	head   [2][]byte       // of each stream, read before it was forwarded

	pending [2]pending     // guarded by the tap's lock
	settled [2]atomic.Bool // by Side: the rest it sends is of no interest
	moved   atomic.Int64
	whole   atomic.Bool // whole records are told
	headers atomic.Bool // no more: record headers will do
	keyed   atomic.Bool // so are the secrets that open them

	seen   int64 // of moved, by the sweeper
	seenAt time.Time
	lasts  bool // the sweeper has seen it before

	mu      sync.Mutex
	broken  [2]error // by Side: why writing to it failed, so that it has reset
	half    bool     // one direction has been closed
	cause   parse.End
	causeBy parse.Side
	gone    error // by which an end turned out not to be there any more
}

// newSession begins to tell about a connection to the upstream reached.
func newSession(r *Relay, c *client, up upstream, via string) *session {
	s := &session{r: r, conns: [2]*net.TCPConn{c.TCPConn, up.TCPConn}, head: [2][]byte{append(c.head, c.unread...), up.unread}}
	s.flow = parse.Flow{Via: via, Addrs: [2]netip.AddrPort{c.addr, up.addr}}
	s.seenAt = time.Now()
	r.tap.open(s)
	if len(c.header) > 0 {
		r.tap.said(s, parse.Opener, c.header)
	}
	for _, t := range up.talk {
		r.tap.said(s, t.from, t.data)
	}
	r.counts.relayed.Add(1)
	return s
}

// run forwards until both directions are closed or the connection is broken.
func (s *session) run() {
	if !s.r.add(s) {
		s.abort(parse.CaptureEnd)
	}
	var other sync.WaitGroup
	other.Go(func() { s.forward(parse.Accepter) })
	s.forward(parse.Opener)
	other.Wait()
	s.r.remove(s)
	s.finish()
}

// forward carries one direction to its end.
func (s *session) forward(from parse.Side) {
	err := s.pump(from)
	var w *writeError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		s.closed(from)
	case errors.As(err, &w):
		// Who reset the connection may have sent something before. The other
		// pump brings it and then ends.
		s.setBroken(from.Other(), w.err)
	default:
		s.reset(from, err)
	}
}

// closed passes on that a side has closed its direction (half-close).
func (s *session) closed(from parse.Side) {
	broken, last := s.halfClosed(from)
	// The kernel tells of a reset once, and the other pump's write may just have
	// been told: what reads then finds an end that looks orderly.
	if broken != nil {
		s.reset(from, broken)
		return
	}
	if !last && wasReset(s.conns[from]) {
		s.reset(from, syscall.ECONNRESET)
		return
	}
	s.r.tap.fin(s, from)
	if !last { // else finish closes it altogether
		_ = s.conns[from.Other()].CloseWrite() // fails if that end has gone; then its own direction tells
	}
}

// halfClosed takes note of the end of a direction, and returns why the connection
// is broken where that came to light before, and whether the other one has ended.
func (s *session) halfClosed(from parse.Side) (broken error, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	broken, last = s.broken[from], s.half
	s.half = true
	return broken, last
}

func (s *session) setBroken(side parse.Side, err error) {
	s.mu.Lock()
	s.broken[side] = err
	s.vanished(err)
	s.mu.Unlock()
}

// reset passes a reset by one side on, behind what it sent before.
func (s *session) reset(by parse.Side, err error) {
	if !s.because(parse.RST, by) {
		return // torn down already
	}
	s.noteVanished(err)
	awaitSent(s.conns[by.Other()], drainBeforeReset)
	s.teardown()
}

func (s *session) noteVanished(err error) {
	s.mu.Lock()
	s.vanished(err)
	s.mu.Unlock()
}

// vanished takes note of an end that is not there any more, for finish to tell:
// the kernel says so to one direction alone, and the other one, which takes it for
// a reset, may be through before. s.mu is held.
func (s *session) vanished(err error) {
	if ours := s.cause != parse.Open && s.cause != parse.RST; !ours && s.gone == nil && isVanished(err) {
		s.gone = err
	}
}

// drainBeforeReset bounds the wait for a receiver to take what was sent to it
// before the reset: closing with a reset throws the rest away.
const drainBeforeReset = 2 * time.Second

// abort ends the connection for a reason of ours.
func (s *session) abort(end parse.End) {
	if s.because(end, parse.Opener) {
		s.teardown()
	}
}

// because notes why the connection ends; only the first reason counts.
func (s *session) because(end parse.End, by parse.Side) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != parse.Open {
		return false
	}
	s.cause, s.causeBy = end, by
	return true
}

// teardown resets both connections, which ends both pumps.
func (s *session) teardown() {
	for _, c := range s.conns {
		refuse(c)
	}
}

// finish tells the end once both pumps are done.
func (s *session) finish() {
	end, by := s.outcome()
	if end == parse.RST {
		s.teardown()
	}
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.r.tap.end(s, by, end)
}

// outcome is how the connection has ended. It tells if an end has vanished.
func (s *session) outcome() (end parse.End, by parse.Side) {
	s.mu.Lock()
	end, by, gone := s.cause, s.causeBy, s.gone
	if end == parse.Open {
		end = parse.FIN
		for side := range s.broken {
			if s.broken[side] != nil { // found out behind the other direction's end
				end, by = parse.RST, parse.Side(side)
			}
		}
	}
	s.mu.Unlock()
	if gone != nil {
		s.r.trouble(&Trouble{Kind: KindVanished, Client: s.flow.Addrs[0], Target: s.flow.Addrs[1].String(), Err: gone})
	}
	return end, by
}

// silent reports whether nothing has moved for a time. Only the sweeper calls
// it.
func (s *session) silent(now time.Time, limit time.Duration) bool {
	first, silent := s.stands(now, limit)
	if first {
		_ = withSocket(s.conns[parse.Accepter], keepAlive)
	}
	return silent
}

// stands is what the sweeper asks: whether it does so for the first time, as most
// connections end before and need no keep-alives to the server, and whether nothing
// has moved for a time.
func (s *session) stands(now time.Time, limit time.Duration) (first, silent bool) {
	first, s.lasts = !s.lasts, true
	if moved := s.moved.Load(); moved != s.seen {
		s.seen, s.seenAt = moved, now
		return first, false
	}
	return first, now.Sub(s.seenAt) >= limit
}

// pass taps bytes that one side sent, unless they are of no interest.
func (s *session) pass(from parse.Side, b []byte) {
	if !s.settled[from].Load() {
		s.r.tap.data(s, from, b)
	}
	s.carried(from, len(b))
}

// carried counts bytes that one side sent.
func (s *session) carried(from parse.Side, n int) {
	s.moved.Add(int64(n))
	s.r.counts.bytes[from].Add(int64(n))
}

// writeError is trouble with the receiving end of a direction.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// isVanished tells an end that is not there any more from one that reset.
func isVanished(err error) bool {
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}
