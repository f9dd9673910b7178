package main

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// list is a source that yields what it holds.
type list []item

type item struct {
	chunk parse.Chunk
	err   error
}

func (l list) Chunks(context.Context) iter.Seq2[*parse.Chunk, error] {
	return func(yield func(*parse.Chunk, error) bool) {
		for i := range l {
			if !yield(&l[i].chunk, l[i].err) {
				return
			}
		}
	}
}

// minutes is a report that takes down who it was told of.
type minutes struct {
	connections []attribute.Connection
	fail        error
	closed      bool
}

func (m *minutes) Connection(c *attribute.Connection) error {
	m.connections = append(m.connections, *c)
	return m.fail
}
func (m *minutes) Prompt(*attribute.Prompt) error   { return nil }
func (m *minutes) Asker(*attribute.Asker) error     { return nil }
func (m *minutes) Path(*attribute.Path) error       { return nil }
func (m *minutes) Finding(*attribute.Finding) error { return nil }
func (m *minutes) Probed(*attribute.Probed) error   { return nil }
func (m *minutes) Offer(*attribute.Offer) error     { return nil }
func (m *minutes) Trace(*attribute.Trace) error     { return nil }
func (m *minutes) Note(capture.Note) error          { return nil }
func (m *minutes) Close() error                     { m.closed = true; return nil }

func newLine(out *minutes) *line {
	return &line{
		parser: parse.NewParser(parse.Options{}),
		book:   attribute.NewBook(),
		out:    out,
	}
}

// chunks turns a handshake into the chunks of connection number n.
func (p *peers) chunks(t *testing.T, n int, spec string, flow parse.Flow) []parse.Chunk {
	t.Helper()
	steps, err := p.handshake(nil, spec)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_790_000_000, 0)
	var out []parse.Chunk
	for _, s := range steps {
		at = at.Add(time.Millisecond)
		from := parse.Accepter
		if s.client {
			from = parse.Opener
		}
		out = append(out, parse.Chunk{Conn: n, Flow: flow, From: from, Time: at, Data: s.data})
	}
	return append(out, parse.Chunk{Conn: n, Flow: flow, Time: at, End: parse.FIN})
}

func flowOf(clientPort uint16) parse.Flow {
	return parse.Flow{Addrs: [2]netip.AddrPort{netip.AddrPortFrom(testClient, clientPort), testServer}}
}

// TestLineKeepsConnectionsApart runs two connections at once and a third that
// takes the number of one of them.
func TestLineKeepsConnectionsApart(t *testing.T) {
	p := newPeers(t)
	first, second := p.chunks(t, 0, "1.2/asked/none", flowOf(1)), p.chunks(t, 1, "1.3/free/none", flowOf(2))
	third := p.chunks(t, 0, "1.3/asked/cert", flowOf(3))
	var src list
	add := func(c parse.Chunk) { src = append(src, item{chunk: c}) }
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			add(first[i])
		}
		if i < len(second)-1 {
			add(second[i])
		}
	}
	for _, c := range third {
		add(c)
	}
	add(second[len(second)-1])

	var out minutes
	l := newLine(&out)
	if err := l.read(t.Context(), "test", src, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	type told struct {
		id    uint64
		port  uint16
		asked attribute.Answer
	}
	var got []told
	for _, c := range out.connections {
		got = append(got, told{c.ID, c.Client.Port(), c.Verdict.Asked})
		if c.Capture != "test" || c.Server != testServer {
			t.Errorf("capture %q, server %s", c.Capture, c.Server)
		}
	}
	want := []told{{1, 1, attribute.Yes}, {2, 3, attribute.Yes}, {3, 2, attribute.No}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := (tally{asked: 2, notAsked: 1}); l.tally != want {
		t.Errorf("tally %+v, want %+v", l.tally, want)
	}
}

// TestLineInside: a connection in a tunnel through another one is told behind it.
func TestLineInside(t *testing.T) {
	p := newPeers(t)
	inside := func() *parse.Handshake {
		all := make([]*parse.Handshake, 2)
		parser := parse.NewParser(parse.Options{})
		for i, spec := range []string{"1.3/free/none", "1.2/asked/cert"} {
			c := parser.NewConn()
			for _, ch := range p.chunks(t, 0, spec, flowOf(1)) {
				c.Feed(ch)
			}
			all[i] = c.Handshake()
		}
		all[0].Tunnel, all[0].Inner, all[1].Target = "login.contoso.test:443", all[1], "login.contoso.test:443"
		return all[0]
	}
	check := func(what string, got []attribute.Connection) {
		t.Helper()
		if len(got) != 2 || got[0].Inside != 0 || got[0].Verdict.Asked != attribute.No || got[0].Hides() ||
			got[1].Inside != got[0].ID || got[1].Target == "" || got[1].Verdict.Asked != attribute.Yes || got[1].Verdict.By != testServer {
			t.Errorf("%s: %+v", what, got)
		}
	}
	var out minutes
	l := newLine(&out)
	if _, err := l.end("test", inside()); err != nil {
		t.Fatal(err)
	}
	check("line", out.connections)
	if want := (tally{asked: 1, notAsked: 1}); l.tally != want {
		t.Errorf("tally %+v, want %+v", l.tally, want)
	}
	hidden := inside()
	hidden.Inner = nil
	if _, err := l.end("test", hidden); err != nil || l.tally.tunnels != 1 {
		t.Errorf("tally %+v, %v", l.tally, err)
	}

	var told minutes
	w := newWatching("test", parse.NewParser(parse.Options{}), &told)
	conn := w.parser.NewConn()
	*conn.Handshake() = *inside()
	w.end(&watched{conn: conn})
	check("watch", told.connections)
}

// TestLineNamesTheClientByTLS: the end that accepted the TCP connection may be
// the TLS client, and then the opener is the asker.
func TestLineNamesTheClientByTLS(t *testing.T) {
	p := newPeers(t)
	var src list
	for _, c := range p.chunks(t, 0, "1.2/asked/cert", parse.Flow{Addrs: [2]netip.AddrPort{testServer, netip.AddrPortFrom(testClient, 21)}}) {
		if len(c.Data) > 0 {
			c.From = c.From.Other()
		}
		src = append(src, item{chunk: c})
	}
	var out minutes
	l := newLine(&out)
	l.hops = attribute.Hops{{Name: "edge", Addresses: []attribute.Range{{Prefix: netip.PrefixFrom(testServer.Addr(), 32)}}}}
	if err := l.read(t.Context(), "test", src, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	if len(out.connections) != 1 {
		t.Fatalf("%d connections", len(out.connections))
	}
	c := out.connections[0]
	if c.Client.Port() != 21 || c.Server != testServer || c.Verdict.By != testServer || c.Hop != "edge" {
		t.Errorf("client %s, server %s, asked by %s, hop %q", c.Client, c.Server, c.Verdict.By, c.Hop)
	}
}

func TestLineGoesOnAfterErrorsOfTheSource(t *testing.T) {
	var src list
	src = append(src, item{err: errors.New("torn")})
	for _, c := range newPeers(t).chunks(t, 0, "1.2/asked/none", flowOf(1)) {
		src = append(src, item{chunk: c})
	}
	var out minutes
	var failures []error
	if err := newLine(&out).read(t.Context(), "test", src, func(err error) { failures = append(failures, err) }); err != nil {
		t.Fatal(err)
	}
	if len(failures) != 1 || len(out.connections) != 1 {
		t.Errorf("failures %v, %d connections", failures, len(out.connections))
	}
}

// TestLineForgetsWhatASourceLeftOpen: the next one numbers from 0 again.
func TestLineForgetsWhatASourceLeftOpen(t *testing.T) {
	p := newPeers(t)
	broken := list{{chunk: p.chunks(t, 0, "1.2/asked/none", flowOf(1))[0]}, {err: errors.New("torn")}}
	var whole list
	for _, c := range p.chunks(t, 0, "1.2/free/none", flowOf(2)) {
		whole = append(whole, item{chunk: c})
	}
	var out minutes
	l := newLine(&out)
	for _, src := range []list{broken, whole} {
		if err := l.read(t.Context(), "test", src, func(error) {}); err != nil {
			t.Fatal(err)
		}
	}
	if len(out.connections) != 1 || out.connections[0].Client.Port() != 2 || out.connections[0].Verdict.Asked != attribute.No {
		t.Errorf("got %+v", out.connections)
	}
}

func TestLineStopsWhenNothingCanBeWritten(t *testing.T) {
	p := newPeers(t)
	var src list
	for n := range 2 {
		for _, c := range p.chunks(t, n, "1.2/asked/none", flowOf(uint16(n+1))) {
			src = append(src, item{chunk: c})
		}
	}
	out := minutes{fail: errors.New("disk full")}
	err := newLine(&out).read(t.Context(), "test", src, func(err error) { t.Error(err) })
	if !errors.Is(err, out.fail) || len(out.connections) != 1 {
		t.Errorf("got %v after %d connections", err, len(out.connections))
	}
}

// TestLineAllocatesNothingForBulk: what flows in an established connection
// costs the line no memory, however much it is.
func TestLineAllocatesNothingForBulk(t *testing.T) {
	const bulk = 1000
	p := newPeers(t)
	handshake := p.chunks(t, 0, "1.2/free/none", flowOf(1))
	record := append([]byte{23, 3, 3, 0x05, 0x00}, make([]byte, 0x500)...)
	data := parse.Chunk{Flow: flowOf(1), From: parse.Accepter, Time: handshake[len(handshake)-1].Time, Data: record}
	run := func(n int) float64 {
		src := make(list, 0, len(handshake)+n)
		add := func(c parse.Chunk) {
			src = append(src, item{chunk: c})
		}
		for _, c := range handshake[:len(handshake)-1] {
			add(c)
		}
		for range n {
			add(data)
		}
		add(handshake[len(handshake)-1])
		return testing.AllocsPerRun(5, func() {
			if err := newLine(&minutes{}).read(t.Context(), "test", src, func(error) {}); err != nil {
				t.Fatal(err)
			}
		})
	}
	few, many := run(bulk), run(10*bulk)
	if many > few+10 {
		t.Errorf("%.0f allocations with %d chunks, %.0f with %d", few, bulk, many, 10*bulk)
	}
}

// BenchmarkLine is bulk data through the line, a chunk of one record a time.
func BenchmarkLine(b *testing.B) {
	record := append([]byte{23, 3, 3, 0x05, 0x00}, make([]byte, 0x500)...)
	chunk := parse.Chunk{Flow: flowOf(1), From: parse.Accepter, Time: time.Unix(1_790_000_000, 0), Data: record, Midstream: true}
	src := make(list, 10_000)
	for i := range src {
		src[i].chunk = chunk
	}
	b.ReportAllocs()
	l := newLine(&minutes{})
	for n := 0; n < b.N; n += len(src) {
		if err := l.read(b.Context(), "test", src, func(err error) { b.Error(err) }); err != nil {
			b.Fatal(err)
		}
	}
}
