package parse

import "bytes"

// Protocols of text: a greeting, commands and replies in lines, or XML.

// Clues that take more than a prefix.
const (
	imapStartTLS     = "TAG STARTTLS" // behind a tag (RFC 3501 §6.2.1)
	ircStartTLS      = ":SERVER 670"  // behind the server's name
	xmppServerStream = "JABBER:SERVER"
)

// textRow stands for all of them until TLS begins.
var textRow = Preamble{Name: "text", tongue: tongue{cutText, takeText}}

// isText reports whether a stream that begins with b can be one of lines. One
// byte has to do, so that the split makes no difference.
func isText(b []byte) bool {
	return b[0] >= ' ' && b[0] <= '~' || b[0] == '\r' || b[0] == '\n' || b[0] == '\t'
}

// cutText ends a message at the end of the line; in XML, which has none, at the
// end of a tag.
func cutText(l *listener, _ Side, b []byte) int {
	if b[0] == '<' {
		l.xml = true
	}
	if l.xml {
		return bytes.IndexByte(b, '>') + 1
	}
	return bytes.IndexByte(b, '\n') + 1
}

// takeText weighs the clues in a line. One of the accepter that is not sure must
// be its greeting.
func takeText(l *listener, from Side, b []byte) turn {
	line := bytes.TrimLeft(b, " \t\r\n")
	if len(line) == 0 {
		return turnStay
	}
	for i := range preambles {
		for _, c := range preambles[i].clues {
			if c.from != from || from == Accepter && !c.sure && l.ears[from].taken > 0 || l.vote >= 0 && (l.sure || !c.sure && i >= l.vote) || !c.in(line) {
				continue
			}
			l.vote, l.sure = i, c.sure
		}
	}
	if from == Opener {
		l.asked = asksForTLS(line)
	}
	if l.asked {
		return turnDue
	}
	return turnStay
}

// in reports whether a line gives the clue.
func (c *clue) in(line []byte) bool {
	switch c.prefix {
	case imapStartTLS:
		word := secondWord(line)
		return len(word) < len(line) && hasPrefixFold(word, "STARTTLS")
	case ircStartTLS:
		return line[0] == ':' && bytes.HasPrefix(secondWord(line), []byte("670"))
	case xmppServerStream:
		return line[0] == '<' && bytes.Contains(line, []byte("jabber:server"))
	}
	return hasPrefixFold(line, c.prefix)
}

// secondWord returns what follows the first run of spaces, or all of a line
// without one.
func secondWord(line []byte) []byte {
	if i := bytes.IndexByte(line, ' '); i > 0 {
		return bytes.TrimLeft(line[i:], " ")
	}
	return line
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

// asksForTLS reports whether a client's line is one behind whose answer TLS
// begins, in any of the protocols.
func asksForTLS(line []byte) bool {
	for _, ask := range []string{"STARTTLS", "STLS", "AUTH TLS", "AUTH SSL", "<STARTTLS"} {
		if hasPrefixFold(line, ask) {
			return true
		}
	}
	return hasPrefixFold(secondWord(line), "STARTTLS")
}
