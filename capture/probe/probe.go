// Package probe asks endpoints themselves: it connects to them as a TLS client,
// and hands every byte of both directions, with the keys, to the parser that
// reads captures. What the endpoint asked for is then read, not guessed.
package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"

	"whoasked/parse"
)

// Probe is one connection to make.
type Probe struct {
	Target Target
	// Addr is where to connect.
	Addr netip.AddrPort
	// Aside: the target's name does not lead there. Found: nobody named ServerName,
	// it was come upon.
	Aside, Found bool
	// ServerName is the SNI, empty for none.
	ServerName string
	// Version is the only TLS version offered, a value of crypto/tls.
	Version uint16
	// ALPN is what is offered: "h2" (with http/1.1 behind it), "http/1.1", or empty
	// for no extension.
	ALPN string
	// Resume asks for a second connection that resumes the session of a first.
	Resume bool
	// Begin is where that first connection goes, not valid for Addr: who resumes a
	// session begun elsewhere shares its keys, as a hop does that passes TLS through.
	Begin netip.AddrPort
	// Later offers post-handshake authentication (RFC 8446 §4.2.6), whatever the
	// Prober's hello, so that the server may ask after the HTTP request.
	Later bool
	// Attempt counts the connections made with otherwise equal values, from 1.
	Attempt int
}

// Stage is how far a connection came.
type Stage uint8

// Values of Stage, in order.
const (
	StageDial      Stage = iota // TCP, or the proxy on the way
	StagePreamble               // what comes before TLS
	StageHandshake              // TLS
	StageRequest                // the handshake is through
)

func (s Stage) String() string {
	return [...]string{"connect", "preamble", "handshake", "request"}[s]
}

// Attempt is what came of a Probe.
type Attempt struct {
	Probe
	Start time.Time
	// Handshake is what the parser found; nil if no connection was made.
	Handshake *parse.Handshake
	// Stage was reached, and ended with Err if that is not nil.
	Stage Stage
	Err   error
	// Negotiated is the protocol chosen by ALPN, empty for none.
	Negotiated string
	// Status of the HTTP response, 0 for none; AboutCertificate says that its text
	// speaks of a client certificate.
	Status           int
	AboutCertificate bool
	// Resumed: the session was.
	Resumed bool
}

// Prober makes connections. Its fields are set before the first; it may then be
// used by several goroutines.
type Prober struct {
	// As is whose ClientHello is sent; the zero value is that of crypto/tls.
	As Hello
	// Timeout bounds each of connecting, handshake and response.
	Timeout time.Duration
	// Certificate answers a request, nil for an empty Certificate message.
	Certificate *tls.Certificate
	// Dial connects; nil is a plain TCP connection. A proxy is put in here.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// Header is sent before anything else.
	Header Header
	// Request says that an HTTP request is sent where the target speaks HTTP.
	Request bool
	// Brief has connections end when the handshake is through: whether the server
	// goes on is not looked at.
	Brief bool
	// Sending is told the random of each ClientHello before that is sent; nil for
	// nobody.
	Sending func(random [32]byte)
}

const defaultTimeout = 10 * time.Second

func (p *Prober) timeout() time.Duration {
	if p.Timeout > 0 {
		return p.Timeout
	}
	return defaultTimeout
}

// Do makes the connection and tells what came of it. An error in the Attempt
// that is not the endpoint's is ctx's.
func (p *Prober) Do(ctx context.Context, pr Probe) *Attempt {
	if !pr.Resume {
		return p.connect(ctx, pr, nil)
	}
	// What resumption hides shows on a second connection; the first one has to be
	// let go on until the server has sent its tickets.
	sessions := tls.NewLRUClientSessionCache(1)
	begin := pr
	if pr.Begin.IsValid() {
		begin.Addr = pr.Begin
	}
	first := p.connect(ctx, begin, sessions)
	if first.Err != nil {
		return first
	}
	return p.connect(ctx, pr, sessions)
}

func (p *Prober) connect(ctx context.Context, pr Probe, sessions tls.ClientSessionCache) *Attempt {
	a := &Attempt{Probe: pr, Start: time.Now()}
	conn, err := p.dial(ctx, pr.Addr)
	if err != nil {
		a.Err = err
		return a
	}
	t := newTap(conn, pr.Addr, a.Start)
	t.sending = p.Sending
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p.talk(a, t, sessions)
	switch {
	case ctx.Err() != nil:
		a.Err = ctx.Err()
	case t.looped():
		a.Err = errLoop // whatever the library made of it
	}
	a.Handshake = t.finish()
	return a
}

func (p *Prober) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout())
	defer cancel()
	if p.Dial != nil {
		return p.Dial(ctx, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr.String())
}

// talk goes through the stages on a connection and closes it.
func (p *Prober) talk(a *Attempt, t *tap, sessions tls.ClientSessionCache) {
	defer t.Close()
	defer func() {
		// The libraries that imitate others are less tried than crypto/tls: what a
		// server sends must not end the program.
		if r := recover(); r != nil {
			a.Err = fmt.Errorf("the TLS client failed: %v", r)
		}
	}()
	a.Stage = StagePreamble
	t.SetDeadline(time.Now().Add(p.timeout()))
	if h := p.Header.append(nil, t.flow.Addrs[0], t.flow.Addrs[1]); len(h) > 0 {
		if _, a.Err = t.Write(h); a.Err != nil {
			return
		}
	}
	if a.Err = speak(t, &a.Target); a.Err != nil {
		return
	}
	a.Stage = StageHandshake
	t.SetDeadline(time.Now().Add(p.timeout()))
	carried := t.carried(&a.Target)
	c, err := p.client(carried, t, &a.Probe, sessions)
	if err != nil {
		a.Err = err
		return
	}
	if a.Err = c.Handshake(); a.Err != nil {
		return
	}
	bare(carried)
	a.Stage = StageRequest
	a.Negotiated, a.Resumed = c.negotiated(), c.resumed()
	t.SetDeadline(time.Now().Add(p.timeout()))
	switch {
	case p.Request && a.Target.HTTP():
		a.Err = a.request(c)
	case !p.Brief:
		a.Err = p.listen(c, t)
	}
	c.Close() // with an alert, so that the end is no riddle
}

// listen waits for what a server says of its own accord: in TLS 1.3 whether it
// takes the client's answer shows only after the handshake is through for the
// client.
func (p *Prober) listen(c client, t *tap) error {
	const patience = time.Second
	t.SetReadDeadline(time.Now().Add(min(patience, p.timeout())))
	_, err := c.Read(make([]byte, 1))
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return nil // silence is consent
	}
	return err
}
