package attribute

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// traceScript builds a trace from lines of words such as
//
//	1 syn:expired@a×3 hello:expired@a udp:expired@a×2
//
// A line is a TTL; a word is kind:outcome, by which router, how often. A router
// of one letter stands for 198.18.0.LETTER.
func traceScript(t *testing.T, text string) *Trace {
	t.Helper()
	tr := &Trace{Server: netip.MustParseAddrPort("198.18.3.2:443")}
	kinds := map[string]TraceKind{"syn": TraceSYN, "hello": TraceHello, "udp": TraceAddress}
	outcomes := make(map[string]TraceOutcome)
	for o := TraceSilent; o <= TraceFailed; o++ {
		outcomes[o.String()] = o
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		ttl, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range f[1:] {
			word, times, many := strings.Cut(word, "×")
			n := 1
			if many {
				if n, err = strconv.Atoi(times); err != nil {
					t.Fatal(err)
				}
			}
			word, router, _ := strings.Cut(word, "@")
			kind, outcome, _ := strings.Cut(word, ":")
			k, isKind := kinds[kind]
			o, isOutcome := outcomes[outcome]
			if !isKind || !isOutcome {
				t.Fatalf("script: %q", word)
			}
			r := TraceReply{Kind: k, TTL: ttl, Outcome: o, RTT: time.Duration(ttl) * time.Millisecond}
			if router != "" {
				r.From = netip.AddrFrom4([4]byte{198, 18, 0, router[0]})
			}
			if o == TraceFailed {
				r.Failure = "no way"
			}
			if k == TraceHello && o == TraceAnswered {
				r.Said = "ServerHello"
			}
			for range n {
				tr.Add(&r)
			}
		}
	}
	return tr
}

// traceCases: what came back of a trace, and what follows from it.
var traceCases = []struct {
	name, script string
	interrupted  bool
	end          TraceEnd
	tcp, tls, at int
	before, by   byte // routers of a device: behind, and at or before
	reason       string
}{
	{name: "endpoint", script: `
		1 syn:expired@a×3 hello:expired@a udp:expired@a
		2 syn:answered×3 hello:answered×3 udp:answered×3`,
		end: EndEndpoint, tcp: 2, tls: 2, at: 2},
	{name: "endpoint next door", script: `1 syn:answered×3 hello:answered×3 udp:answered×3`,
		end: EndEndpoint, tcp: 1, tls: 1, at: 1},
	{name: "endpoint that refuses", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:refused×3 udp:answered×2 udp:silent`,
		end: EndEndpoint, tcp: 2, at: 2},
	{name: "device", script: `
		1 syn:expired@a×3 hello:expired@a udp:expired@a
		2 syn:answered×3 hello:answered×3 udp:expired@b×3
		3 udp:answered×3`,
		end: EndDevice, tcp: 2, tls: 2, at: 3, before: 'a', by: 'b'},
	{name: "device, and the address says nothing", script: `
		1 syn:expired@a×3 hello:expired@a udp:expired@a
		2 syn:answered×3 hello:answered×3 udp:expired@b×3
		3 udp:silent`,
		end: EndDevice, tcp: 2, tls: 2, before: 'a', by: 'b'},
	{name: "device at the first hop", script: `
		1 syn:answered×3 hello:answered×3 udp:expired@a×3
		2 udp:answered×3`,
		end: EndDevice, tcp: 1, tls: 1, at: 2, by: 'a'},
	{name: "device whose router is one of two", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×3 udp:expired@b×2 udp:expired@c
		3 udp:answered`,
		end: EndDevice, tcp: 2, at: 3, before: 'a'},
	{name: "device on a router that keeps silent", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×3 udp:silent
		3 udp:expired@c×3
		4 udp:answered×3`,
		end: EndDevice, tcp: 2, at: 4, before: 'a'},
	{name: "UDP may have been lost", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×3 udp:silent×3
		3 udp:answered×3`,
		tcp: 2, at: 3, reason: "UDP reached the address only with TTL 3, but no router says that less does not suffice: it may have been lost"},
	{name: "one expired datagram is not enough", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×3 udp:expired@b udp:silent×2`,
		tcp: 2, reason: "the address answers no UDP, and no router says that it is further than 2 hops: what ends TCP may be the endpoint or a device before it"},
	{name: "UDP silent", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×3 hello:answered×3 udp:silent×3`,
		tcp: 2, tls: 2, reason: "the address answers no UDP, and no router says that it is further than 2 hops: what ends TCP may be the endpoint or a device before it"},
	{name: "UDP refused by a router", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×3 udp:unreachable@a×3`,
		tcp: 2, reason: "the address answers no UDP, and no router says that it is further than 2 hops: what ends TCP may be the endpoint or a device before it"},
	{name: "UDP goes another way", script: `
		1 syn:expired@a×3 udp:expired@x
		2 syn:answered×3 udp:expired@y×3
		3 udp:answered`,
		tcp: 2, at: 3, reason: "TCP and UDP take different ways: at hop 1, by 198.18.0.97 and 198.18.0.120"},
	{name: "routers silent", script: `
		1 syn:silent×3 hello:silent udp:silent
		2 syn:answered×3 hello:answered×3 udp:expired@b×3
		3 udp:answered`,
		tcp: 2, tls: 2, at: 3, reason: "no router before it told of both TCP and UDP, so that their ways cannot be compared"},
	{name: "all routers silent, and no device", script: `
		1 syn:silent×3 hello:silent udp:silent
		2 syn:answered×3 hello:answered×3 udp:answered×3`,
		end: EndEndpoint, tcp: 2, tls: 2, at: 2},
	{name: "UDP of unsteady length", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×3 udp:answered udp:expired@b×2`,
		tcp: 2, at: 2, reason: "with TTL 2, UDP reached the address on some ways and expired on others"},
	{name: "SYNs of unsteady length", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered syn:expired@b×2 udp:answered×3`,
		tcp: 2, at: 2, reason: "with TTL 2, some SYNs were answered and others discarded: their ways differ in length"},
	{name: "SYNs of which some got no answer", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×2 syn:silent udp:answered×3`,
		tcp: 2, at: 2, reason: "with TTL 2, only 2 of 3 SYNs were answered: their ways may differ in length"},
	{name: "ClientHellos of unsteady length", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:answered×3 hello:answered hello:discarded udp:answered×3`,
		tcp: 2, tls: 2, at: 2, reason: "with TTL 2, some ClientHellos were answered and others discarded: their ways differ in length"},
	{name: "SYN proxy", script: `
		1 syn:expired@a×3 hello:expired@a udp:expired@a
		2 syn:answered×3 hello:expired@b×3 udp:expired@b×3
		3 hello:answered×3 udp:answered×3`,
		end: EndDevice, tcp: 2, tls: 3, at: 3, before: 'a', by: 'b'},
	{name: "SYN proxy, without rights", script: `
		1 syn:expired@a×3 hello:discarded udp:expired@a
		2 syn:answered×3 hello:discarded×3 udp:silent×3
		3 hello:answered×3`,
		end: EndDevice, tcp: 2, tls: 3, before: 'a'},
	{name: "a slow endpoint is no SYN proxy", script: `
		1 syn:expired@a×3 hello:expired@a udp:expired@a
		2 syn:answered×3 hello:silent×3 udp:answered×3
		3 hello:answered×3`,
		tcp: 2, tls: 3, at: 2, reason: "SYNs are answered with TTL 2, ClientHellos only with TTL 3, but it is not known that they were discarded before: they may have been answered too late"},
	{name: "nearer hello", script: `
		1 syn:expired@a×3 hello:expired@a udp:expired@a
		2 syn:expired@b×3 hello:answered×3 udp:expired@b
		3 syn:answered×3 udp:answered×3`,
		end: EndDevice, tcp: 3, tls: 2, at: 3, before: 'a', by: 'b'},
	{name: "nearer hello, but SYNs may have been lost", script: `
		1 syn:expired@a×3 hello:expired@a udp:expired@a
		2 syn:silent×3 hello:answered×3 udp:expired@b
		3 syn:answered×3 udp:answered×3`,
		tcp: 3, tls: 2, at: 3, reason: "ClientHellos are answered with TTL 2, SYNs only with TTL 3, but it is not known that they were discarded before: they may have been lost"},
	{name: "forwarded", script: `
		1 syn:expired@a×3 hello:expired@a udp:expired@a
		2 syn:expired@b×3 hello:expired@b udp:answered×3
		3 syn:answered×3 hello:answered×3 udp:answered×3`,
		end: EndForwarded, tcp: 3, tls: 3, at: 2},
	{name: "forwarded, or SYNs were lost", script: `
		1 syn:expired@a×3 udp:expired@a
		2 syn:silent×3 udp:answered×3
		3 syn:answered×3 udp:answered×3`,
		tcp: 3, at: 2, reason: "the address answers UDP with TTL 2, SYNs only with TTL 3, but it is not known that they were discarded before: they may have been lost"},
	{name: "no answer", script: `
		1 syn:expired@a udp:expired@a
		2 syn:silent udp:answered`,
		at: 2, reason: "no SYN was answered with a TTL up to 2"},
	{name: "unreachable", script: `
		1 syn:expired@a udp:expired@a
		2 syn:unreachable@a udp:unreachable@a`,
		reason: "198.18.0.97 said that the address cannot be reached, to a SYN with TTL 2"},
	{name: "unreachable, by somebody", script: `1 syn:unreachable`,
		reason: "an ICMP message said that the address cannot be reached, to a SYN with TTL 1"},
	{name: "not sent", script: `1 syn:failed udp:failed`, reason: "a SYN could not be sent: no way"},
	{name: "an old kernel", script: `
		1 syn:discarded udp:expired@a
		2 syn:silent udp:expired@b`,
		reason: "SYNs were discarded, and this kernel does not say by whom"},
	{name: "interrupted", interrupted: true, script: `
		1 syn:expired@a udp:expired@a
		2 syn:answered udp:answered`,
		tcp: 2, at: 2, reason: "the trace was interrupted"},
	{name: "nothing", reason: "no SYN was answered with a TTL up to 0"},
}

func TestTrace(t *testing.T) {
	for _, tt := range traceCases {
		t.Run(tt.name, func(t *testing.T) {
			tr := traceScript(t, tt.script)
			tr.Interrupted = tt.interrupted
			v := tr.Judge()
			got := fmt.Sprint(v.End, v.TCP, v.TLS, v.Address)
			if want := fmt.Sprint(tt.end, tt.tcp, tt.tls, tt.at); got != want {
				t.Errorf("got %s, want %s (%s)", got, want, v.Reason)
			}
			if v.Reason != tt.reason {
				t.Errorf("reason %q, want %q", v.Reason, tt.reason)
			}
			if (v.End == EndUnknown) != (v.Reason != "") {
				t.Errorf("%s with reason %q", v.End, v.Reason)
			}
			if v.Behind != router(tt.before) || v.AtOrBefore != router(tt.by) {
				t.Errorf("device behind %v, at or before %v", v.Behind, v.AtOrBefore)
			}
			if v.End != EndUnknown && len(v.Evidence) < 2 {
				t.Errorf("a verdict on %v", v.Evidence)
			}
		})
	}
}

// router is that of a letter, none for 0.
func router(letter byte) netip.Addr {
	if letter == 0 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{198, 18, 0, letter})
}

// TestTraceAnyReplyLost: a reply that did not come, at any place, may cost a
// verdict, and never turns it around.
func TestTraceAnyReplyLost(t *testing.T) {
	tried := 0
	for _, tt := range traceCases {
		if tt.end == EndUnknown {
			continue
		}
		var words []string
		for line := range strings.Lines(tt.script) {
			f := strings.Fields(line)
			for _, word := range f[min(1, len(f)):] {
				word, times, _ := strings.Cut(word, "×")
				n, _ := strconv.Atoi(times)
				for range max(1, n) {
					words = append(words, f[0]+" "+word)
				}
			}
		}
		for i, word := range words {
			kind, _, _ := strings.Cut(word, ":")
			lost := slices.Concat(words[:i], words[i+1:], []string{kind + ":silent"})
			tried++
			tr := traceScript(t, strings.Join(lost, "\n"))
			if v := tr.Judge(); v.End != tt.end && v.End != EndUnknown {
				t.Errorf("%s without %q: %s", tt.name, word, v.End)
			}
		}
	}
	t.Logf("%d losses", tried)
}

// TestTraceAdd: what no packet can have is left out; the best of equal replies counts.
func TestTraceAdd(t *testing.T) {
	tr := new(Trace)
	for _, r := range []TraceReply{
		{TTL: 0, Outcome: TraceAnswered},
		{TTL: 256, Outcome: TraceAnswered},
		{TTL: 1, Outcome: TraceAnswered, RTT: 3 * time.Millisecond},
		{TTL: 1, Outcome: TraceAnswered, Resent: 2},
		{TTL: 1, Outcome: TraceAnswered, RTT: 2 * time.Millisecond, Resent: 1},
		{TTL: 1, Outcome: TraceSilent, RTT: time.Millisecond},
	} {
		tr.Add(&r)
	}
	if len(tr.Hops()) != 1 {
		t.Fatalf("%d hops", len(tr.Hops()))
	}
	if k := tr.Hops()[0].Kinds[TraceSYN]; k.RTT != 2*time.Millisecond || k.Sent != 4 || k.Ended != 3 || k.Resent != 3 || k.Outcome != TraceAnswered {
		t.Errorf("got %+v", k)
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Microsecond: "<0.1 ms", 99 * time.Microsecond: "<0.1 ms", 100 * time.Microsecond: "0.1 ms", 12345 * time.Microsecond: "12.3 ms",
	} {
		if got := Millis(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
