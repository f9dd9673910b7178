// Package relay is a source whose connections pass through this program: it
// accepts them, finds out where they want to go, connects there, forwards every
// byte of both directions unchanged and hands copies to the parser.
//
// Forwarding never waits for parsing. The copies go through a bounded queue
// (tap); what finds it full is not observed, and told as lost. Once the consumer
// says that the rest of a connection is of no interest (Settle), its bytes stay
// in the kernel.
//
// A relayed connection is two TCP connections that carry the same bytes. It is
// told as one, between the client's address and the upstream address that was
// reached; Flow.Via names the way in.
package relay

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"whoasked/parse"
)

// Entry is a socket that clients connect to and what becomes of them.
type Entry struct {
	Listener *net.TCPListener
	Way      Way
	// Passed says that other processes may have the socket, too. Whether accepting
	// from it waits is then theirs to change, and no loop can risk to.
	Passed bool
}

// Options says what a Relay does. Zero values stand for the defaults.
type Options struct {
	Entries []Entry
	Dial    Dial
	Limits  Limits
	// Clients says who may connect; nil for everybody who can.
	Clients func(netip.Addr) bool
	// Proxies says which clients are proxies that begin with a PROXY header; nil
	// for none.
	Proxies func(netip.Addr) bool
	// WholeRecords hands the bodies of application data records to the parser
	// too, which a parser with keys needs.
	WholeRecords bool
	// Inspect ends TLS for some servers; nil for none.
	Inspect *Inspect

	// goroutines carry connections, as where there is no epoll.
	goroutines bool
}

// Relay is a capture.Source. It is used once.
type Relay struct {
	entries []Entry
	opts    Options
	access  atomic.Pointer[access]
	gate    gate
	tap     tap
	counts  counts
	buffers buffers
	pipes   pipes
	loops   []*loop // none where goroutines carry connections
	turns   atomic.Uint32

	mu       sync.Mutex
	sessions map[*session]struct{} // those that forward
	stopped  bool                  // no more sessions
	running  sync.WaitGroup        // accept loops and connections
}

// New returns a Relay for entries whose sockets are listening.
func New(o Options) *Relay {
	o.Limits = o.Limits.orDefault()
	o.Dial = o.Dial.orDefault()
	r := &Relay{entries: o.Entries, opts: o, sessions: make(map[*session]struct{})}
	r.Allow(o.Clients, o.Dial.Targets)
	r.gate = newGate(o.Limits)
	r.tap.init(o.Limits.Tap)
	return r
}

// gather is how long what was tapped gathers on a busy relay: waking the consumer
// for each chunk costs more than parsing it.
const gather = 5 * time.Millisecond

// Chunks accepts and forwards until ctx is done, then accepts no more and goes
// on until the connections have ended, at most Limits.Drain. Its errors are
// [*Trouble].
func (r *Relay) Chunks(ctx context.Context) iter.Seq2[*parse.Chunk, error] {
	return func(yield func(*parse.Chunk, error) bool) {
		work, abort := context.WithCancel(context.WithoutCancel(ctx))
		defer abort()
		gone := r.start(ctx, work, abort)
		var latest time.Time
		for {
			if early := gather - time.Since(latest); early > 0 {
				r.tap.gather(early)
			}
			b := r.tap.take()
			latest = time.Now()
			if b == nil {
				select {
				case <-r.tap.wake:
					latest = time.Time{} // it was quiet: the first answer need not wait
					continue
				case <-gone:
				}
				if b = r.tap.take(); b == nil {
					return
				}
			}
			if !r.hand(b, yield) {
				abort()
				r.stop()
				<-gone
				return
			}
		}
	}
}

// hand yields what a batch holds.
func (r *Relay) hand(b *batch, yield func(*parse.Chunk, error) bool) bool {
	var ch parse.Chunk
	for i := range b.items {
		it := &b.items[i]
		if it.trouble != nil {
			if !yield(nil, it.trouble) {
				return false
			}
			continue
		}
		if it.keys {
			r.opts.Inspect.Keys(b.data[it.off : it.off+it.n])
			continue
		}
		ch = parse.Chunk{
			Conn: it.s.number, Flow: it.s.flow, From: it.from, Time: it.at,
			Lost: it.lost, Skipped: it.skipped, Data: b.data[it.off : it.off+it.n], Fin: it.fin, End: it.end,
		}
		ok := yield(&ch, nil)
		if it.end != parse.Open {
			r.tap.release(it.s)
		}
		if !ok {
			return false
		}
	}
	r.tap.recycle(b)
	return true
}

// Settle says that no more needs to be told of a connection but its end. It is
// called by the consumer while it has a chunk of that connection.
func (r *Relay) Settle(conn int) {
	r.Skip(conn, parse.Opener)
	r.Skip(conn, parse.Accepter)
}

// Skip is Settle for what one side sends.
func (r *Relay) Skip(conn int, from parse.Side) {
	// Secrets of a connection that is inspected come with it, and in time.
	if s := r.tap.session(conn); s != nil && (!s.whole.Load() || s.keyed.Load()) {
		s.settled[from].Store(true)
	}
}

// Headers says that of a connection, though it is not settled, the bodies of
// application data records are not looked at any more.
func (r *Relay) Headers(conn int) {
	if s := r.tap.session(conn); s != nil {
		s.headers.Store(true)
	}
}

// start sets the accept loops going. The channel it returns is closed when all
// has come to its end.
func (r *Relay) start(ctx, work context.Context, abort func()) <-chan struct{} {
	if !r.opts.goroutines {
		r.openLoops()
	}
	for i := range r.entries {
		e := &r.entries[i]
		if r.opens(e) {
			continue
		}
		r.running.Go(func() { r.accept(work, e) })
	}
	gone := make(chan struct{})
	ended := make(chan struct{})
	go func() { // what ctx asks for
		select {
		case <-ctx.Done():
		case <-ended:
			return
		}
		r.stop()
		select {
		case <-time.After(r.opts.Limits.Drain):
			abort()
		case <-ended:
		}
	}()
	go func() { // what abort asks for
		tick := time.NewTicker(r.opts.Limits.sweep())
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case now := <-tick.C:
				r.sweep(now)
			case <-work.Done():
				r.stop()
				r.abortAll()
				return
			}
		}
	}()
	go func() {
		r.running.Wait()
		for _, l := range r.loops {
			l.stop()
		}
		r.pipes.close()
		close(ended)
		close(gone)
	}()
	return gone
}

// stop ends accepting.
func (r *Relay) stop() {
	for i := range r.entries {
		_ = r.entries[i].Listener.Close()
	}
	for _, l := range r.loops {
		l.post(l.shutDoors)
	}
}

// add enters a session that is about to forward; false if it must not.
func (r *Relay) add(s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return false
	}
	r.sessions[s] = struct{}{}
	return true
}

func (r *Relay) remove(s *session) {
	r.mu.Lock()
	delete(r.sessions, s)
	r.mu.Unlock()
}

// abortAll tears down what is left when the time to drain is over.
func (r *Relay) abortAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	for s := range r.sessions {
		s.abort(parse.CaptureEnd)
		r.counts.aborted.Add(1)
	}
	for _, l := range r.loops {
		l.post(l.abortAll)
	}
}

// sweep ends the connections that have been silent for too long.
func (r *Relay) sweep(now time.Time) {
	r.gate.sweep(now)
	for _, l := range r.loops {
		l.post(func() { l.sweep(now) })
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.sessions {
		if s.silent(now, r.opts.Limits.Idle) {
			s.abort(parse.Idle)
			r.counts.idle.Add(1)
		}
	}
}

// trouble counts what went wrong and, unless there is too much of it, tells it.
func (r *Relay) trouble(t *Trouble) {
	t.Time = time.Now()
	r.counts.trouble[t.Kind].Add(1)
	if r.counts.pace[t.Kind].allow(t.Time) {
		r.tap.trouble(t)
	}
}

// addrPort is an address without the mapping of IPv4 into IPv6.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// refuse resets a connection: what a client would see from a port that nobody
// listens at, though later.
func refuse(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// counts is what a Relay counts.
type counts struct {
	relayed atomic.Int64
	idle    atomic.Int64

	// Of the connections that Inspect is about: those whose TLS was ended, and
	// those that were left alone after all.
	inspected, passed atomic.Int64

	aborted atomic.Int64
	bytes   [2]atomic.Int64 // by the side that sent them
	trouble [numKinds]atomic.Int64
	pace    [numKinds]pace
}
