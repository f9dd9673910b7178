package attribute

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"whoasked/parse"
)

// legSpec is a connection as joining sees it.
type legSpec struct {
	capture        string
	client, server string
	sni            string
	random, answer uint32 // 0: no hello seen
	start, length  time.Duration
	delay          time.Duration // to the ServerHello
	up, down       int64
	shown          uint16 // length of the record in which the client shows a certificate
	asked          Answer
	resumed        bool
	source         string
	target         string
	hop, clientHop string
	alpn           string
	version        parse.Version
	ja4, ja3s      string
	cert           byte
	when           When
	basis          Basis
	// ttl, if it is not 0, is that of the server's SYN-ACK, the timestamp in which is
	// of one of several clocks.
	ttl   uint8
	clock uint32
}

var legEpoch = time.Unix(1_790_000_000, 0)

func (s legSpec) connection(id uint64) *Connection {
	h := &parse.Handshake{Start: legEpoch.Add(s.start), Last: legEpoch.Add(s.start + s.length), ClientKnown: true}
	h.Sides[parse.Opener].AppBytes, h.Sides[parse.Accepter].AppBytes = s.up, s.down
	if s.random != 0 {
		h.ClientHello = &parse.ClientHello{ServerName: s.sni, At: h.Start, JA4: s.ja4}
		binary.BigEndian.PutUint32(h.ClientHello.Random[:], s.random)
		if s.alpn != "" {
			h.ClientHello.ALPN = []string{s.alpn}
		}
	}
	if s.answer != 0 {
		h.ServerHello = &parse.ServerHello{At: h.Start.Add(s.delay), Version: s.version, JA3S: s.ja3s}
		binary.BigEndian.PutUint32(h.ServerHello.Random[:], s.answer)
	}
	if s.source != "" {
		h.Proxied = &parse.Proxied{Source: netip.MustParseAddrPort(s.source)}
	}
	if s.cert != 0 {
		h.Sides[parse.Accepter].Certs = []*parse.Certificate{{SHA256: [32]byte{s.cert}}}
	}
	h.Target = s.target
	if s.ttl != 0 {
		options, _ := parse.ReadTCPOptions([]byte(plainOptions))
		at := h.Start.Add(-ms)
		h.Opening = parse.TCPOpening{{}, {SYN: true, At: at, Options: options, TTL: s.ttl, Stamp: uint32(at.UnixMilli()) + 1_000_000*s.clock}}
	}
	c := &Connection{
		ID: id, Capture: s.capture, Client: netip.MustParseAddrPort(s.client), Server: netip.MustParseAddrPort(s.server),
		Hop: s.hop, ClientHop: s.clientHop, Handshake: h,
		Verdict: Verdict{Asked: s.asked, Resumed: s.resumed, When: max(s.when, InHandshake)},
	}
	if s.shown > 0 {
		c.Verdict.Reply = ReplyCert
		h.Tape.Records = []parse.Record{{Type: parse.ApplicationData, From: parse.Opener, Len: s.shown}}
		h.Sides[parse.Opener].AppBytes += int64(s.shown)
		h.Sides[parse.Opener].AppData++
	}
	if s.asked != Unknown {
		c.Verdict.Basis = max(s.basis, Inferred)
	}
	return c
}

func joinSpecs(specs []legSpec) *Joined {
	var l Legs
	for i, s := range specs {
		l.Add(s.connection(uint64(i + 1)))
	}
	return l.Join()
}

const (
	legPerson  = "198.18.0.10:50000"
	legEdge    = "198.18.0.20:443"
	legEdgeOut = "198.18.0.20:41000"
	legGate    = "198.18.1.30:443"
	legOther   = "198.18.1.31:443"
	legPortal  = "portal.contoso.test"
	ms         = time.Millisecond
)

func TestJoin(t *testing.T) {
	outer := legSpec{capture: "a", client: legPerson, server: legEdge, sni: legPortal, random: 1, answer: 2, length: time.Second, delay: 20 * ms, asked: Yes, up: 500, down: 9000}
	passed := legSpec{capture: "a", client: legEdgeOut, server: legGate, sni: legPortal, random: 1, answer: 2, start: ms, length: time.Second, delay: 15 * ms, asked: Yes, up: 500, down: 9000}
	ended := outer
	ended.asked = No
	inner := passed
	inner.random, inner.answer, inner.up, inner.down = 3, 4, 700, 9100
	with := func(s legSpec, f func(*legSpec)) legSpec { f(&s); return s }
	for _, tt := range []struct {
		name  string
		legs  []legSpec
		chain []string
		asker string // of the first path
		reach Answer
		conf  string
		amb   int
	}{
		{name: "one leg is no way", legs: []legSpec{outer}},
		{
			name: "passed through", legs: []legSpec{passed, outer},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (passes through) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: Yes, conf: "certain",
		},
		{
			name: "passed through, by two captures whose clocks differ",
			legs: []legSpec{
				with(outer, func(s *legSpec) { s.start = time.Hour }),
				with(passed, func(s *legSpec) { s.capture, s.client = "b", "198.18.1.20:41000" }),
			},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (passes through) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: Yes, conf: "certain",
		},
		{
			name: "passed through, order not known",
			legs: []legSpec{
				with(outer, func(s *legSpec) { s.delay = 0 }),
				with(passed, func(s *legSpec) { s.capture, s.client, s.delay = "b", "198.18.1.20:41000", 0 }),
			},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (ASKED, or behind it) → 198.18.1.30:443 (ASKED, or behind it)"},
			conf:  "ambiguous",
		},
		{
			name: "address translation of the server",
			legs: []legSpec{outer, with(passed, func(s *legSpec) { s.client = legPerson })},
			chain: []string{
				"198.18.0.10 → 198.18.0.20:443 (passes through) → 198.18.1.30:443 (ASKED, or behind it)",
			},
			asker: legGate, reach: Yes, conf: "certain",
		},
		{
			name:  "the same connection in two captures",
			legs:  []legSpec{outer, with(outer, func(s *legSpec) { s.capture, s.start = "b", time.Minute })},
			chain: nil,
		},
		{
			name: "a PROXY header",
			legs: []legSpec{ended, with(inner, func(s *legSpec) { s.source, s.up, s.down = legPerson, 1, 1 })},
			chain: []string{
				"198.18.0.10 → 198.18.0.20:443 (did not ask) → 198.18.1.30:443 (ASKED, or behind it)",
			},
			asker: legGate, reach: No, conf: "certain",
		},
		{
			name: "a PROXY header for an earlier connection of the port",
			legs: []legSpec{ended, with(inner, func(s *legSpec) { s.source, s.start = legPerson, time.Hour })},
		},
		{
			// The sighting that knows more comes second, and without the header.
			name: "a PROXY header, of a connection seen twice",
			legs: []legSpec{
				with(inner, func(s *legSpec) { s.source, s.up, s.down = legPerson, 1, 1 }), ended,
				with(inner, func(s *legSpec) { s.up, s.down, s.basis = 1, 1, Seen }),
			},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (did not ask) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: No, conf: "certain",
		},
		{
			// The header is in the sighting that knows more, and whose number is not kept.
			name: "a PROXY header, in the second sighting of a connection",
			legs: []legSpec{
				with(inner, func(s *legSpec) { s.up, s.down = 1, 1 }), ended,
				with(inner, func(s *legSpec) { s.source, s.up, s.down, s.basis = legPerson, 1, 1, Seen }),
			},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (did not ask) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: No, conf: "certain",
		},
		{
			name:  "ended and opened anew",
			legs:  []legSpec{ended, inner},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (did not ask) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: No, conf: "likely",
		},
		{
			name:  "the edge asks",
			legs:  []legSpec{outer, with(inner, func(s *legSpec) { s.asked = No })},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (ASKED) → 198.18.1.30:443 (did not ask)"},
			asker: legEdge, reach: Yes, conf: "likely",
		},
		{
			name: "the edge's other address, by its configured name",
			legs: []legSpec{
				with(outer, func(s *legSpec) { s.hop = "edge" }),
				with(inner, func(s *legSpec) { s.client, s.clientHop, s.asked, s.hop = "198.18.1.20:41000", "edge", No, "apim" }),
			},
			chain: []string{"198.18.0.10 → edge (ASKED) → apim (did not ask)"},
			asker: legEdge, reach: Yes, conf: "likely",
		},
		{
			name: "nothing in common but the name",
			legs: []legSpec{ended, with(inner, func(s *legSpec) { s.client = "198.18.1.20:41000" })},
		},
		{
			name: "other volumes",
			legs: []legSpec{ended, with(inner, func(s *legSpec) { s.down = 90000 })},
		},
		{
			name:  "a certificate shown, which the tickets hold",
			legs:  []legSpec{outer, with(inner, func(s *legSpec) { s.version, s.shown, s.down = parse.TLS13, 700, 11400 })},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (ASKED) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legEdge, reach: Yes, conf: "likely",
		},
		{
			name: "more than tickets would hold",
			legs: []legSpec{outer, with(inner, func(s *legSpec) { s.version, s.shown, s.down = parse.TLS13, 700, 11700 })},
		},
		{
			name: "a client on the host of the server, which may have opened both",
			legs: []legSpec{
				with(ended, func(s *legSpec) { s.client, s.server = "127.0.0.1:50000", "127.0.0.1:443" }),
				with(inner, func(s *legSpec) { s.client, s.server = "127.0.0.1:50002", "127.0.0.1:8443" }),
			},
		},
		{
			name: "another name",
			legs: []legSpec{ended, with(inner, func(s *legSpec) { s.sni = "api.contoso.test" })},
		},
		{
			name: "not at the same time",
			legs: []legSpec{ended, with(inner, func(s *legSpec) { s.start = 2 * time.Second })},
		},
		{
			name: "two that could have opened it",
			legs: []legSpec{ended, with(ended, func(s *legSpec) { s.client, s.random, s.answer = "198.18.0.11:50000", 8, 9 }), inner},
			amb:  1,
		},
		{
			name: "two that could have been opened",
			legs: []legSpec{ended, inner, with(inner, func(s *legSpec) { s.client, s.random, s.answer = "198.18.0.20:41001", 8, 9 })},
			amb:  1,
		},
		{
			name: "an inspecting proxy",
			legs: []legSpec{
				with(ended, func(s *legSpec) { s.target, s.server = legPortal+":443", "198.18.0.20:3128" }),
				with(inner, func(s *legSpec) { s.up, s.down = 1, 1 }),
			},
			chain: []string{"198.18.0.10 → 198.18.0.20:3128 (did not ask) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: No, conf: "likely",
		},
		{
			name: "passed through, then ended",
			legs: []legSpec{
				with(ended, func(s *legSpec) { s.asked = No }),
				with(passed, func(s *legSpec) { s.asked, s.server = No, "198.18.1.25:443" }),
				with(inner, func(s *legSpec) { s.client, s.start = "198.18.1.25:42000", 3*ms }),
			},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (passes through) → 198.18.1.25:443 (did not ask) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: No, conf: "likely",
		},
		{
			name: "a second server tried with the same hello",
			legs: []legSpec{
				outer,
				with(passed, func(s *legSpec) { s.server, s.answer, s.asked = legOther, 77, No }),
				with(passed, func(s *legSpec) { s.client, s.start = "198.18.0.20:41001", 5*ms }),
			},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (passes through) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: Yes, conf: "certain",
		},
		{
			name: "the leg in front was not captured",
			legs: []legSpec{
				with(outer, func(s *legSpec) { s.clientHop = "waf" }), passed,
			},
			chain: []string{"198.18.0.10 → 198.18.0.20:443 (passes through) → 198.18.1.30:443 (ASKED, or behind it)"},
			asker: legGate, reach: Unknown, conf: "certain",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := joinSpecs(tt.legs)
			var chains []string
			for i := range j.Paths {
				chains = append(chains, j.Paths[i].Chain())
			}
			if !slices.Equal(chains, tt.chain) {
				t.Fatalf("ways %q, want %q", chains, tt.chain)
			}
			if (j.Ambiguous > 0) != (tt.amb > 0) {
				t.Errorf("%d are ambiguous", j.Ambiguous)
			}
			if len(j.Paths) == 0 {
				return
			}
			p := j.Paths[0]
			if p.Asker.IsValid() != (tt.asker != "") || p.Asker.IsValid() && p.Asker.String() != tt.asker {
				t.Errorf("asker %v, want %s", p.Asker, tt.asker)
			}
			if p.Asker.IsValid() && p.Reaches != tt.reach {
				t.Errorf("reaches the client: %v, want %v", p.Reaches, tt.reach)
			}
			if p.Joins != tt.conf {
				t.Errorf("joins are %s, want %s", p.Joins, tt.conf)
			}
			for i, h := range p.Hops {
				if (h.JoinedBy == "") != (i == 0) || (h.Evidence == "") != (i == 0) {
					t.Errorf("hop %d: joined by %q, evidence %q", i, h.JoinedBy, h.Evidence)
				}
			}
		})
	}
}

// TestJoinForwards: who only passes TLS through is not told as an asker.
func TestJoinForwards(t *testing.T) {
	outer := legSpec{client: legPerson, server: legEdge, sni: legPortal, random: 1, answer: 2, length: time.Second, asked: Yes}
	passed := legSpec{client: legEdgeOut, server: legGate, sni: legPortal, random: 1, answer: 2, start: ms, length: time.Second, asked: Yes}
	j := joinSpecs([]legSpec{outer, passed})
	askers := []Asker{
		{Addr: netip.MustParseAddrPort(legEdge), SNI: legPortal, Asked: 1},
		{Addr: netip.MustParseAddrPort(legGate), SNI: legPortal, Asked: 1},
	}
	j.Mark(askers)
	if askers[0].Passes != 1 || askers[0].PassesTo.String() != legGate || askers[1].Passes != 0 {
		t.Errorf("%+v", askers)
	}
}

// TestJoinClocks: the offset of a clock is told from connections in both
// captures, and joining uses it.
func TestJoinClocks(t *testing.T) {
	const ahead = 42 * time.Minute
	var specs []legSpec
	for i := range uint32(9) {
		s := legSpec{capture: "a", client: "198.18.0.10:" + string(rune('1'+i)) + "0000", server: legEdge, sni: legPortal, random: 100 + i, answer: 200 + i, start: time.Duration(i) * time.Second, length: ms}
		if i > 5 {
			s.client = "198.18.0.10:600" + string(rune('0'+i)) + "0"
		}
		specs = append(specs, s)
		s.capture, s.start = "b", s.start+ahead+time.Duration(i)*time.Microsecond
		specs = append(specs, s)
	}
	outer := legSpec{capture: "a", client: legPerson, server: legEdge, sni: legPortal, random: 1, answer: 2, start: time.Minute, length: time.Second, asked: No, up: 500, down: 9000}
	inner := legSpec{capture: "b", client: legEdgeOut, server: legGate, sni: legPortal, random: 3, answer: 4, start: time.Minute + ahead + ms, length: time.Second, asked: Yes, up: 500, down: 9000}
	j := joinSpecs(append(specs, outer, inner))
	if len(j.Clocks) != 1 || j.Clocks[0].Capture != "b" || j.Clocks[0].By != 9 || j.Clocks[0].Offset.Round(time.Millisecond) != ahead {
		t.Errorf("clocks %+v", j.Clocks)
	}
	if len(j.Paths) != 1 || j.Paths[0].Confidence != "likely" {
		t.Errorf("paths %+v", j.Paths)
	}
}

// TestJoinClocksPassed: where no connection is in both captures, ClientHellos that were
// passed on tell, and the ones between which least time passed tell best.
func TestJoinClocksPassed(t *testing.T) {
	const ahead = 2 * time.Hour
	passed := func(wait time.Duration) []legSpec {
		outer := legSpec{capture: "a", client: legPerson, server: legEdge, sni: legPortal, random: 1, answer: 2, start: time.Minute, length: time.Second, delay: wait + 4*ms}
		inner := legSpec{capture: "b", client: legEdgeOut, server: legGate, sni: legPortal, random: 1, answer: 2, start: time.Minute + ahead + ms, length: time.Second, delay: wait}
		worse, behind := outer, inner
		worse.random, behind.random, worse.delay = 11, 11, wait+100*ms
		return []legSpec{worse, behind, outer, inner}
	}
	specs := passed(10 * ms)
	ended := legSpec{capture: "a", client: legPerson, server: legEdge, sni: legPortal, random: 21, answer: 22, start: 2 * time.Minute, length: time.Second, asked: No, up: 500, down: 9000}
	inner := legSpec{capture: "b", client: legEdgeOut, server: legGate, sni: legPortal, random: 23, answer: 24, start: 2*time.Minute + ahead + ms, length: time.Second, asked: Yes, up: 500, down: 9000}
	j := joinSpecs(append(specs, ended, inner))
	if len(j.Clocks) != 1 || !j.Clocks[0].Passed || j.Clocks[0].By != 2 || (j.Clocks[0].Offset-ahead).Abs() > 2*ms {
		t.Errorf("clocks %+v", j.Clocks)
	}
	if n := len(j.Paths); n != 3 || j.Paths[2].Confidence != "likely" {
		t.Errorf("paths %+v", j.Paths)
	}
	// Where much time passed in between they tell nothing.
	specs[2].delay = time.Second
	specs[0].delay = time.Second
	if j := joinSpecs(specs); len(j.Clocks) != 1 || j.Clocks[0].By != 0 {
		t.Errorf("clocks %+v", j.Clocks)
	}
}

func BenchmarkJoin(b *testing.B) {
	var specs []legSpec
	for i := range uint32(60_000) {
		specs = append(specs, legSpec{
			client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), uint16(10000+i%50000)).String(),
			server: legEdge, sni: legPortal, random: i + 1, answer: i + 1, start: time.Duration(i) * ms, length: time.Second,
			asked: Answer(1 + i%2), up: 500, down: 9000,
		})
	}
	conns := make([]*Connection, len(specs))
	for i, s := range specs {
		conns[i] = s.connection(uint64(i + 1))
	}
	for b.Loop() {
		var l Legs
		for _, c := range conns {
			l.Add(c)
		}
		l.Join()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(conns)), "ns/connection")
}
