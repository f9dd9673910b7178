package parse

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
)

// What a client says in front of TLS, and how it knows the answer.

// Call is what a client is about to ask for.
type Call struct {
	// Host is the client's own name for EHLO and LHLO, the domain for XMPP.
	Host string
	// Target is the host:port to be connected to, for CONNECT and SOCKS.
	Target string
	// Source and Dest are the addresses to be told in a PROXY header; the header
	// of a Call without them says that the proxy speaks for itself.
	Source, Dest netip.AddrPort
	// User and Password are for proxies that want them; none if User is empty.
	User, Password string
}

// Public is the call without the password, as a record of the dialogue may hold
// it.
func (c Call) Public() Call {
	if c.User != "" {
		c.Password = ""
	}
	return c
}

// Step is one exchange of a dialogue.
type Step struct {
	// Send returns what the client says; nil if it only listens. It is empty if
	// the Call cannot be said in the protocol.
	Send func(Call) []byte
	// Await looks at all that the server said since the step before and returns
	// how many bytes of it are the reply; nil if there is none to wait for.
	Await func(b []byte) (n int, r Reply)
}

// Reply is what a server's reply means for the dialogue.
type Reply uint8

// Values of Reply.
const (
	ReplyPending Reply = iota // not all of it has come
	ReplyGo                   // go on
	ReplyRefused              // the server will not
	ReplyForeign              // this is not the protocol
)

func (r Reply) String() string {
	return [...]string{"pending", "go", "refused", "foreign"}[r]
}

// maxReply bounds a reply; a longer one is foreign.
const maxReply = 64 << 10

func say(text string) func(Call) []byte {
	return func(Call) []byte { return []byte(text) }
}

func sayHost(format string) func(Call) []byte {
	return func(c Call) []byte { return fmt.Appendf(nil, format, c.Host) }
}

// pending tells a reply that is still to come from one that never will.
func pending(b []byte) (int, Reply) {
	if len(b) > maxReply {
		return 0, ReplyForeign
	}
	return 0, ReplyPending
}

// awaitCode takes a reply of one or more lines with a three-digit code
// (RFC 5321 §4.2, RFC 959 §4.2); a hyphen behind it says that more follow.
func awaitCode(codes ...string) func([]byte) (int, Reply) {
	return func(b []byte) (int, Reply) {
		for rest := b; ; {
			line, more, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				return pending(b)
			}
			rest = more
			if len(line) < 3 || line[0] < '1' || line[0] > '5' {
				return 0, ReplyForeign
			}
			if len(line) > 3 && line[3] == '-' {
				continue
			}
			n := len(b) - len(rest)
			for _, c := range codes {
				if string(line[:3]) == c {
					return n, ReplyGo
				}
			}
			return n, ReplyRefused
		}
	}
}

// awaitText takes lines up to one that begins with yes; with no, the server
// refuses.
func awaitText(yes, no string) func([]byte) (int, Reply) {
	return func(b []byte) (int, Reply) {
		for rest := b; ; {
			line, more, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				return pending(b)
			}
			rest = more
			switch n := len(b) - len(rest); {
			case hasPrefixFold(line, yes):
				return n, ReplyGo
			case hasPrefixFold(line, no):
				return n, ReplyRefused
			}
		}
	}
}

// awaitIRC takes lines up to RPL_STARTTLS or ERR_STARTTLS, or a server that
// does not know the command.
func awaitIRC(b []byte) (int, Reply) {
	for rest := b; ; {
		line, more, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return pending(b)
		}
		rest = more
		word, n := secondWord(line), len(b)-len(rest)
		switch {
		case bytes.HasPrefix(word, []byte("670")):
			return n, ReplyGo
		case bytes.HasPrefix(word, []byte("691")), bytes.HasPrefix(word, []byte("421")), bytes.HasPrefix(word, []byte("451")):
			return n, ReplyRefused
		}
	}
}

// xmppSteps opens a stream and asks for TLS (RFC 6120 §5.4).
func xmppSteps(namespace string) []Step {
	open := "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='" + namespace +
		"' xmlns:stream='http://etherx.jabber.org/streams'>"
	return []Step{
		{sayHost(open), awaitTag("</stream:features>", "</stream:stream>")},
		{say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), awaitTag("<proceed", "<failure")},
	}
}

// awaitTag takes everything up to the end of a tag that begins with yes.
func awaitTag(yes, no string) func([]byte) (int, Reply) {
	return func(b []byte) (int, Reply) {
		text, r := yes, ReplyGo
		if !bytes.Contains(b, []byte(yes)) {
			text, r = no, ReplyRefused
		}
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			if j := bytes.IndexByte(b[i:], '>'); j >= 0 {
				return i + j + 1, r
			}
		}
		return pending(b)
	}
}

// sayConnect asks an HTTP proxy for a tunnel (RFC 9110 §9.3.6), with the Basic
// scheme (RFC 7617) if it is to know who asks.
func sayConnect(c Call) []byte {
	b := fmt.Appendf(nil, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", c.Target, c.Target)
	if c.User != "" {
		b = append(b, "Proxy-Authorization: Basic "...)
		b = base64.StdEncoding.AppendEncode(b, []byte(c.User+":"+c.Password))
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// sayUpgrade asks for TLS in the mandatory way (RFC 2817 §3.2).
func sayUpgrade(c Call) []byte {
	return fmt.Appendf(nil, "OPTIONS * HTTP/1.1\r\nHost: %s\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n", c.Host)
}

// awaitHTTP takes the header section of a response with a status from low to
// high, behind any with another informational one.
func awaitHTTP(low, high int) func([]byte) (int, Reply) {
	return func(b []byte) (int, Reply) {
		for rest := b; ; {
			if !bytes.HasPrefix(rest, []byte("HTTP/1.")) && len(rest) >= 7 {
				return 0, ReplyForeign
			}
			end := bytes.Index(rest, []byte("\r\n\r\n"))
			if end < 0 {
				return pending(b)
			}
			word := secondWord(rest[:end])
			status, err := strconv.Atoi(string(word[:min(3, len(word))]))
			rest = rest[end+4:]
			switch {
			case err != nil:
				return 0, ReplyForeign
			case status >= low && status <= high:
				return len(b) - len(rest), ReplyGo
			case status >= 200:
				return len(b) - len(rest), ReplyRefused
			}
		}
	}
}
