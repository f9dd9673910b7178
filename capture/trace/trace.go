// Package trace finds out how far away an endpoint is on which level: it sends
// what opens a connection with a rising TTL (IPv6: hop limit) from ordinary
// sockets, and tells what came back of each.
//
// Three things are sent. A SYN shows where TCP is first ended, a ClientHello on
// a connection that stands shows where TLS is first answered, and a UDP datagram
// to a port where nothing listens shows how far the address itself is: a device
// that takes TCP connections aside lets it pass. The ClientHello is one that any
// client sends; nothing about the trace is written into it.
package trace

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Kind is what was sent.
type Kind uint8

// Values of Kind.
const (
	SYN     Kind = iota // opens a connection of its own
	Hello               // a ClientHello, on a connection of its own
	Address             // a UDP datagram
)

// Outcome is what came back.
type Outcome uint8

// Values of Outcome.
const (
	Silent      Outcome = iota // nothing, in time
	Expired                    // a router discarded it: ICMP Time Exceeded (RFC 792, RFC 4443 §3.3)
	Discarded                  // it was discarded on the way, but the kernel does not say why and by whom
	Answered                   // SYN-ACK; bytes after the ClientHello; from the address, Port Unreachable or a datagram
	Refused                    // RST: TCP answers, but not the port
	Unreachable                // any other ICMP Destination Unreachable
	Failed                     // it could not be sent; Reply.Err says why
)

// Reply is what came of one thing sent.
type Reply struct {
	Kind    Kind
	TTL     int
	Outcome Outcome
	// From is who sent the ICMP message; not valid where the kernel does not tell.
	From netip.Addr
	// RTT is the time from sending to the reply; 0 for Silent and Failed, and where
	// the kernel sent it again meanwhile, so that it is not clear what was answered.
	RTT time.Duration
	// Resent is how often it was sent again, all with the same TTL: by the kernel,
	// and on another flow if nothing had come back.
	Resent int
	// Data is how the answer to a ClientHello begins, up to 16 bytes.
	Data []byte
	Err  error
}

// ended reports whether no larger TTL can tell more.
func (r *Reply) ended() bool {
	return r.Outcome == Answered || r.Outcome == Refused || r.Outcome == Unreachable
}

// Tracer traces. Its fields are set before Run.
type Tracer struct {
	// MaxTTL is the largest TTL sent, 0 for 30.
	MaxTTL int
	// Wait bounds waiting for one reply, 0 for one second; an answer to a
	// ClientHello is given twice that.
	Wait time.Duration
	// Hello makes a ClientHello, anew for each connection.
	Hello func() ([]byte, error)
	// Before speaks what comes before TLS; nil for nothing.
	Before func(net.Conn) error

	send sender // of tests
}

// sender sends one thing and waits for what comes back.
type sender interface {
	send(ctx context.Context, k Kind, ttl int) Reply
}

const (
	defaultMaxTTL = 30
	defaultWait   = time.Second
	// abreast is how many are under way at a time. Routers limit how many ICMP
	// messages they send to one host (Linux: 6 at once, then one a second).
	abreast = 4
	// tries is how often one is sent that nothing comes back of.
	tries = 2
	// further is how many more flows confirm a distance: ways may differ by flow.
	further = 2
	// hopeless is how many TTLs in a row without a reply end a sweep.
	hopeless = 8
)

func (t *Tracer) maxTTL() int {
	if t.MaxTTL > 0 {
		return t.MaxTTL
	}
	return defaultMaxTTL
}

func (t *Tracer) wait() time.Duration {
	if t.Wait > 0 {
		return t.Wait
	}
	return defaultWait
}

// Run traces an endpoint and hands on each reply, those of one kind and TTL in
// no order; calls do not overlap. It ends early, without an error, when ctx is
// done: what came until then was handed on. An error says that tracing is not
// possible here.
func (t *Tracer) Run(ctx context.Context, to netip.AddrPort, each func(Reply)) error {
	s := t.send
	if s == nil {
		l, err := newLink(t, to)
		if err != nil {
			return err
		}
		defer l.close()
		s = l
	}
	var mu sync.Mutex
	r := &run{ctx: ctx, sender: s, max: t.maxTTL(), each: func(r Reply) {
		mu.Lock()
		defer mu.Unlock()
		each(r)
	}}
	var both sync.WaitGroup
	var syn, address found
	both.Go(func() { syn = r.sweep(SYN) })
	both.Go(func() { address = r.sweep(Address) })
	both.Wait()
	if syn.ttl > 0 {
		r.confirm(syn, address)
	}
	return nil
}

// confirm sends with the TTLs that a verdict may compare on further flows.
func (r *run) confirm(syn, address found) {
	r.again(SYN, syn.ttl)
	if syn.ttl > 1 {
		r.again(SYN, syn.ttl-1)
	}
	if address.ttl > 0 && address.ttl < syn.ttl-1 {
		r.again(SYN, address.ttl)
	}
	r.again(Address, address.expiredFrom(syn.ttl))
	if address.ttl > 0 && address.ttl != syn.ttl {
		r.again(Address, address.ttl)
	}
	if syn.outcome != Answered {
		return
	}
	hello := r.sweep(Hello)
	if hello.ttl == 0 {
		return
	}
	r.again(Hello, hello.ttl)
	switch {
	case hello.ttl > syn.ttl:
		r.again(Hello, syn.ttl)
	case hello.ttl < syn.ttl-1:
		r.again(SYN, hello.ttl)
	}
}

// run is the tracing of one endpoint.
type run struct {
	ctx    context.Context
	sender sender
	max    int
	each   func(Reply)
}

// found is where a sweep ended; ttl is 0 if nothing ended it. Expired lists the
// TTLs for which a router told of itself.
type found struct {
	ttl     int
	outcome Outcome
	expired []int
}

// expiredFrom is the smallest TTL from least on for which a router told of itself,
// or least.
func (f *found) expiredFrom(least int) int {
	for _, ttl := range f.expired {
		if ttl >= least {
			return ttl
		}
	}
	return least
}

// sweep sends with rising TTL until something that is no router replies.
func (r *run) sweep(k Kind) found {
	var f found
	quiet := 0
	for from := 1; from <= r.max && r.ctx.Err() == nil; from += abreast {
		replies := make([]Reply, min(abreast, r.max-from+1))
		var all sync.WaitGroup
		for i := range replies {
			all.Go(func() { replies[i] = r.try(k, from+i) })
		}
		all.Wait()
		for i := range replies {
			r.tell(replies[i])
			switch {
			case replies[i].ended():
				f.ttl, f.outcome = from+i, replies[i].Outcome
				return f
			case replies[i].Outcome == Failed:
				return f
			case replies[i].Outcome == Expired:
				f.expired = append(f.expired, from+i)
				quiet = 0
			case replies[i].Outcome == Silent:
				quiet++
			default:
				quiet = 0
			}
			if quiet == hopeless {
				return f
			}
		}
	}
	return f
}

// tell hands a reply on, but for the silence of what was not waited for.
func (r *run) tell(reply Reply) {
	if reply.Outcome != Silent || r.ctx.Err() == nil {
		r.each(reply)
	}
}

// try sends until something comes back.
func (r *run) try(k Kind, ttl int) Reply {
	resent := 0
	for n := 1; ; n++ {
		reply := r.sender.send(r.ctx, k, ttl)
		resent += reply.Resent
		if reply.Outcome != Silent || n == tries || r.ctx.Err() != nil {
			reply.Resent = resent
			return reply
		}
		resent++
	}
}

// again sends on further flows.
func (r *run) again(k Kind, ttl int) {
	var all sync.WaitGroup
	for range further {
		all.Go(func() { r.tell(r.try(k, ttl)) })
	}
	all.Wait()
}
