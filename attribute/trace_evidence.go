package attribute

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// evidence tells what a verdict rests on, one sentence for each thing sent.
func (t *Trace) evidence(v *TraceVerdict) []Evidence {
	var out []Evidence
	add := func(rule, format string, args ...any) {
		out = append(out, Evidence{rule, fmt.Sprintf(format, args...)})
	}
	if v.TCP > 0 {
		k := &t.hops[v.TCP-1].Kinds[TraceSYN]
		add("trace-syn", "a SYN was %s with TTL %d, %d of %d times%s", k.Outcome, v.TCP, k.Ended, k.Sent, t.short(TraceSYN, v.TCP))
	}
	if v.TLS > 0 {
		k := &t.hops[v.TLS-1].Kinds[TraceHello]
		add("trace-hello", "a ClientHello was answered by %s with TTL %d, %d of %d times%s", k.Said, v.TLS, k.Ended, k.Sent, t.short(TraceHello, v.TLS))
	}
	if v.TCP > 0 && v.TCP != v.Address {
		for i := range t.hops[v.TCP-1:] {
			h := &t.hops[v.TCP-1+i]
			if k := &h.Kinds[TraceAddress]; k.Expired > 0 {
				add("trace-address", "UDP to the same address expired with TTL %d, %d of %d times%s", h.TTL, k.Expired, k.Sent, discarders(k.From))
				break // the nearest tells most
			}
		}
	}
	if v.Address > 0 {
		k := &t.hops[v.Address-1].Kinds[TraceAddress]
		add("trace-address", "the address itself answered UDP with TTL %d, %d of %d times%s", v.Address, k.Ended, k.Sent, t.short(TraceAddress, v.Address))
	}
	if text := t.times(v); text != "" {
		add("trace-time", "%s (the quickest of each)", text)
	}
	return out
}

// times tells after which time what was answered, empty if only one thing was.
func (t *Trace) times(v *TraceVerdict) string {
	var known []string
	for _, k := range []struct {
		name string
		kind TraceKind
		ttl  int
	}{{"the SYN", TraceSYN, v.TCP}, {"the ClientHello", TraceHello, v.TLS}, {"UDP", TraceAddress, v.Address}} {
		if k.ttl == 0 {
			continue
		}
		if d := t.rtt(k.kind, k.ttl); d > 0 {
			known = append(known, k.name+" after "+Millis(d))
		}
	}
	if len(known) < 2 {
		return ""
	}
	return "answered: " + strings.Join(known, ", ")
}

func (t *Trace) rtt(k TraceKind, ttl int) time.Duration { return t.hops[ttl-1].Kinds[k].RTT }

// Millis writes a time in milliseconds.
func Millis(d time.Duration) string {
	const least = 100 * time.Microsecond
	if d < least {
		return "<0.1 ms"
	}
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// short says what became of what was sent with one TTL less.
func (t *Trace) short(k TraceKind, ttl int) string {
	if ttl == 1 {
		return ""
	}
	switch less := &t.hops[ttl-2].Kinds[k]; less.Outcome {
	case TraceExpired:
		return fmt.Sprintf("; with TTL %d it expired%s", ttl-1, discarders(less.From))
	case TraceDiscarded:
		return fmt.Sprintf("; with TTL %d it was discarded", ttl-1)
	case TraceSilent:
		return fmt.Sprintf("; with TTL %d nothing came back", ttl-1)
	}
	return ""
}

// discarders names who discarded something, if that is known.
func discarders(from []netip.Addr) string {
	if len(from) == 0 {
		return ""
	}
	var names []string
	for _, a := range from {
		names = append(names, a.String())
	}
	return " at " + strings.Join(names, ", ")
}
