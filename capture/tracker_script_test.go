package capture

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"whoasked/parse"
)

var (
	clientAddr = netip.MustParseAddrPort("198.18.0.1:50000")
	serverAddr = netip.MustParseAddrPort("198.18.0.2:443")
)

// script plays segments to a Tracker. Steps are separated by semicolons or line
// ends; a step takes 100 µs of capture time.
//
//	C syn 100            a SYN of the client; S synack 500 101 one of the server
//	C data 101 501 abc   payload, with sequence and acknowledgment number
//	C data 101 501 abc missing=7
//	S/7 synack 500 101   in tunnel 7
//	C ack 104 501        also fin, rst, rstack; synack, syn with payload
//	C fin 104 501 abc    FIN behind payload
//	wait 300ms           time passes; the next segment tells
//	tick 300ms           time passes, and the Tracker is told
//	flush
//
// A chunk prints as "C'abc'" with what else it tells in front or behind it:
// "C lost=5 conflict=2'abc' fin end=fin", and "~" in front where Midstream. The
// number of a connection other than 0 comes first, and its tunnels if it is in
// some: "1:C'abc'", "(7)C'abc'".
type script struct {
	t   *testing.T
	trk *Tracker
	now int64
	got []string
	chk checker
	// client and server can be changed by a test.
	client, server netip.AddrPort
}

func newScript(t *testing.T, l Limits) *script {
	s := &script{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano(), client: clientAddr, server: serverAddr}
	s.trk = NewTracker(l, func(via uint32) string { return fmt.Sprint(via) }, func(ch *parse.Chunk) bool {
		if err := s.chk.check(*ch); err != nil {
			t.Error(err)
		}
		s.got = append(s.got, s.print(*ch))
		return true
	})
	return s
}

func (s *script) print(ch parse.Chunk) string {
	var b strings.Builder
	if ch.Conn > 0 {
		fmt.Fprintf(&b, "%d:", ch.Conn)
	}
	if ch.Flow.Via != "" {
		fmt.Fprintf(&b, "(%s)", ch.Flow.Via)
	}
	if ch.Midstream {
		b.WriteString("~")
	}
	side := "C"
	if ch.Flow.Addrs[ch.From] == s.server {
		side = "S"
	}
	b.WriteString(side)
	if ch.Lost > 0 {
		fmt.Fprintf(&b, " lost=%d", ch.Lost)
	}
	if ch.Walked > 0 {
		fmt.Fprintf(&b, " walked=%d", ch.Walked)
	}
	if ch.Conflict > 0 {
		fmt.Fprintf(&b, " conflict=%d", ch.Conflict)
	}
	if len(ch.Data) > 0 {
		fmt.Fprintf(&b, "'%s'", ch.Data)
	}
	if ch.Fin {
		b.WriteString(" fin")
	}
	if ch.End != parse.Open {
		fmt.Fprintf(&b, " end=%v", ch.End)
	}
	return b.String()
}

func (s *script) run(text string) {
	s.t.Helper()
	for _, step := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		if f := strings.Fields(step); len(f) > 0 {
			s.step(f)
		}
	}
}

func (s *script) step(f []string) {
	s.t.Helper()
	switch f[0] {
	case "wait", "tick":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now += int64(d)
		if f[0] == "tick" {
			s.trk.Advance(s.now)
		}
		return
	case "flush":
		s.trk.Flush(parse.CaptureEnd)
		return
	}
	seg := &Segment{Tuple: tupleOf(s.client, s.server)}
	end, tunnel, _ := strings.Cut(f[0], "/")
	if end == "S" {
		seg.Tuple = seg.Tuple.Reverse()
	}
	if tunnel != "" {
		via, err := strconv.ParseUint(tunnel, 10, 32)
		if err != nil {
			s.t.Fatal(err)
		}
		seg.Via = uint32(via)
	}
	flags := map[string]uint8{
		"syn": FlagSYN, "synack": FlagSYN | FlagACK, "data": FlagACK | FlagPSH, "ack": FlagACK, "fin": FlagFIN | FlagACK,
		"rst": FlagRST, "rstack": FlagRST | FlagACK, "bare": FlagACK,
	}
	var ok bool
	if seg.Flags, ok = flags[f[1]]; !ok {
		s.t.Fatalf("no such step: %q", f)
	}
	numbers := []*uint32{&seg.Seq, &seg.Ack}
	if f[1] == "syn" || f[1] == "rst" {
		numbers = numbers[:1]
	}
	for _, arg := range f[2:] {
		if n, ok := strings.CutPrefix(arg, "missing="); ok {
			seg.Missing, _ = strconv.Atoi(n)
		} else if len(numbers) > 0 {
			n, err := strconv.ParseUint(arg, 10, 32)
			if err != nil {
				s.t.Fatal(err)
			}
			*numbers[0] = uint32(n)
			numbers = numbers[1:]
		} else {
			seg.Payload = []byte(arg)
		}
	}
	s.now += int64(100 * time.Microsecond)
	s.trk.Segment(s.now, seg)
}

func (s *script) expect(want ...string) {
	s.t.Helper()
	if got, want := strings.Join(s.got, "\n"), strings.Join(want, "\n"); got != want {
		s.t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func tupleOf(src, dst netip.AddrPort) Tuple {
	return Tuple{Src: src.Addr().As16(), Dst: dst.Addr().As16(), SrcPort: src.Port(), DstPort: dst.Port()}
}

// checker checks what parse.Chunk promises of a sequence of chunks.
type checker struct {
	open map[int]parse.Chunk // latest chunk by connection
	fins map[int]uint8
	most int
}

func (c *checker) check(ch parse.Chunk) error {
	if c.open == nil {
		c.open, c.fins = make(map[int]parse.Chunk), make(map[int]uint8)
	}
	before, ok := c.open[ch.Conn]
	if !ok {
		c.most = max(c.most, len(c.open)+1)
		if ch.Conn < 0 || ch.Conn >= c.most {
			return fmt.Errorf("connection number %d with %d open at most", ch.Conn, c.most)
		}
	} else if was := before.Flow; ch.Flow.Addrs != was.Addrs || ch.Flow.Via != was.Via && !strings.HasPrefix(ch.Flow.Via, was.Via+viaBeside) || ch.Midstream != before.Midstream {
		return fmt.Errorf("connection %d changed: %+v, before %+v", ch.Conn, ch, before)
	}
	if ch.Lost < 0 || ch.Conflict < 0 {
		return fmt.Errorf("negative count: %+v", ch)
	}
	if len(ch.Data) == 0 && ch.Lost == 0 && ch.Walked == 0 && ch.Conflict == 0 && !ch.Fin && ch.End == parse.Open {
		return fmt.Errorf("chunk tells nothing: %+v", ch)
	}
	if bit := uint8(1) << ch.From; len(ch.Data) > 0 || ch.Fin {
		if c.fins[ch.Conn]&bit != 0 {
			return fmt.Errorf("connection %d: data or FIN of %v behind its FIN", ch.Conn, ch.From)
		}
		if ch.Fin {
			c.fins[ch.Conn] |= bit
		}
	}
	c.open[ch.Conn] = ch
	if ch.End != parse.Open {
		delete(c.open, ch.Conn)
		delete(c.fins, ch.Conn)
	}
	return nil
}
