package corpus

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"whoasked/attribute"
	"whoasked/parse"
)

// truth is what tshark says about one capture.
type truth struct {
	File    string   `json:"file"`
	Keylog  string   `json:"keylog"`
	DSB     bool     `json:"dsb"`
	Streams []stream `json:"streams"`
}

type stream struct {
	Transport string    `json:"transport"`
	Stream    string    `json:"stream"`
	Client    string    `json:"client"`
	Server    string    `json:"server"`
	SNI       string    `json:"sni"`
	Version   string    `json:"version"`
	Cipher    string    `json:"cipher"` // 0xc02f
	PSK       bool      `json:"psk_accepted"`
	Clear     string    `json:"verdict_clear"`
	Keys      string    `json:"verdict_keys"`
	Before    []string  `json:"before_tls"`
	Requests  []request `json:"cert_requests"`
}

// request is a CertificateRequest message that tshark shows.
type request struct {
	From    string `json:"from"`
	DNs     int    `json:"dn_count"` // -1: not read
	Visible string `json:"visible"`  // clear, decrypted
}

// keyed reports whether tshark had keys for the capture.
func (tr *truth) keyed() bool { return tr.DSB || tr.Keylog != "" }

// inClear is what tshark knows without keys.
func (tr *truth) inClear() *truth {
	out := *tr
	out.Streams = slices.Clone(tr.Streams)
	for i := range out.Streams {
		s := &out.Streams[i]
		s.Keys = ""
		s.Requests = slices.DeleteFunc(slices.Clone(s.Requests), func(r request) bool { return r.Visible != "clear" })
	}
	return &out
}

// verdict is what tshark can know: in the clear or, better, with keys.
func (s *stream) verdict() string {
	switch s.Keys {
	case "", "hidden_tls13":
		return s.Clear
	}
	return s.Keys
}

// answer is what the verdict is to be, empty where tshark cannot tell.
func (s *stream) answer() string {
	return map[string]string{"requested": "yes", "not_requested": "no", "not_requested_psk": "no resumed", "resumed": "no resumed"}[s.verdict()]
}

// resumed says whether tshark saw a resumed or a full handshake.
func (s *stream) resumed() (resumed, known bool) {
	switch s.verdict() {
	case "resumed", "not_requested_psk":
		return true, true
	case "requested", "not_requested":
		return false, true
	case "hidden_tls13":
		return s.PSK, true // the ServerHello tells
	}
	return false, false
}

// comparison collects the differences between tshark and us over many captures.
type comparison struct {
	listed map[string]bool
	suffix string         // of the differences in the list
	same   map[string]int // what both know and agree on
	counts map[string]int // tshark's verdicts with ours
}

func newComparison(listed map[string]bool, suffix string) *comparison {
	return &comparison{listed, suffix, make(map[string]int), make(map[string]int)}
}

// file matches tshark's streams with our connections by their ends, in order.
func (c *comparison) file(t *testing.T, tr *truth, conns []connection) {
	t.Helper()
	slices.SortStableFunc(conns, func(a, b connection) int { return a.Start.Compare(b.Start) })
	byEnds := make(map[way][]*connection)
	for i := range conns {
		p := wayOf(&conns[i])
		byEnds[p] = append(byEnds[p], &conns[i])
	}
	for i := range tr.Streams {
		s := &tr.Streams[i]
		c.stream(s, next(byEnds, s), func(what, detail string) {
			key := tr.File + " " + s.Stream + " " + what + c.suffix
			if _, ok := c.listed[key]; !ok {
				t.Errorf("not listed: %s\n\t%s", key, detail)
			}
			c.listed[key] = true
		})
	}
}

// stream compares one connection, nil if there is none.
func (c *comparison) stream(s *stream, conn *connection, differs func(what, detail string)) {
	if conn == nil {
		c.counts[s.verdict()+": not found"]++
		if s.Clear != "no_hello" {
			differs("missing", fmt.Sprintf("%s %s → %s", s.verdict(), s.Client, s.Server))
		}
		return
	}
	v := conn.verdict
	compare := func(what string, known bool, theirs, ours any) {
		switch {
		case !known:
		case theirs != ours:
			differs(what, fmt.Sprintf("tshark %v, we %v", theirs, ours))
		default:
			c.same[what]++
		}
	}
	ours := v.Asked.String()
	if v.Asked == attribute.No && v.Resumed {
		ours += " resumed"
	}
	c.counts[s.verdict()+": "+ours]++
	if known := s.answer(); known != "" && ours != known {
		differs(ours, fmt.Sprintf("tshark %s, we %s %v %s; lost %d/%d, malformed %q %q", s.verdict(), ours, v.Evidence, v.Reason,
			conn.Sides[0].Lost, conn.Sides[1].Lost, conn.Sides[0].Malformed, conn.Sides[1].Malformed))
		return
	} else if known != "" {
		c.same["answer"]++
	}
	n := len(s.Requests)
	compare("requests", n > 0 || len(conn.Requests) > 0, n, len(conn.Requests))
	compare("asker", n > 0 && v.Asked == attribute.Yes, firstOf(s.Requests).From, parse.EndName(v.By))
	if n > 0 && len(conn.Requests) > 0 && s.Requests[0].DNs >= 0 {
		compare("authorities", true, s.Requests[0].DNs, len(conn.Requests[0].Authorities))
	}
	if hello := conn.ClientHello; hello != nil {
		compare("sni", s.SNI != "" || hello.ServerName != "", s.SNI, hello.ServerName)
	}
	if hello := conn.ServerHello; hello != nil {
		compare("version", s.Version != "", s.Version, wireshark.Replace(hello.Version.String()))
		suite, err := strconv.ParseUint(s.Cipher, 0, 32)
		compare("suite", err == nil, parse.CipherSuite(suite), hello.Cipher)
		resumed, known := s.resumed()
		compare("resumption", known, resumed, v.Resumed)
	}
}

func firstOf(r []request) request {
	if len(r) == 0 {
		return request{}
	}
	return r[0]
}

// report prints what was compared.
func (c *comparison) report(t *testing.T) {
	t.Helper()
	for _, m := range []map[string]int{c.same, c.counts} {
		var words []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			words = append(words, fmt.Sprintf("%s %d", k, m[k]))
		}
		t.Logf("tshark%s: %s", c.suffix, strings.Join(words, ", "))
	}
}

// wireshark writes a version as tshark does.
var wireshark = strings.NewReplacer("SSL 3.0", "SSLv3", "SSL 2.0", "SSLv2", " draft ", "-draft", " fb", "-fb", "TLS ", "TLSv", "DTLS ", "DTLSv")

// way is how tshark and we know a connection.
type way struct {
	transport string
	pair
}

func wayOf(c *connection) way {
	names := map[parse.Proto]string{parse.TCP: "tcp", parse.UDP: "udp", parse.EAPOL: "eap", parse.RADIUS: "radius"}
	return way{names[c.Flow.Proto], pairOf(c)}
}

// next takes the first connection left between the ends of a stream.
func next(byEnds map[way][]*connection, s *stream) *connection {
	a, b := endOf(s.Client), endOf(s.Server)
	p := pair{a, b}
	if a.Compare(b) > 0 {
		p = pair{b, a}
	}
	left := byEnds[way{s.Transport, p}]
	if len(left) == 0 {
		return nil
	}
	byEnds[way{s.Transport, p}] = left[1:]
	return left[0]
}

// endOf reads an address and port, or a link address.
func endOf(s string) netip.AddrPort {
	if mac, err := net.ParseMAC(s); err == nil {
		return netip.AddrPortFrom(parse.LinkAddr(mac), 0)
	}
	a, _ := netip.ParseAddrPort(s)
	return a
}
