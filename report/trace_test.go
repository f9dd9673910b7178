package report

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"whoasked/attribute"
)

// traceScene is what traces may find.
func traceScene() []*attribute.Trace {
	router := func(hop int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(hop), 1}) }
	trace := func(replies ...attribute.TraceReply) *attribute.Trace {
		t := &attribute.Trace{Server: netip.MustParseAddrPort(gateway), Target: contoso + ":443", SNI: contoso, RawICMP: true}
		for i := range replies {
			t.Add(&replies[i])
		}
		return t
	}
	reply := func(k attribute.TraceKind, ttl int, o attribute.TraceOutcome, ms float64) attribute.TraceReply {
		r := attribute.TraceReply{Kind: k, TTL: ttl, Outcome: o, RTT: time.Duration(ms * float64(time.Millisecond))}
		switch {
		case o == attribute.TraceExpired:
			r.From = router(ttl)
		case o == attribute.TraceAnswered && k == attribute.TraceHello:
			r.Said = "ServerHello"
		}
		return r
	}
	const syn, hello, udp = attribute.TraceSYN, attribute.TraceHello, attribute.TraceAddress
	const expired, answered, silent = attribute.TraceExpired, attribute.TraceAnswered, attribute.TraceSilent
	first := []attribute.TraceReply{reply(syn, 1, expired, 0.4), reply(udp, 1, expired, 0.02)}
	ends := func(udpOutcome attribute.TraceOutcome) []attribute.TraceReply {
		out := first
		for range 3 {
			out = append(out, reply(syn, 2, answered, 3.1), reply(hello, 2, answered, 12.4), reply(udp, 2, udpOutcome, 3.2))
		}
		return out
	}
	endpoint := trace(ends(answered)...)
	endpoint.Hop, endpoint.Asked, endpoint.Connections = "apim", attribute.Yes, []uint64{4, 5}
	again := reply(hello, 1, attribute.TraceDiscarded, 0)
	again.Resent = 2
	endpoint.RawICMP = false
	endpoint.Add(&again)
	device := trace(append(ends(expired), reply(udp, 3, answered, 8))...)
	device.Asked = attribute.No
	proxy := trace(append(first, reply(syn, 2, answered, 3), reply(hello, 2, expired, 3), reply(hello, 2, expired, 3), reply(hello, 3, answered, 9))...)
	proxy.SNI = ""
	forwarded := trace(append(first, reply(udp, 2, answered, 2), reply(syn, 2, expired, 2), reply(syn, 2, expired, 2), reply(syn, 3, answered, 3))...)
	forwarded.Reason = "handshake: connection reset by peer"
	quiet := trace(append(first, reply(syn, 2, answered, 3), reply(udp, 2, silent, 0))...)
	failed := attribute.TraceReply{Kind: syn, TTL: 1, Outcome: attribute.TraceFailed, Failure: "a\x1b[31m\nno way"}
	evil := trace(failed)
	evil.SNI, evil.Hop, evil.Reason = "x\u202e.test", "h\x07", "y\nz"
	stopped := trace(first...)
	stopped.Interrupted, stopped.Reason = true, "interrupted"
	return []*attribute.Trace{endpoint, device, proxy, forwarded, quiet, evil, stopped}
}

// playTraces writes the scene.
func playTraces(w Writer) error {
	for _, t := range traceScene() {
		if err := w.Trace(t); err != nil {
			return err
		}
	}
	return w.Close()
}

func TestTraces(t *testing.T) {
	schema := compileSchema(t)
	for name, make := range map[string]func(*bytes.Buffer) Writer{
		"text/traces.txt":        func(b *bytes.Buffer) Writer { return NewText(b, TextOptions{}) },
		"text/traces-color.txt":  func(b *bytes.Buffer) Writer { return NewText(b, TextOptions{Color: true, Width: 100}) },
		"text/traces-narrow.txt": func(b *bytes.Buffer) Writer { return NewText(b, TextOptions{Width: 60}) },
		"json/traces.jsonl":      func(b *bytes.Buffer) Writer { return NewJSON(b) },
		"log/traces.jsonl":       func(b *bytes.Buffer) Writer { return NewLog(b, LogOptions{}) },
		"log/traces-con.txt":     func(b *bytes.Buffer) Writer { return NewLog(b, LogOptions{Console: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := playTraces(make(&out)); err != nil {
				t.Fatal(err)
			}
			safe(t, out.String(), name == "text/traces-color.txt")
			if name == "json/traces.jsonl" {
				schema.validate(t, out.Bytes())
			}
			golden(t, name, out.Bytes())
		})
	}
}

// TestTracesBounded: text keeps so many traces and counts the others.
func TestTracesBounded(t *testing.T) {
	var out bytes.Buffer
	w := NewText(&out, TextOptions{})
	tr := traceScene()[0]
	for range shownTraces + 7 {
		if err := w.Trace(tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out.Bytes(), []byte("7 more traces")) {
		t.Error("what was left out is not told")
	}
}
