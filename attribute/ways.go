package attribute

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"whoasked/parse"
)

// Ways puts endpoints that were probed directly into the order of the settings:
// what each of them answers, and which of them only pass TLS through.
type Ways struct {
	hops Hops
	ways []*probedWay
	left int
}

// Bounds of Ways.
const (
	maxProbedWays = 256
	maxLooks      = 8 // of one endpoint and version
)

// NewWays returns Ways with the order and the declarations of hops.
func NewWays(hops Hops) *Ways { return &Ways{hops: hops} }

// probedWay is what was reached for one target under one name.
type probedWay struct {
	target, sni string
	points      []*point
	carried     []carried
}

// point is one hop: the endpoints of one configured name, or one without.
type point struct {
	hop     string
	place   int // in the settings, -1 for none
	front   bool
	servers []reached
	client  netip.AddrPort
	start   time.Time
	looks   map[parse.Version][]look
	when    When
}

// reached counts the connections of one address.
type reached struct {
	server              netip.AddrPort
	connection          uint64
	asked, not, unknown int
}

// look is what a server shows of itself: nothing else than who ends TLS has
// both, though two may be set up alike.
type look struct {
	certificate [32]byte
	request     string
}

// carried says that a session begun at one endpoint was resumed at another.
type carried struct {
	from, to netip.AddrPort
	version  string
}

// Point notes an endpoint that is probed. front: the target's name leads to it.
func (w *Ways) Point(target, sni string, server netip.AddrPort, front bool) {
	way := w.way(target, sni)
	if way == nil {
		if len(w.ways) == maxProbedWays {
			w.left++
			return
		}
		way = &probedWay{target: target, sni: sni}
		w.ways = append(w.ways, way)
	}
	name := w.hops.Name(server, sni, nil)
	place := slices.IndexFunc(w.hops, func(h Hop) bool { return h.Name == name && name != "" })
	for _, p := range way.points {
		if p.has(server) >= 0 {
			p.front = p.front || front
			return
		}
	}
	i := slices.IndexFunc(way.points, func(p *point) bool { return p.hop == name && name != "" })
	if i < 0 {
		i = len(way.points)
		way.points = append(way.points, &point{hop: name, place: place, looks: make(map[parse.Version][]look)})
	}
	p := way.points[i]
	p.front = p.front || front
	p.servers = append(p.servers, reached{server: server})
}

// Add takes a judged connection to a point into account; resumed ones tell
// nothing.
func (w *Ways) Add(target, sni string, server netip.AddrPort, c *Connection) {
	way := w.way(target, sni)
	if way == nil {
		return
	}
	for _, p := range way.points {
		if i := p.has(server); i >= 0 {
			p.add(&p.servers[i], c)
			return
		}
	}
}

// Carried notes that a session begun at from was resumed at to.
func (w *Ways) Carried(target, sni string, from, to netip.AddrPort, version string) {
	if way := w.way(target, sni); way != nil {
		way.carried = append(way.carried, carried{from, to, version})
	}
}

// Left counts the points that went beyond what is remembered.
func (w *Ways) Left() int { return w.left }

func (w *Ways) way(target, sni string) *probedWay {
	for _, way := range w.ways {
		if way.target == target && way.sni == sni {
			return way
		}
	}
	return nil
}

func (p *point) has(server netip.AddrPort) int {
	return slices.IndexFunc(p.servers, func(r reached) bool { return r.server == server })
}

func (p *point) add(r *reached, c *Connection) {
	if p.start.IsZero() || c.Start.Before(p.start) {
		p.start, p.client = c.Start, c.Client
	}
	switch v := &c.Verdict; {
	case v.Asked == Yes:
		if r.asked == 0 {
			r.connection = c.ID
		}
		r.asked++
		p.when = v.When
	case v.Asked == No && v.Resumed:
		return
	case v.Asked == No:
		r.not++
	default:
		r.unknown++
	}
	if r.connection == 0 {
		r.connection = c.ID
	}
	l, ok := lookOf(c)
	if v := c.ServerHello; ok && !slices.Contains(p.looks[v.Version], l) && len(p.looks[v.Version]) < maxLooks {
		p.looks[v.Version] = append(p.looks[v.Version], l)
	}
}

func lookOf(c *Connection) (look, bool) {
	certs := c.ServerCerts()
	if len(certs) == 0 || c.ServerHello == nil {
		return look{}, false
	}
	l := look{certificate: certs[0].SHA256}
	if len(c.Requests) > 0 {
		r := c.Requests[0]
		l.request = fmt.Sprint(r.Types, r.SignatureAlgorithms, r.Authorities)
	}
	return l, true
}

// counts sums up the full handshakes of a point.
func (p *point) counts() (asked, told, unknown int) {
	for _, r := range p.servers {
		asked += r.asked
		told += r.asked + r.not
		unknown += r.unknown
	}
	return asked, told, unknown
}

func (p *point) answer() Answer {
	switch asked, told, _ := p.counts(); {
	case asked > 0:
		return Yes
	case told > 0:
		return No
	}
	return Unknown
}

// name is what a sentence calls the point.
func (p *point) name() string { return cmp.Or(p.hop, p.servers[0].server.String()) }

// says tells what was found of the point.
func (p *point) says() string {
	asked, told, unknown := p.counts()
	switch {
	case told == 0 && unknown == 0:
		return "no full handshake came about"
	case told == 0:
		return fmt.Sprintf("%d full handshakes told nothing", unknown)
	}
	return fmt.Sprintf("probed directly, it asked in %d of %d full handshakes", asked, told)
}

// alike reports whether two points show the same certificate and request in
// some version, and in none that both speak only others.
func (p *point) alike(q *point) bool {
	both := false
	for v, looks := range p.looks {
		if len(q.looks[v]) == 0 {
			continue
		}
		if !slices.ContainsFunc(looks, func(l look) bool { return slices.Contains(q.looks[v], l) }) {
			return false
		}
		both = true
	}
	return both
}

// differs reports whether two points spoke a version in common and are not
// alike.
func (p *point) differs(q *point) bool {
	for v := range p.looks {
		if len(q.looks[v]) > 0 {
			return !p.alike(q)
		}
	}
	return false
}
