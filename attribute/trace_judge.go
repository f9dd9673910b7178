package attribute

import (
	"fmt"
	"net/netip"
	"slices"
)

// TraceVerdict answers where connections to an endpoint end.
type TraceVerdict struct {
	End TraceEnd
	// TCP, TLS and Address are the smallest TTL with which a SYN and a ClientHello
	// were answered, and the address itself was reached; 0 for not known.
	TCP, TLS, Address int
	// Of a device: the last router before it, and the router at its distance, each
	// if it told of itself. A device may be that router, may stand before it without
	// being one, or may be the last one, if it acts on what it passes on.
	Behind, AtOrBefore netip.Addr
	Evidence           []Evidence
	Reason             string // why End is unknown
}

// agreeing is how many flows have to be known to have stopped short of an end
// before a distance is believed: one may have been lost, or been led around.
const agreeing = 2

// Judge tells where connections end. Distances are compared only where all flows
// agree on them, where routers said that less does not suffice, and if TCP and UDP
// were seen to take the same way: a wrong device is worse than none.
func (t *Trace) Judge() TraceVerdict {
	v := TraceVerdict{TCP: t.nearest(TraceSYN), TLS: t.nearest(TraceHello), Address: t.nearest(TraceAddress)}
	v.Evidence = t.evidence(&v)
	v.End, v.Reason = t.judge(&v)
	if v.End == EndDevice {
		v.AtOrBefore = t.onlyRouter(v.Nearest())
		v.Behind = t.onlyRouter(v.Nearest() - 1)
	}
	return v
}

// onlyRouter is the router at a hop if exactly one told of itself.
func (t *Trace) onlyRouter(ttl int) netip.Addr {
	if ttl < 1 || len(t.hops[ttl-1].Routers) != 1 {
		return netip.Addr{}
	}
	return t.hops[ttl-1].Routers[0]
}

// Nearest is the distance of whoever answers first, 0 for nobody.
func (v *TraceVerdict) Nearest() int {
	if v.TLS > 0 && v.TLS < v.TCP {
		return v.TLS
	}
	return v.TCP
}

func (t *Trace) judge(v *TraceVerdict) (TraceEnd, string) {
	switch {
	case t.Interrupted:
		return EndUnknown, "the trace was interrupted"
	case v.TCP == 0:
		return EndUnknown, t.noTCP()
	}
	if why := t.varies(TraceSYN, v.TCP, "SYNs"); why != "" {
		return EndUnknown, why
	}
	if v.TLS > 0 && v.TLS != v.TCP {
		return t.apart(v)
	}
	if v.TLS > 0 {
		if why := t.varies(TraceHello, v.TLS, "ClientHellos"); why != "" {
			return EndUnknown, why
		}
	}
	return t.beside(v)
}

// apart judges a ClientHello that is not answered as far away as SYNs are.
func (t *Trace) apart(v *TraceVerdict) (TraceEnd, string) {
	if why := t.varies(TraceHello, v.TLS, "ClientHellos"); why != "" {
		return EndUnknown, why
	}
	if v.TLS > v.TCP && t.hops[v.TCP-1].Kinds[TraceHello].stopped() < agreeing {
		return EndUnknown, fmt.Sprintf("SYNs are answered with TTL %d, ClientHellos only with TTL %d, but it is not known that they were discarded before: they may have been answered too late", v.TCP, v.TLS)
	}
	if v.TLS < v.TCP && t.hops[v.TLS-1].Kinds[TraceSYN].stopped() < agreeing {
		return EndUnknown, fmt.Sprintf("ClientHellos are answered with TTL %d, SYNs only with TTL %d, but it is not known that they were discarded before: they may have been lost", v.TLS, v.TCP)
	}
	return EndDevice, ""
}

// beside judges by the distance of the address.
func (t *Trace) beside(v *TraceVerdict) (TraceEnd, string) {
	at := &t.hops[v.TCP-1].Kinds[TraceAddress]
	switch {
	case at.Ended > 0 && at.Expired > 0:
		return EndUnknown, fmt.Sprintf("with TTL %d, UDP reached the address on some ways and expired on others", v.TCP)
	case v.Address == v.TCP:
		return EndEndpoint, ""
	case v.Address > 0 && v.Address < v.TCP:
		if t.hops[v.Address-1].Kinds[TraceSYN].stopped() < agreeing {
			return EndUnknown, fmt.Sprintf("the address answers UDP with TTL %d, SYNs only with TTL %d, but it is not known that they were discarded before: they may have been lost", v.Address, v.TCP)
		}
		return EndForwarded, ""
	case t.further(v.TCP) >= agreeing:
	case v.Address > 0:
		return EndUnknown, fmt.Sprintf("UDP reached the address only with TTL %d, but no router says that less does not suffice: it may have been lost", v.Address)
	default:
		return EndUnknown, fmt.Sprintf("the address answers no UDP, and no router says that it is further than %s: what ends TCP may be the endpoint or a device before it", hops(v.TCP))
	}
	if why := t.otherWay(v.TCP); why != "" {
		return EndUnknown, why
	}
	return EndDevice, ""
}

// further is how many UDP flows expired although they went as far as a distance.
func (t *Trace) further(than int) int {
	n := 0
	for i := range t.hops[than-1:] {
		n += t.hops[than-1+i].Kinds[TraceAddress].Expired
	}
	return n
}

func hops(n int) string {
	if n == 1 {
		return "1 hop"
	}
	return fmt.Sprintf("%d hops", n)
}

// nearest is the smallest TTL at which something of a kind reached an end.
func (t *Trace) nearest(k TraceKind) int {
	for i := range t.hops {
		if t.hops[i].Kinds[k].Ended > 0 {
			return t.hops[i].TTL
		}
	}
	return 0
}

// varies says that a TTL was enough for some flows only, empty if it was for all.
func (t *Trace) varies(k TraceKind, ttl int, what string) string {
	switch c := &t.hops[ttl-1].Kinds[k]; {
	case c.stopped() > 0:
		return fmt.Sprintf("with TTL %d, some %s were answered and others discarded: their ways differ in length", ttl, what)
	case c.Ended < c.Sent:
		return fmt.Sprintf("with TTL %d, only %d of %d %s were answered: their ways may differ in length", ttl, c.Ended, c.Sent, what)
	}
	return ""
}

// noTCP says why no SYN was answered.
func (t *Trace) noTCP() string {
	discarded := 0
	for i := range t.hops {
		switch k := &t.hops[i].Kinds[TraceSYN]; k.Outcome {
		case TraceUnreachable:
			by := "an ICMP message"
			if k.Denied.IsValid() {
				by = k.Denied.String()
			}
			return fmt.Sprintf("%s said that the address cannot be reached, to a SYN with TTL %d", by, t.hops[i].TTL)
		case TraceFailed:
			return "a SYN could not be sent: " + k.Failure
		case TraceDiscarded:
			discarded++
		}
	}
	if discarded > 0 {
		return "SYNs were discarded, and this kernel does not say by whom"
	}
	return fmt.Sprintf("no SYN was answered with a TTL up to %d", len(t.hops))
}

// otherWay says why TCP and UDP may have gone different ways before a hop, empty
// if they did not.
func (t *Trace) otherWay(ttl int) string {
	same := 0
	for i := range t.hops[:ttl-1] {
		syn, udp := t.hops[i].Kinds[TraceSYN].From, t.hops[i].Kinds[TraceAddress].From
		if len(syn) == 0 || len(udp) == 0 {
			continue
		}
		if !slices.ContainsFunc(syn, func(a netip.Addr) bool { return slices.Contains(udp, a) }) {
			return fmt.Sprintf("TCP and UDP take different ways: at hop %d, by %s and %s", t.hops[i].TTL, syn[0], udp[0])
		}
		same++
	}
	if ttl > 1 && same == 0 {
		return "no router before it told of both TCP and UDP, so that their ways cannot be compared"
	}
	return ""
}
