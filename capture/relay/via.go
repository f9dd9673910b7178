package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"whoasked/parse"
)

// Proxy is an upstream proxy that connections go through.
type Proxy struct {
	SOCKS    bool   // version 5; else HTTP CONNECT
	At       string // HOST:PORT
	User     string // empty for none
	Password string
}

// proxyRefusal is an upstream proxy that does not connect.
type proxyRefusal struct {
	at    string
	reply parse.Reply
	said  string // the first line of its answer
}

func (p *proxyRefusal) Error() string {
	text := "the proxy " + p.at + " refused"
	if p.reply == parse.ReplyForeign {
		text = "what answers at " + p.at + " is no such proxy"
	}
	if p.said != "" {
		text += ": " + p.said
	}
	return text
}

// through connects to t by way of a proxy. The address of the upstream is the
// proxy's: what is behind it, the proxy only knows. What was said goes to the
// parser as what a capture behind the relay would show, but for the password.
func (d *Dial) through(ctx context.Context, g *guard, c *client, t Target) (upstream, error) {
	if err := g.checkProxied(t); err != nil {
		return upstream{}, err
	}
	at, err := parseTarget(d.Proxy.At)
	if err != nil {
		return upstream{}, err
	}
	at.Chosen = true
	up, err := d.direct(ctx, g, c, at)
	if err != nil {
		return upstream{}, fmt.Errorf("to the proxy: %w", err)
	}
	// A context that is done, by time or when the relay stops, ends a read.
	stop := context.AfterFunc(ctx, func() { _ = up.SetDeadline(time.Unix(1, 0)) })
	err = d.Proxy.ask(&up, t)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = up.Close()
		return upstream{}, err
	}
	return up, nil
}

// ask goes through the steps of the dialogue.
func (p *Proxy) ask(up *upstream, t Target) error {
	name := "http-connect"
	switch {
	case p.SOCKS && p.User != "":
		name = "socks5-password"
	case p.SOCKS:
		name = "socks5"
	}
	call := parse.Call{Target: t.String(), User: p.User, Password: p.Password}
	var came []byte
	for _, step := range stepsOf(name) {
		b := step.Send(call)
		if len(b) == 0 {
			return errors.New("the proxy cannot be asked for " + t.String())
		}
		if _, err := up.Write(b); err != nil {
			return fmt.Errorf("to the proxy: %w", err)
		}
		n, err := p.await(up, step, &came)
		if err != nil {
			return err
		}
		up.talk = append(up.talk, spoken{parse.Opener, step.Send(call.Public())}, spoken{parse.Accepter, came[:n:n]})
		came = came[n:]
	}
	up.unread = came
	return nil
}

// await reads until a reply is whole, and perhaps more, into came.
func (p *Proxy) await(up *upstream, step parse.Step, came *[]byte) (int, error) {
	var buf [1024]byte
	for {
		n, reply := step.Await(*came)
		switch reply {
		case parse.ReplyGo:
			return n, nil
		case parse.ReplyRefused, parse.ReplyForeign:
			said := ""
			if !p.SOCKS {
				said = firstLine(*came)
			}
			return 0, &proxyRefusal{p.At, reply, said}
		}
		n, err := up.TCPConn.Read(buf[:])
		*came = append(*came, buf[:n]...)
		if err != nil && n == 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("from the proxy: %w", err)
		}
	}
}

// firstLine is what of an answer may be shown: printable, and not much.
func firstLine(b []byte) string {
	line, _, _ := strings.Cut(string(b[:min(len(b), 80)]), "\r\n")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, line)
}

// checkProxied refuses a target that a proxy must not be asked for. A name is
// looked up by the proxy, so that only a rule with a name can allow it.
func (g *guard) checkProxied(t Target) error {
	switch {
	case t.Addr.IsValid():
		return g.check(t, t.Addr)
	case t.Chosen || len(g.rules) == 0:
		return nil
	}
	for _, r := range g.rules {
		if !r.Prefix.IsValid() && r.allows(t, netip.AddrPortFrom(netip.Addr{}, t.Port)) {
			return nil
		}
	}
	return &refusal{net.JoinHostPort(t.Host, fmt.Sprint(t.Port)) + " is not among the targets allowed by name, and its address is the proxy's to know"}
}

// spoken is what one side of an upstream connection said before the stream.
type spoken struct {
	from parse.Side
	data []byte
}
