package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"whoasked/capture/relay/inspect"
	"whoasked/parse"
)

// Inspect says how TLS is ended at the relay, on purpose.
type Inspect struct {
	*inspect.Inspector
	// Fail ends connections that cannot be inspected, instead of passing them
	// through.
	Fail bool
	// Keys is given the secrets of the connections to servers, as lines of a key
	// log, by the consumer of Chunks and before the bytes that follow them. It
	// must not keep them.
	Keys func(line []byte)
}

const (
	// firstByte is how long a client may take to begin. One that waits for its
	// server to speak does not begin with TLS and is passed through.
	firstByte = 2 * time.Second
	// passFor is how long a place is left alone that could not be inspected.
	passFor = 10 * time.Minute
)

// inspect takes a connection through with TLS ended here, if it is one to
// inspect. Else, and where that fails before the client was told anything, it
// returns the connection to pass it through by, and true.
func (r *Relay) inspect(ctx context.Context, e *Entry, c *client, t Target, up upstream) (upstream, bool) {
	in := r.opts.Inspect
	hello := c.firstHello(r.opts.Limits.Handshake)
	if hello == nil || !in.Takes(hello) {
		return up, true
	}
	i := &inspected{r: r, c: c, t: t, hello: hello, place: hello.ServerName + " at " + t.String()}
	if now := time.Now(); in.Passes(i.place, now) || in.Passes(i.clientPlace(), now) {
		r.counts.passed.Add(1)
		return up, true
	}
	i.s = newSession(r, c, up, e.Way.Name+" inspected")
	i.s.whole.Store(true)
	if !r.add(i.s) {
		i.s.abort(parse.CaptureEnd)
	}
	i.leg = &leg{TCPConn: up.TCPConn, s: i.s, unread: up.unread}
	err := i.run()
	r.remove(i.s)
	if err == nil {
		i.s.finish()
		return upstream{}, false
	}
	if i.s.over() { // ended for a reason of ours
		i.s.finish()
		return upstream{}, false
	}
	_ = up.Close()
	i.s.left(err)
	if !i.passes(err) {
		c.leave()
		return upstream{}, false
	}
	r.counts.passed.Add(1)
	again, err := r.opts.Dial.connect(ctx, &r.access.Load().guard, c, t)
	if err != nil {
		r.fail(dialKind(err), c, t, err)
		c.leave()
		return upstream{}, false
	}
	return again, true
}

// firstHello reads the ClientHello that a connection begins with into c.head; nil
// if it does not begin so.
func (c *client) firstHello(patience time.Duration) *parse.ClientHello {
	defer c.SetReadDeadline(time.Time{})
	if len(c.head) == 0 {
		_ = c.SetReadDeadline(time.Now().Add(min(firstByte, patience)))
		b := make([]byte, 1)
		n, err := c.Read(b)
		c.head = append(c.head, b[:n]...)
		if err != nil {
			return nil
		}
	}
	const handshakeRecord = 22
	if c.head[0] != handshakeRecord {
		return nil
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	hello, err := c.peekHello()
	if err != nil {
		return nil // let the server tell the client what is wrong with it
	}
	return hello
}

// inspected is a connection whose TLS is ended here.
type inspected struct {
	r     *Relay
	s     *session
	c     *client
	t     Target
	hello *parse.ClientHello
	place string // to remember
	leg   *leg
}

// clientPlace is place for this client alone.
func (i *inspected) clientPlace() string { return i.place + " for " + i.c.addr.Addr().String() }

// run speaks TLS to both ends and copies. An error means that the client was
// told nothing yet.
func (i *inspected) run() error {
	in := i.r.opts.Inspect
	limit := i.r.opts.Limits.Handshake
	_ = i.leg.SetDeadline(time.Now().Add(limit))
	server, err := in.Connect(i.leg, i.hello, i.place, keyWriter{i.s})
	if err != nil && !in.Mirrors(server, err) {
		return err
	}
	_ = i.leg.SetDeadline(time.Now().Add(2 * limit)) // crypto/tls may answer alerts meanwhile
	_ = i.c.SetDeadline(time.Now().Add(limit))
	raw := &rewound{TCPConn: i.c.TCPConn, head: i.c.head}
	client, clientErr := in.Accept(raw, i.hello, server)
	i.c.head = nil
	if clientErr != nil {
		i.clientFailed(clientErr, raw.alert)
		_ = server.Close()
		return nil
	}
	if client.Offered != "" {
		i.tell(KindOffered, errors.New("it has "+client.Offered))
	}
	if err != nil {
		i.tell(KindServerTLS, err)
		_ = client.Close()
		return nil
	}
	_ = i.leg.SetDeadline(time.Time{})
	_ = i.c.SetDeadline(time.Time{})
	i.r.counts.inspected.Add(1)
	var other sync.WaitGroup
	other.Go(func() {
		// With TLS 1.3 a server refuses what it was answered only now.
		if err := i.carry(parse.Accepter, server.Conn, client.Conn); inspect.RemoteAlert(err) != 0 && server.Asked() {
			i.passes(err)
		}
	})
	_ = i.carry(parse.Opener, client.Conn, server.Conn)
	other.Wait()
	return nil
}

// passes tells why TLS to the server failed, and reports whether the connection
// is to be passed through.
func (i *inspected) passes(err error) bool {
	in := i.r.opts.Inspect
	switch {
	case errors.Is(err, inspect.ErrAsked):
		i.tell(KindPassed, nil)
		return true
	case in.Fail:
		i.tell(KindServerTLS, err)
		return false
	}
	in.PassOn(i.place, time.Now().Add(passFor))
	i.tell(KindServerTLS, fmt.Errorf("%w; it is passed through for %s", err, passFor))
	return true
}

// clientFailed tells why TLS to the client failed; clear is the alert it sent
// unsealed, 0 for none.
func (i *inspected) clientFailed(err error, clear uint8) {
	in := i.r.opts.Inspect
	if clear != 0 {
		err = errors.New("it sent the alert " + parse.AlertName(clear))
	}
	switch {
	case !inspect.Distrusts(err, clear):
		i.tell(KindClientTLS, err)
	case in.Fail:
		i.tell(KindPinned, err)
	default:
		in.PassOn(i.clientPlace(), time.Now().Add(passFor))
		i.tell(KindPinned, fmt.Errorf("%w; for this client it is passed through for %s", err, passFor))
	}
}

func (i *inspected) tell(kind Kind, err error) {
	i.r.trouble(&Trouble{Kind: kind, Client: i.c.addr, Target: i.place, Err: err})
}

// carry copies one direction to its end, and returns what ended it but for the
// end of the stream.
func (i *inspected) carry(from parse.Side, src, dst *tls.Conn) error {
	buf := i.r.buffers.get()
	defer i.r.buffers.put(buf)
	for {
		n, err := src.Read(*buf)
		if n > 0 {
			if _, err := dst.Write((*buf)[:n]); err != nil {
				i.s.setBroken(from.Other(), err) // the other direction tells
				return err
			}
		}
		switch {
		case err == nil:
			continue
		case err == io.EOF:
			_ = dst.CloseWrite()
			i.s.closed(from)
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF): // no close_notify came, and none is sent
			i.s.closed(from)
		case inspect.RemoteAlert(err) != 0:
			i.s.alerted(from)
		default:
			i.s.reset(from, err)
		}
		return err
	}
}

// alerted ends a connection whose one end has said by an alert that it is over.
func (s *session) alerted(by parse.Side) {
	if !s.because(parse.FIN, by) {
		return
	}
	s.r.tap.fin(s, by)
	for _, c := range s.conns {
		_ = c.Close()
	}
}

// left tells the end of a connection to a server whose handshake failed.
func (s *session) left(err error) {
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		s.r.tap.end(s, parse.Accepter, parse.RST)
		return
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), inspect.RemoteAlert(err) != 0:
		s.r.tap.fin(s, parse.Accepter)
	}
	s.r.tap.end(s, parse.Opener, parse.FIN)
}

// over reports whether there is a reason already why the connection ends.
func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause != parse.Open
}

// leg is the connection to a server, tapped.
type leg struct {
	*net.TCPConn
	s      *session
	unread []byte // came with the answer of a proxy
}

func (l *leg) Read(b []byte) (n int, err error) {
	if len(l.unread) > 0 {
		n = copy(b, l.unread)
		l.unread = l.unread[n:]
	} else {
		n, err = l.TCPConn.Read(b)
	}
	if n > 0 {
		l.tap(parse.Accepter, b[:n])
	}
	return n, err
}

// Write taps first: what answers it must not be seen before it.
func (l *leg) Write(b []byte) (int, error) {
	l.tap(parse.Opener, b)
	return l.TCPConn.Write(b)
}

func (l *leg) tap(from parse.Side, b []byte) {
	if !l.s.settled[from].Load() {
		l.s.r.tap.data(l.s, from, b)
	}
	l.s.carried(from, len(b))
}

// keyWriter hands secrets of a connection to the consumer.
type keyWriter struct{ s *session }

func (w keyWriter) Write(line []byte) (int, error) {
	w.s.r.tap.keys(w.s, line)
	for _, last := range []string{"CLIENT_RANDOM ", "SERVER_TRAFFIC_SECRET_0 "} { // of TLS 1.2 and 1.3
		if bytes.HasPrefix(line, []byte(last)) {
			w.s.keyed.Store(true)
		}
	}
	return len(line), nil
}

// rewound is a connection of which the first bytes are read again.
type rewound struct {
	*net.TCPConn
	head  []byte
	alert uint8 // read in the clear, 0 for none
}

func (r *rewound) Read(b []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(b, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	n, err := r.TCPConn.Read(b)
	if a := inspect.ClearAlert(b[:n]); a != 0 {
		r.alert = a
	}
	return n, err
}
