//go:build linux

package lab

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a browser does about the server's flight, as the lengths of its records
// tell.
const (
	wireDropped     = "dropped"     // closed without a record, at once
	wireHeld        = "held"        // closed without a record, after a while; a busy machine makes any drop one
	wireFinished    = "finished"    // there was no request
	wireEmpty       = "empty"       // an empty Certificate
	wireCertificate = "certificate" // one with a certificate
	wireOdd         = "odd"
)

// wireConn is one TLS connection as tshark reads it, without taking part in
// what the product finds out.
type wireConn struct {
	tls13                    bool
	server                   []int     // lengths of the records of the server's flight
	client                   []int     // and of the client's first answer to it
	hello, flight, reaction  time.Time // of the client, of the server, of the client again
	gaveUp                   bool      // the client closed before the flight
	serverTypes, clientTypes []string  // of handshake messages, unsealed ones included
}

// answer tells what the client did. All lengths are forced by the formats:
// Finished is 4 bytes and a hash long, an empty Certificate 8 bytes in TLS 1.3
// and 7 in TLS 1.2, and sealing adds 17 bytes in TLS 1.3.
func (c *wireConn) answer() string {
	if len(c.client) == 0 {
		return pick(c.reaction.Sub(c.flight) < time.Second, wireDropped, wireHeld)
	}
	if c.resumed() {
		return wireFinished
	}
	first := c.client[0]
	if c.tls13 {
		switch {
		case first == 53 || first == 69:
			return wireFinished
		case first == 61 || first == 77, first == 25: // in one record with Finished, or in its own
			return wireEmpty
		case first > 600:
			return wireCertificate
		}
		return wireOdd
	}
	const clientKeyExchange = 37 // X25519
	switch {
	case first == clientKeyExchange:
		return wireFinished
	case first == 7 || first == 7+clientKeyExchange:
		return wireEmpty
	case first > 600:
		return wireCertificate
	}
	return wireOdd
}

// unsealed tells the same from the messages; empty if they were not opened.
func (c *wireConn) unsealed() string {
	has := func(types []string, t string) bool { return slices.Contains(types, t) }
	switch {
	case !has(c.clientTypes, "20") && !has(c.clientTypes, "16"): // Finished, ClientKeyExchange
		return ""
	case has(c.clientTypes, "15"): // CertificateVerify
		return wireCertificate
	case has(c.clientTypes, "11"): // Certificate
		return wireEmpty
	}
	return wireFinished
}

// resumed: a server that resumes sends EncryptedExtensions and Finished, or up to
// TLS 1.2 only Finished.
func (c *wireConn) resumed() bool {
	return slices.Contains(c.server, 1) && c.sealed() == map[bool]int{true: 2, false: 1}[c.tls13]
}

// sealed counts the records of the server's flight behind the ServerHello and
// the change_cipher_spec.
func (c *wireConn) sealed() int { return len(c.server) - 1 - slices.Index(c.server, 1) }

func (c *wireConn) String() string {
	return fmt.Sprintf("%v → %v %s after %.3f s", c.server, c.client, c.answer(), c.reaction.Sub(c.flight).Seconds())
}

// checkWire holds what is said of browsers against what they really sent, and
// returns it.
func checkWire(t *testing.T, l *Lab, pcap string, b Browser, truth visitTruth) []*wireConn {
	t.Helper()
	conns := readConns(t, pcap, l.KeyLog())
	if len(conns) == 0 {
		t.Fatal("no TLS in the capture")
	}
	for _, c := range conns {
		t.Log(c)
		if want := c.unsealed(); want != "" && want != c.answer() {
			t.Errorf("%v: the messages say %s", c, want)
		}
		if c.answer() == wireOdd || !truth.Asked && c.answer() != wireFinished && len(c.client) > 0 {
			t.Errorf("%v: what is that?", c)
		}
		checkFlight(t, c, truth.Asked)
	}
	if !truth.Asked {
		// A drop is no proof of a request: a Chromium that is starting also drops
		// what it has connected so far when its certificate verifier is ready.
		if last := conns[len(conns)-1]; last.answer() != wireFinished {
			t.Errorf("nobody asked, but %v in the end", last)
		}
		return conns
	}
	conns = sortDecisive(t, conns, b, truth)
	first, last := conns[0], conns[len(conns)-1]
	if len(first.client) > 0 && (!b.Holds || first.answer() != wireEmpty) { // Firefox may connect without credentials
		t.Errorf("%v at first, want no answer", first)
	}
	if answered := truth.Outcome != "open"; len(conns) < 2 && answered { // how many it drops before it shows its dialog is up to the browser
		t.Errorf("only %v, want the answer on another connection", first)
	}
	if opened, closed := dialogTimes(conns, b); !truth.Seen.IsZero() && (truth.Seen.Before(opened) || truth.Outcome != "open" && truth.Ended.After(closed)) {
		t.Errorf("on the wire from %v to %v, on the screen from %v to %v; last %v", opened, closed, truth.Seen, truth.Ended, last)
	}
	return conns
}

// sortDecisive puts the connection last that carries what the person did; Firefox
// may connect once more, without credentials.
func sortDecisive(t *testing.T, conns []*wireConn, b Browser, truth visitTruth) []*wireConn {
	t.Helper()
	want := map[string][]string{"certificate": {wireCertificate}, "cancelled": {wireEmpty}, "none-shown": {wireEmpty},
		"open": {wireHeld, pick(b.Holds, wireHeld, wireDropped)}}[truth.Outcome]
	for i := len(conns) - 1; i >= 0; i-- {
		c := conns[i]
		kept := !b.Holds || truth.Seen.IsZero() || c.reaction.Sub(c.flight) > think
		if slices.Contains(want, c.answer()) && kept && (b.Holds || i == len(conns)-1) {
			return append(slices.Delete(slices.Clone(conns), i, i+1), c)
		}
	}
	t.Errorf("%v in the end, want %s", conns[len(conns)-1], want)
	return conns
}

// dialogTimes returns the first moment at which a dialog could come up, by the
// wire, and the moment at which its answer was sent. A browser that is slow to
// drop a connection looks like one that holds it.
func dialogTimes(conns []*wireConn, b Browser) (opened, closed time.Time) {
	first, last := conns[0], conns[len(conns)-1]
	switch {
	case b.Holds:
		return last.flight, last.reaction
	case first.answer() == wireHeld:
		return first.flight, last.reaction
	}
	return first.reaction, last.reaction
}

// checkFlight looks for the request in the messages, and in the number of
// sealed records: nginx sends each message in one of its own.
func checkFlight(t *testing.T, c *wireConn, asked bool) {
	t.Helper()
	if c.tls13 {
		if want := map[bool]int{false: 4, true: 5}[asked]; c.sealed() != want && !c.resumed() {
			t.Errorf("%v: %d sealed records, want %d", c, c.sealed(), want)
		}
		if !slices.Contains(c.serverTypes, "8") { // EncryptedExtensions
			return
		}
	}
	if seen := slices.Contains(c.serverTypes, "13"); seen != (asked && !c.resumed()) {
		t.Errorf("%v: request is %t by the messages %v", c, seen, c.serverTypes)
	}
}

// readConns returns the connections that came to a ServerHello before the browser
// closed them, in order.
func readConns(t *testing.T, pcap, keys string) []*wireConn {
	t.Helper()
	out, err := exec.Command("tshark", "-r", pcap, "-o", "tls.keylog_file:"+keys, "-Y", "tls.record or tcp.flags.fin==1 or tcp.flags.reset==1",
		"-T", "fields", "-E", "aggregator=,", "-e", "tcp.stream", "-e", "frame.time_epoch", "-e", "tcp.dstport", "-e", "tls.record.length",
		"-e", "tls.handshake.type", "-e", "tls.record.version", "-e", "tls.handshake.extensions.supported_version").Output()
	if err != nil {
		t.Fatal("tshark: ", err)
	}
	byStream := map[string]*wireConn{}
	var conns []*wireConn
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 7 {
			t.Fatalf("tshark wrote %q", line)
		}
		c := byStream[f[0]]
		if c == nil {
			c = &wireConn{}
			byStream[f[0]] = c
			conns = append(conns, c)
		}
		c.add(t, f)
	}
	return slices.DeleteFunc(conns, func(c *wireConn) bool { return len(c.server) == 0 || c.gaveUp })
}

// add takes one packet: its records, or its FIN or RST.
func (c *wireConn) add(t *testing.T, f []string) {
	t.Helper()
	at, lengths := epoch(t, f[1]), numbers(t, f[3])
	types := strings.Split(f[4], ",")
	fromClient := f[2] == strconv.Itoa(portalPort)
	switch {
	case fromClient && c.hello.IsZero():
		if len(lengths) > 0 {
			c.hello = at
		}
	case fromClient:
		c.clientTypes = append(c.clientTypes, types...)
		c.gaveUp = c.gaveUp || c.flight.IsZero() && len(lengths) == 0
		if c.reaction.IsZero() && !c.flight.IsZero() {
			c.reaction = at
			c.client = slices.DeleteFunc(lengths, func(n int) bool { return n == 1 }) // change_cipher_spec
		}
	default:
		c.serverTypes = append(c.serverTypes, types...)
		if c.reaction.IsZero() && len(lengths) > 0 {
			c.flight = at
			c.server = append(c.server, lengths...)
			c.tls13 = c.tls13 || f[6] == "0x0304"
		}
	}
}

func epoch(t *testing.T, s string) time.Time {
	t.Helper()
	sec, frac, _ := strings.Cut(s, ".")
	return time.Unix(int64(number(t, sec)), int64(number(t, (frac + "000000000")[:9])))
}

func numbers(t *testing.T, list string) []int {
	t.Helper()
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		if s != "" {
			out = append(out, number(t, s))
		}
	}
	return out
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("tshark wrote %q for a number", s)
	}
	return n
}
