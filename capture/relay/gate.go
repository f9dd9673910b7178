package relay

import (
	"cmp"
	"net/netip"
	"sync"
	"time"
)

// Limits bounds what clients may cost. Zero values stand for the defaults.
type Limits struct {
	Connections int           // at one time; 4096
	PerClient   int           // of one client at one time; 1024
	Rate        int           // of one client a second; 500
	Handshake   time.Duration // to say where to go; 10s
	Idle        time.Duration // without a byte; 1h
	Drain       time.Duration // to end by themselves when the relay stops; 10s
	Tap         int           // bytes on the way to the parser, twice; 8 MiB
}

func (l Limits) orDefault() Limits {
	l.Connections = cmp.Or(l.Connections, 4096)
	l.PerClient = cmp.Or(l.PerClient, 1024)
	l.Rate = cmp.Or(l.Rate, 500)
	l.Handshake = cmp.Or(l.Handshake, 10*time.Second)
	l.Idle = cmp.Or(l.Idle, time.Hour)
	l.Drain = cmp.Or(l.Drain, 10*time.Second)
	l.Tap = cmp.Or(l.Tap, 8<<20)
	return l
}

// sweep is how often silent connections are looked for.
func (l Limits) sweep() time.Duration { return min(max(l.Idle/8, 50*time.Millisecond), time.Minute) }

// maxClients bounds the table of clients; each is an address, or with IPv6 a
// network of 64 bits, of which one client may have all addresses.
const maxClients = 64 << 10

// gate counts connections.
type gate struct {
	limits  Limits
	mu      sync.Mutex
	open    int
	clients map[netip.Addr]*visits
}

type visits struct {
	open   int
	bucket bucket
}

func newGate(l Limits) gate { return gate{limits: l, clients: make(map[netip.Addr]*visits)} }

// enter says why a client is turned away, nil if it is let in.
func (g *gate) enter(client netip.Addr) *Trouble {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open >= g.limits.Connections {
		return &Trouble{Kind: KindFull}
	}
	v := g.clients[party(client)]
	if v == nil {
		if len(g.clients) >= maxClients {
			return &Trouble{Kind: KindFull}
		}
		v = &visits{}
		g.clients[party(client)] = v
	}
	rate := float64(g.limits.Rate)
	switch {
	case v.open >= g.limits.PerClient:
		return &Trouble{Kind: KindPerClient}
	case !v.bucket.take(now, rate, rate):
		return &Trouble{Kind: KindRate}
	}
	v.open++
	g.open++
	return nil
}

func (g *gate) leave(client netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if v := g.clients[party(client)]; v != nil {
		v.open--
	}
}

// sweep forgets clients that have left and are not held to their rate any more.
func (g *gate) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a, v := range g.clients {
		if v.open == 0 && now.Sub(v.bucket.at) > 2*time.Second {
			delete(g.clients, a)
		}
	}
}

// party is what counts as one client.
func party(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}
