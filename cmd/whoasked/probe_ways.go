package main

import (
	"context"
	"crypto/tls"
	"fmt"

	"whoasked/attribute"
	"whoasked/capture/probe"
)

// hopWays puts the probes of a target's hops together into the ways that a
// client takes. Without --each-hop it is nil, and does nothing.
type hopWays struct {
	*attribute.Ways
	p       *probing
	targets map[string]probe.Target
}

// newWays begins with the endpoints of all attempts, in their order.
func (p *probing) newWays(attempts []*probe.Attempt) *hopWays {
	if !p.flags.hops {
		return nil
	}
	w := &hopWays{Ways: attribute.NewWays(p.hops), p: p, targets: make(map[string]probe.Target)}
	for _, a := range attempts {
		if a != nil && !a.Found {
			w.targets[a.Target.String()] = a.Target
			w.Point(a.Target.String(), a.ServerName, a.Addr, !a.Aside)
		}
	}
	return w
}

// add takes a connection into account; c may be nil.
func (w *hopWays) add(a *probe.Attempt, c *attribute.Connection) {
	if w != nil && c != nil && !a.Found {
		w.Add(a.Target.String(), a.ServerName, a.Addr, c)
	}
}

// carryTries is how many sessions are carried from one hop to another and
// version: one of several endpoints behind may not know a session of another.
const carryTries = 3

// join tries which hops pass TLS through where two ask alike, and joins.
func (w *hopWays) join(ctx context.Context) *attribute.Joined {
	if w == nil {
		return new(attribute.Joined)
	}
	for _, pair := range w.Pairs() {
		if version, ok := w.carry(ctx, pair); ok {
			w.Carried(pair.Target, pair.SNI, pair.Behind, pair.Front, version)
		}
	}
	if n := w.Left(); n > 0 {
		w.p.terminal.note(fmt.Sprintf("%s went beyond what is put together into ways", count(int64(n), "endpoint")))
	}
	return w.Join()
}

// carry begins sessions behind and resumes them in front.
func (w *hopWays) carry(ctx context.Context, pair attribute.Pair) (version string, ok bool) {
	if pair.SNI == "" {
		return "", false // the client looks sessions up by name
	}
	target, alpn := w.targets[pair.Target], ""
	if target.HTTP() {
		alpn = w.p.matrix.Plainest()
	}
	for _, v := range w.p.matrix.Versions {
		for range carryTries {
			a := w.p.prober.Do(ctx, probe.Probe{
				Target: target, Addr: pair.Front, Begin: pair.Behind, ServerName: pair.SNI, Version: v, ALPN: alpn, Resume: true,
			})
			switch {
			case a.Resumed:
				return tls.VersionName(v), true
			case ctx.Err() != nil:
				return "", false
			}
		}
	}
	return "", false
}

// noteWays says in a line each who asks on the ways.
func (p *probing) noteWays(ctx context.Context, attempts []*probe.Attempt) {
	w := p.newWays(attempts)
	if w == nil {
		return
	}
	for _, a := range attempts {
		if a != nil && answered(a) {
			c := &attribute.Connection{Handshake: a.Handshake, Verdict: attribute.Judge(a.Handshake)}
			c.Client, c.Server = a.Handshake.Ends()
			w.add(a, c)
		}
	}
	for _, path := range w.join(ctx).Paths {
		text := path.Chain()
		if path.Doubt != "" {
			text += ": " + path.Doubt
		}
		p.terminal.note(text)
	}
}
