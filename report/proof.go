package report

import (
	"fmt"
	"slices"
	"strings"

	"whoasked/attribute"
	"whoasked/parse"
)

// proof is what is kept of the connections on which one endpoint asked.
type proof struct {
	// The strongest evidence, and the connection it was found on.
	basis    attribute.Basis
	answered bool
	conn     uint64
	evidence []attribute.Evidence

	when     [attribute.AfterHandshake + 1]int
	reply    [attribute.ReplyNone + 1]int
	required [attribute.Yes + 1]int

	method string // of the log-on, empty where it is none

	// Of the first request that was read.
	read  bool
	cut   bool // it was not read to its end
	names []string
	more  int
}

func (p *proof) add(c *attribute.Connection) {
	v := &c.Verdict
	p.method = c.Method
	p.when[v.When]++
	p.reply[v.Reply]++
	p.required[v.Required]++
	// An answer proves more than a silence does.
	answered := v.Reply == attribute.ReplyCert || v.Reply == attribute.ReplyEmpty
	if v.Basis > p.basis || v.Basis == p.basis && answered && !p.answered {
		p.basis, p.answered, p.conn = v.Basis, answered, c.ID
		p.evidence = slices.Clone(v.Evidence[:min(len(v.Evidence), 2)])
		for i := range p.evidence {
			p.evidence[i].Text = tidy(p.evidence[i].Text)
		}
	}
	if len(c.Requests) > 0 {
		p.take(c.Requests[0])
	}
}

// take notes what a request asks for, nil for none, if it is the first.
func (p *proof) take(r *parse.CertificateRequest) {
	if p.read || r == nil {
		return
	}
	p.read, p.cut = true, r.Malformed != ""
	for _, name := range r.Authorities[:min(len(r.Authorities), shownNames)] {
		p.names = append(p.names, tidy(name))
	}
	p.more = len(r.Authorities) - len(p.names)
}

// because says how it is known that an endpoint asked.
func (p *proof) because(explain bool) []string {
	var out []string
	for i, e := range p.evidence {
		text := e.Text + " [" + e.Rule + "]"
		if i == 0 {
			text = fmt.Sprintf("%s, connection %d: %s", basisWords(p.basis), p.conn, text)
		} else {
			text = "also: " + text
		}
		out = append(out, text)
	}
	if explain && p.basis == attribute.Inferred {
		out = append(out, "(The request itself is sealed, but the lengths, the order and the timing of records still show.)")
	}
	return out
}

func basisWords(b attribute.Basis) string {
	switch b {
	case attribute.Seen:
		return "seen in the clear"
	case attribute.Unsealed:
		return "read with the session's keys"
	}
	return "inferred from sealed records"
}

// later says which requests were not made in the first handshake of their
// connection, empty if all were.
func (p *proof) later() string {
	var parts []string
	if n := p.when[attribute.InRenegotiation]; n > 0 {
		parts = append(parts, fmt.Sprintf("in a renegotiation on a connection in use (%d), as servers do that protect single paths", n))
	}
	if n := p.when[attribute.AfterHandshake]; n > 0 {
		parts = append(parts, fmt.Sprintf("after the handshake, on a connection in use (%d), as servers do that protect single paths", n))
	}
	if n := p.when[attribute.InHandshake]; n > 0 && len(parts) > 0 {
		parts = append([]string{fmt.Sprintf("in the first handshake (%d)", n)}, parts...)
	}
	return strings.Join(parts, "; ")
}

// replies says what clients did when asked.
func (p *proof) replies() string {
	var parts []string
	for _, r := range replyWords {
		if n := p.reply[r.reply]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, r.words))
		}
	}
	return strings.Join(parts, "; ")
}

// replyWords tells replies in words: a cell of the table, and what follows a
// number.
var replyWords = []struct {
	reply       attribute.Reply
	cell, words string
}{
	{attribute.ReplyCert, "certificate", "sent a certificate"},
	{attribute.ReplyEmpty, "empty", "answered without a certificate"},
	{attribute.ReplyRefused, "alert", "answered with an alert"},
	{attribute.ReplyDropped, "hung up", "hung up without a word, as browsers do before they show the dialog"},
	{attribute.ReplyStalled, "waited", "kept the connection open in silence, as Firefox does while it shows the dialog"},
	{attribute.ReplyNone, "not seen", "did not answer within the capture"},
}

func replyCell(r attribute.Reply) string {
	for _, w := range replyWords {
		if w.reply == r {
			return w.cell
		}
	}
	return ""
}

// demand says whether the endpoint insists on a certificate.
func (p *proof) demand() string {
	yes, no := p.required[attribute.Yes], p.required[attribute.No]
	switch {
	case yes > 0 && no > 0:
		return fmt.Sprintf("sometimes: without a certificate it broke off %s and went on %s", plural(yes, "time"), plural(no, "time"))
	case yes > 0:
		return "yes: it ended the connection right behind the empty certificate"
	case no > 0:
		return "no: without a certificate it went on all the same"
	}
	return ""
}

// accepts lists the authorities whose certificates the endpoint accepts.
func (p *proof) accepts() []string {
	switch {
	case !p.read:
		return nil
	case len(p.names) == 0 && p.cut:
		return nil
	case len(p.names) == 0:
		return []string{"any certificate: the request names no authority"}
	}
	head := "certificates issued by one of these; a browser offers no others:"
	if p.method != "" {
		head = "certificates issued by one of these:"
	}
	out := append([]string{head}, p.names...)
	if p.more > 0 {
		out = append(out, fmt.Sprintf("+ %d more", p.more))
	}
	if p.cut {
		out = append(out, "(the request was not captured to its end)")
	}
	return out
}
