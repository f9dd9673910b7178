package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// accept takes clients in until the listener is closed.
func (r *Relay) accept(ctx context.Context, e *Entry) {
	reserve := newReserve()
	defer reserve.close()
	for {
		conn, err := e.Listener.AcceptTCP()
		switch {
		case err == nil:
			client := addrPort(conn.RemoteAddr())
			if !r.admit(client) {
				refuse(conn)
				continue
			}
			r.running.Add(1)
			go func() {
				if !r.serve(ctx, e, conn, client) {
					r.left(client.Addr())
				}
			}()
		case errors.Is(err, net.ErrClosed):
			return
		default:
			r.trouble(&Trouble{Kind: KindAccept, Err: err})
			reserve.shed(e.Listener, err)
		}
	}
}

// admit lets a client in, or tells why it does not.
func (r *Relay) admit(client netip.AddrPort) bool {
	var why *Trouble
	if clients := r.access.Load().clients; clients != nil && !clients(client.Addr()) {
		why = &Trouble{Kind: KindClient}
	} else if why = r.gate.enter(client.Addr()); why == nil {
		return true
	}
	why.Client = client
	r.trouble(why)
	return false
}

// left lets in another client for one that has left.
func (r *Relay) left(client netip.Addr) {
	r.gate.leave(client)
	r.running.Done()
}

// serve takes one client through, or as far as where a loop does, which it tells.
func (r *Relay) serve(ctx context.Context, e *Entry, conn *net.TCPConn, from netip.AddrPort) (carried bool) {
	c := &client{TCPConn: conn, addr: from}
	t, err := r.target(ctx, e, c)
	switch {
	case errors.Is(err, errServed):
		_ = conn.Close()
		return false
	case err != nil:
		r.fail(KindEntry, c, t, err)
		c.leave()
		return false
	}
	up, err := r.opts.Dial.connect(ctx, &r.access.Load().guard, c, t)
	if t.answer != nil {
		c.told = err != nil
		if sayErr := t.answer(up.reached(), err); err == nil && sayErr != nil {
			_ = up.Close()
			refuse(conn)
			return false
		}
	}
	if err != nil {
		r.fail(dialKind(err), c, t, err)
		c.leave()
		return false
	}
	if r.opts.Inspect != nil {
		pass := false
		if up, pass = r.inspect(ctx, e, c, t, up); !pass {
			return false
		}
	}
	s := newSession(r, c, up, e.Way.Name)
	if r.carry(s) {
		return true
	}
	s.run()
	return false
}

// target asks the way in where a client wants to go, for so long only.
func (r *Relay) target(ctx context.Context, e *Entry, c *client) (Target, error) {
	if r.speaks(c.addr) {
		if err := c.readHeader(r.opts.Limits.Handshake); err != nil {
			return Target{}, err
		}
	}
	if !e.Way.Reads {
		return e.Way.Target(ctx, c)
	}
	_ = c.SetDeadline(time.Now().Add(r.opts.Limits.Handshake))
	t, err := e.Way.Target(ctx, c)
	_ = c.SetDeadline(time.Time{})
	return t, err
}

func (r *Relay) fail(kind Kind, c *client, t Target, err error) {
	r.trouble(&Trouble{Kind: kind, Client: c.addr, Target: t.String(), Err: err})
}
