package report

import (
	"fmt"

	"whoasked/attribute"
	"whoasked/parse"
)

// advices say what to do about connections that cannot be told; of each
// connection the first row that fits counts.
var advices = [...]struct {
	fits func(*attribute.Connection) bool
	text string
}{
	{evicted, "There were more connections at one time than the limit allows: raise --limits-flows."},
	{overQUIC, "QUIC hides the handshake: switch it off in the browser, so that it uses TCP, and capture again (Chromium: " +
		"--disable-quic, policy QuicAllowed; Firefox: network.http.http3.enable), or hand over the session's keys (--keylog)."},
	{midstream, "Start the capture before the client connects: close the browser completely, begin to capture, open it again."},
	{oneSided, "Only one direction was captured: capture where both pass, best on the client itself. A mirror port may " +
		"copy only one, and routes may differ there and back."},
	{lossy, "Packets are missing or cut short: capture them whole and with a larger buffer (tcpdump -s 0 -B 65536), or " +
		"closer to the client."},
	{early, "Let the capture run on until the page has loaded or the dialog has been answered."},
	{hungUp, "What a browser does next tells why it hung up: answer or cancel the dialog, or load the page once more, before " +
		"the capture ends."},
	{sealed, "TLS 1.3 seals the request. TLS 1.2 does not: try once with a client held to it, for instance " +
		"curl --tls-max 1.2, and capture that."},
}

// adviceFor returns the row of advices for a connection, -1 for none.
func adviceFor(c *attribute.Connection) int {
	for i := range advices {
		if advices[i].fits(c) {
			return i
		}
	}
	return -1
}

func evicted(c *attribute.Connection) bool { return c.End == parse.Evicted }

func overQUIC(c *attribute.Connection) bool { return c.QUIC != nil }

func midstream(c *attribute.Connection) bool { return c.ClientHello == nil && c.ServerHello == nil }

func oneSided(c *attribute.Connection) bool {
	return (c.Sides[0].Bytes == 0 || c.Sides[1].Bytes == 0) && c.End != parse.RST
}

func lossy(c *attribute.Connection) bool { return c.Sides[0].Lost+c.Sides[1].Lost > 0 }

func early(c *attribute.Connection) bool { return c.End == parse.CaptureEnd }

func hungUp(c *attribute.Connection) bool { return c.Verdict.Waits() }

func sealed(c *attribute.Connection) bool {
	return c.ServerHello != nil && c.ServerHello.Version.IsTLS13()
}

// advise says what to do next where the answer is not a yes.
func (t *Text) advise(p *page) {
	if t.sum.Asked > 0 {
		return
	}
	var todo []string
	if t.sum.NotAsked == 0 && t.sum.Resumed > 0 {
		todo = append(todo, "Close the browser completely, so that it forgets its sessions, and capture a first visit: only a "+
			"full handshake shows whether the server asks.")
	}
	for i := range advices {
		if n := t.hints[i]; n > 0 {
			todo = append(todo, fmt.Sprintf("%s (%s)", advices[i].text, plural(n, "connection")))
		}
	}
	if len(todo) == 0 {
		return
	}
	p.blank()
	p.line(0, heading, "What to do next")
	for _, text := range todo {
		p.item(text)
	}
}
