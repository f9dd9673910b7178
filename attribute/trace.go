package attribute

import (
	"net/netip"
	"slices"
	"time"
)

// TraceKind is what was sent with a limited TTL.
type TraceKind uint8

// Values of TraceKind.
const (
	TraceSYN     TraceKind = iota
	TraceHello             // a ClientHello, on a connection that stands
	TraceAddress           // a UDP datagram to the address
	traceKinds
)

// TraceOutcome is what came back of it.
type TraceOutcome uint8

// Values of TraceOutcome.
const (
	TraceNone      TraceOutcome = iota // not sent
	TraceSilent                        // nothing came back
	TraceExpired                       // a router discarded it, for its TTL
	TraceDiscarded                     // it was discarded, but it is not known why
	TraceAnswered
	TraceRefused     // RST
	TraceUnreachable // ICMP, but no Time Exceeded
	TraceFailed      // it could not be sent
)

func (o TraceOutcome) String() string {
	return [...]string{"", "silent", "expired", "discarded", "answered", "refused", "unreachable", "failed"}[o]
}

// ends reports whether an end was reached, not only a router.
func (o TraceOutcome) ends() bool { return o == TraceAnswered || o == TraceRefused }

// TraceReply is what came of one thing sent.
type TraceReply struct {
	Kind    TraceKind
	TTL     int
	Outcome TraceOutcome
	From    netip.Addr    // who sent the ICMP message; not valid where not known
	RTT     time.Duration // 0 for not known
	Resent  int           // how often it was sent again
	Said    string        // what the answer to a ClientHello is: "ServerHello"
	Failure string
}

// TraceEnd says who ended TCP, as far as TTLs show.
type TraceEnd uint8

// Values of TraceEnd; the zero value is unknown.
const (
	EndUnknown TraceEnd = iota
	// EndEndpoint: TCP goes as far as the address.
	EndEndpoint
	// EndDevice: a device nearer than the address ends TCP, or answers for it.
	EndDevice
	// EndForwarded: TCP goes further than what answers for the address otherwise.
	EndForwarded
)

func (e TraceEnd) String() string {
	return [...]string{"unknown", "endpoint", "device", "forwarded"}[e]
}

// Trace is what came of tracing one endpoint.
type Trace struct {
	Server      netip.AddrPort
	Hop         string // configured name, empty for none
	Target, SNI string
	// Interrupted: not all was sent that a verdict needs.
	Interrupted bool
	// RawICMP: ICMP messages could be read as they came, so that routers that
	// discarded a ClientHello are known.
	RawICMP bool

	// Asked sums up what a probe of the endpoint found after the trace; Reason
	// says why it is unknown. Connections lists its connections.
	Asked       Answer
	Reason      string
	Connections []uint64

	hops []TraceHop
}

// TraceHop is what was sent with one TTL.
type TraceHop struct {
	TTL     int
	Routers []netip.Addr // that discarded something, in order of their messages
	Kinds   [traceKinds]TraceTally
}

// TraceTally sums up the replies to one kind of packet with one TTL.
type TraceTally struct {
	Sent int // flows
	// Ended reached an end; Expired and Discarded are known not to have.
	Ended, Expired, Discarded int
	Resent                    int
	Outcome                   TraceOutcome // the furthest that one came
	RTT                       time.Duration
	Said, Failure             string
	From                      []netip.Addr // who discarded those that expired
	Denied                    netip.Addr   // who said that it is unreachable
}

// stopped is how many flows are known to have ended before an end.
func (k *TraceTally) stopped() int { return k.Expired + k.Discarded }

// maxTTL bounds Trace.hops: TTL is an octet.
const maxTTL = 255

// Add takes a reply into account.
func (t *Trace) Add(r *TraceReply) {
	if r.TTL < 1 || r.TTL > maxTTL {
		return
	}
	for len(t.hops) < r.TTL {
		t.hops = append(t.hops, TraceHop{TTL: len(t.hops) + 1})
	}
	hop := &t.hops[r.TTL-1]
	k := &hop.Kinds[r.Kind]
	k.Sent++
	k.Resent += r.Resent
	switch {
	case r.Outcome.ends():
		k.Ended++
	case r.Outcome == TraceDiscarded:
		k.Discarded++
	case r.Outcome == TraceUnreachable:
		k.Denied = r.From
	case r.Outcome == TraceExpired:
		k.Expired++
		if r.From.IsValid() {
			hop.Routers = addOnce(hop.Routers, r.From)
			k.From = addOnce(k.From, r.From)
		}
	}
	if better(r, k) {
		k.Outcome, k.RTT, k.Said, k.Failure = r.Outcome, r.RTT, r.Said, r.Failure
	}
}

func addOnce(l []netip.Addr, a netip.Addr) []netip.Addr {
	if slices.Contains(l, a) {
		return l
	}
	return append(l, a)
}

// better reports whether a reply tells more than those before: an end more than
// a router, a router more than nothing; of equal ones the quicker.
func better(r *TraceReply, k *TraceTally) bool {
	rank := [...]int{
		TraceNone: 0, TraceFailed: 1, TraceSilent: 2, TraceUnreachable: 3, TraceDiscarded: 4, TraceExpired: 5,
		TraceRefused: 6, TraceAnswered: 7,
	}
	if rank[r.Outcome] != rank[k.Outcome] {
		return rank[r.Outcome] > rank[k.Outcome]
	}
	return r.RTT > 0 && (r.RTT < k.RTT || k.RTT == 0)
}

// Hops lists the hops, the nearest first.
func (t *Trace) Hops() []TraceHop { return t.hops }
