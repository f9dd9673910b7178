package attribute

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"whoasked/parse"
)

// synOptions are the options of SYNs in tests.
const (
	plainOptions = "\x02\x04\x05\xb4\x04\x02\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x01\x03\x03\x07"
	otherOptions = "\x02\x04\x05\x14\x01\x03\x03\x02\x01\x01\x04\x02"
)

// opensWith adds a TCP opening to a connection: SYN and SYN-ACK some time before it starts.
func opensWith(c *Connection, reply time.Duration, change func(client, server *parse.TCPSide)) *Connection {
	options, stamp := parse.ReadTCPOptions([]byte(plainOptions))
	at := c.Start.Add(-reply - ms)
	client := parse.TCPSide{SYN: true, At: at, Options: options, Stamp: stamp, Seq: 1, TTL: 64, DataTTL: 64}
	server := parse.TCPSide{SYN: true, At: at.Add(reply), Options: options, Seq: 2, TTL: 62, DataTTL: 62}
	server.Stamp = uint32(server.At.UnixMilli())
	if change != nil {
		change(&client, &server)
	}
	c.Opening = parse.TCPOpening{client, server}
	return c
}

// signCase is connections to one server and which sign they give.
type signCase struct {
	name  string
	n     int
	spec  func(i int, s *legSpec)
	reply time.Duration
	tcp   func(i int, client, server *parse.TCPSide)
	want  string // kind of the one sign, empty for none
	text  string
}

func (c *signCase) joined() *Joined {
	var l Legs
	for i := range c.n {
		s := legSpec{
			capture: "a", client: fmt.Sprintf("198.18.0.10:%d", 40000+i), server: legEdge, sni: legPortal, random: uint32(1 + i), answer: uint32(1001 + i),
			start: time.Duration(i) * time.Second, length: ms, delay: ms, asked: Yes, ja4: "c", ja3s: "s", cert: 1, version: parse.TLS12,
		}
		if c.spec != nil {
			c.spec(i, &s)
		}
		con := s.connection(uint64(i + 1))
		if c.reply > 0 {
			opensWith(con, c.reply, func(client, server *parse.TCPSide) {
				client.Seq, server.Seq = uint32(7*i), uint32(9*i)
				if c.tcp != nil {
					c.tcp(i, client, server)
				}
			})
		}
		l.Add(con)
	}
	return l.Join()
}

func TestSigns(t *testing.T) {
	other, _ := parse.ReadTCPOptions([]byte(otherOptions))
	odd := func(i int) bool { return i%2 == 1 }
	cases := []signCase{
		{name: "nothing captured of the opening", n: 12},
		{name: "an ordinary server", n: 12, reply: ms},
		{name: "TLS from afar", n: 3, reply: ms, spec: func(_ int, s *legSpec) { s.delay = 21 * ms },
			want: "round-trip", text: "a SYN was answered after 1ms and a ClientHello after 21ms: what ends TLS may stand farther away"},
		{name: "TLS from afar, too few", n: 2, reply: ms, spec: func(_ int, s *legSpec) { s.delay = 21 * ms }},
		{name: "once as soon", n: 4, reply: ms, spec: func(i int, s *legSpec) { s.delay = time.Duration(1+20*min(i, 1)) * ms }},
		{name: "both from afar", n: 3, reply: 20 * ms, spec: func(_ int, s *legSpec) { s.delay = 22 * ms },
			want: "round-trip", text: "about as far away"},
		{name: "somewhat slower", n: 3, reply: 20 * ms, spec: func(_ int, s *legSpec) { s.delay = 40 * ms }},
		{name: "SYNs answered from elsewhere", n: 3, reply: ms, tcp: func(_ int, _, s *parse.TCPSide) { s.TTL = 64 },
			want: "syn-hop-limit", text: "in 3 of 3 connections the SYN-ACK and the data behind it came with different hop limits, such as 64 and 62"},
		{name: "no data captured", n: 3, reply: ms, tcp: func(_ int, _, s *parse.TCPSide) { s.TTL, s.DataTTL = 64, 0 }},
		{name: "data without timestamps", n: 3, reply: ms, tcp: func(_ int, _, s *parse.TCPSide) { s.Bare = true }, want: "timestamps", text: "in 3 of 3"},
		{name: "none were agreed upon", n: 3, reply: ms, tcp: func(_ int, c, s *parse.TCPSide) { c.Options, s.Bare = other, true }},
		{name: "two clocks", n: 8, reply: ms, tcp: func(i int, _, s *parse.TCPSide) { s.Stamp += uint32(i%2) * 1_000_000 },
			want: "clock", text: "8 connections are of 2 clocks, in turn (clock 1: 4; clock 2: 4)"},
		{name: "two clocks of 100 ticks, around zero", n: 8, reply: ms, tcp: func(i int, _, s *parse.TCPSide) {
			s.Stamp = uint32(s.At.Sub(legEpoch)/(10*ms)) - uint32(i%2)*500
		}, want: "clock", text: "8 connections are of 2 clocks"},
		{name: "a clock for each connection", n: 20, reply: ms, tcp: func(i int, _, s *parse.TCPSide) { s.Stamp += uint32(i*i) * 7_654_321 }},
		{name: "a machine started anew", n: 12, reply: ms, tcp: func(i int, _, s *parse.TCPSide) { s.Stamp += uint32(i/6) * 1_000_000 }},
		{name: "a clock that drifts", n: 40, reply: ms, spec: func(i int, s *legSpec) { s.start = time.Duration(i) * 10 * time.Minute },
			tcp: func(_ int, _, s *parse.TCPSide) { s.Stamp += uint32(s.At.Sub(legEpoch) / 5000 / ms) }},
		{name: "another clock for each client", n: 12, reply: ms, spec: func(i int, s *legSpec) { s.client = fmt.Sprintf("198.18.0.%d:%d", 10+i%2, 40000+i) },
			tcp: func(i int, _, s *parse.TCPSide) { s.Stamp += uint32(i%2) * 1_000_000 }},
		{name: "two hop limits", n: 6, reply: ms, tcp: func(i int, _, s *parse.TCPSide) { s.TTL -= uint8(i % 2); s.DataTTL = s.TTL },
			want: "hop-limit", text: "(61: 3; 62: 3)"},
		{name: "a route that changed", n: 6, reply: ms, tcp: func(i int, _, s *parse.TCPSide) { s.TTL -= uint8(i / 3); s.DataTTL = s.TTL }},
		{name: "two sets of options", n: 6, reply: ms, tcp: func(i int, _, s *parse.TCPSide) {
			if odd(i) {
				s.Options = other
			}
		}, want: "tcp-options", text: "mss 1300, nop, wscale 2, nop, nop, sack: 3; mss 1460, sack, timestamps, nop, wscale 7: 3"},
		{name: "as the client had them", n: 6, reply: ms, tcp: func(i int, c, s *parse.TCPSide) {
			if odd(i) {
				c.Options, s.Options = other, other
			}
		}},
		{name: "two certificates", n: 6, spec: func(i int, s *legSpec) { s.cert = byte(1 + i%2) }, want: "certificate", text: "010000000000…: 3; 020000000000…: 3"},
		{name: "a certificate renewed", n: 6, spec: func(i int, s *legSpec) { s.cert = byte(1 + i/3) }},
		{name: "a certificate for each name", n: 12, spec: func(i int, s *legSpec) { s.cert = byte(1 + i%2); s.sni = fmt.Sprintf("c%d.contoso.test", i%2) }},
		{name: "a certificate for each kind of client", n: 12, spec: func(i int, s *legSpec) { s.cert = byte(1 + i%2); s.ja4 = fmt.Sprint(i % 2) }},
		{name: "two shapes of ServerHello", n: 6, spec: func(i int, s *legSpec) { s.ja3s = fmt.Sprintf("s%d", i%2) }, want: "server-hello", text: "JA3S s0: 3; s1: 3"},
		{name: "resumed or not", n: 6, spec: func(i int, s *legSpec) { s.ja3s = fmt.Sprintf("s%d", i%2); s.resumed = odd(i) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			j := c.joined()
			askers := []Asker{{Addr: netip.MustParseAddrPort(legEdge), SNI: legPortal}}
			j.Mark(askers)
			signs := askers[0].Signs
			switch {
			case c.want == "" && len(signs) > 0:
				t.Errorf("signs %v, want none", signs)
			case c.want != "" && (len(signs) != 1 || signs[0].Kind != c.want || !strings.Contains(signs[0].Text, c.text)):
				t.Errorf("signs %v, want one of kind %s with %q", signs, c.want, c.text)
			}
		})
	}
	for _, r := range signRules {
		if !slices.ContainsFunc(cases, func(c signCase) bool { return c.want == r.kind }) {
			t.Errorf("no case for the sign %s", r.kind)
		}
	}
}

// TestSignsInSchema: the contract names the signs that there are.
func TestSignsInSchema(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "schema", "whoasked.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			Signs struct {
				Items struct {
					Properties struct{ Sign struct{ Enum []string } }
				}
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	kinds := []string{"tcp"}
	for _, r := range signRules {
		kinds = append(kinds, r.kind)
	}
	if named := schema.Defs.Signs.Items.Properties.Sign.Enum; !slices.Equal(named, kinds) {
		t.Errorf("the schema names %q, the rules are %q", named, kinds)
	}
}

// TestSignsOfHops compares the legs in front of and behind a hop, and one connection at
// two points.
func TestSignsOfHops(t *testing.T) {
	outer := legSpec{capture: "a", client: legPerson, server: legEdge, sni: legPortal, random: 1, answer: 2, length: time.Second, delay: 20 * ms, asked: Yes}
	inner := legSpec{capture: "b", client: legEdgeOut, server: legGate, sni: legPortal, random: 1, answer: 2, start: ms, length: time.Second, delay: 15 * ms, asked: Yes}
	again := outer
	again.capture = "b"
	other, _ := parse.ReadTCPOptions([]byte(otherOptions))
	for _, tt := range []struct {
		name   string
		second legSpec
		change func(client, server *parse.TCPSide)
		want   string
	}{
		{"a router that translates addresses", inner, nil, "it passes packets on and does not end TCP"},
		{"a proxy", inner, func(c, s *parse.TCPSide) { c.Seq, s.Seq = 8, 9; c.Options = other }, "(1 connection): it ends TCP and passes TLS on, or makes up numbers of its own"},
		{"a SYN proxy", inner, func(_, s *parse.TCPSide) { s.Seq = 9 }, "answers SYNs in the server's place"},
		{"a router that changes options", inner, func(c, _ *parse.TCPSide) { c.Options = other }, "does not end TCP; the options of SYNs differ in front of it and behind it, in 1 of 1: mss 1460, sack, timestamps, nop, wscale 7, and mss 1300"},
		{"nothing in between", again, nil, ""},
		{"something in between that ends TCP", again, func(c, s *parse.TCPSide) { c.Seq, s.Seq = 8, 9 }, "differ in a and in b (1 connection): something between these ends TCP"},
		{"something in between that changes options", again, func(_, s *parse.TCPSide) { s.Options = other }, "the options of SYN-ACKs differ in a and in b, in 1 of 1"},
		{"no SYN behind it", inner, func(c, _ *parse.TCPSide) { *c = parse.TCPSide{} }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l Legs
			l.Add(opensWith(outer.connection(1), ms, nil))
			l.Add(opensWith(tt.second.connection(2), ms, tt.change))
			signs := l.Join().signs[netip.MustParseAddrPort(legEdge)]
			switch {
			case tt.want == "" && len(signs) > 0:
				t.Errorf("signs %v, want none", signs)
			case tt.want != "" && (len(signs) != 1 || signs[0].Kind != "tcp" || !strings.Contains(signs[0].Text, tt.want)):
				t.Errorf("signs %v, want %q", signs, tt.want)
			}
		})
	}
}
