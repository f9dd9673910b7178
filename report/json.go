package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// JSON writes JSON Lines: one object a line, as docs/json.md and
// docs/schema/whoasked.schema.json describe them. Lines go out as their answers
// come, through a buffer that Close empties.
type JSON struct {
	w    *bufio.Writer // remembers the first error
	line bytes.Buffer
	enc  *json.Encoder  // to line
	conn connectionLine // used again, as there are many
}

const jsonBuffer = 64 << 10

// NewJSON returns a JSON that writes to w.
func NewJSON(w io.Writer) *JSON {
	j := &JSON{w: bufio.NewWriterSize(w, jsonBuffer)}
	j.enc = json.NewEncoder(&j.line)
	j.enc.SetEscapeHTML(false)
	return j
}

// Flush hands all lines so far to what is written to, for a reader who waits.
func (j *JSON) Flush() error { return j.w.Flush() }

func (j *JSON) write(line any) error {
	j.line.Reset()
	if err := j.enc.Encode(line); err != nil {
		return err
	}
	_, err := j.w.Write(escape(j.line.Bytes()))
	return err
}

// escape escapes what is not printable and encoding/json leaves as it is: DEL,
// C1 controls, format characters. In JSON they occur in strings only.
func escape(line []byte) []byte {
	if isPlain(line[:len(line)-1]) {
		return line
	}
	var out []byte
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out = append(out, line[:size]...)
		case r > 0xffff: // a surrogate pair
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		line = line[size:]
	}
	return out
}

// Connection writes a line of kind connection.
func (j *JSON) Connection(c *attribute.Connection) error {
	j.conn.fill(c)
	return j.write(&j.conn)
}

// Prompt writes a line of kind prompt.
func (j *JSON) Prompt(p *attribute.Prompt) error {
	line := promptLine{
		Kind: "prompt", AskedBy: parse.EndName(p.AskedBy), SNI: p.SNI, Client: parse.HostName(p.Client),
		Opened: stamp(p.Opened), Closed: stamp(p.Closed),
		When: p.When.String(), Outcome: p.Outcome.String(), Page: p.Page, Connections: p.Connections, Evidence: p.Evidence,
	}
	if shown(p.Outcome) {
		line.Seconds = seconds(p.Closed.Sub(p.Opened))
	}
	line.Nth = p.Nth
	for _, b := range p.Before {
		line.Before = append(line.Before, shownMember{stamp(b.Opened), b.SNI})
	}
	return j.write(&line)
}

// shown reports whether there was a dialog whose end is known.
func shown(o attribute.Outcome) bool {
	return o == attribute.OutcomeCertificate || o == attribute.OutcomeCancelled
}

// Asker writes a line of kind asker, unless the endpoint never asked, not even a
// probe, and nothing is declared of it.
func (j *JSON) Asker(a *attribute.Asker) error {
	if silent(a) {
		return nil
	}
	passesTo, place := "", ""
	if a.Passes > 0 {
		passesTo = a.PassesTo.String()
	}
	if a.Asked > a.Passes {
		place = a.Place.String()
	}
	return j.write(&askerLine{
		Passes: a.Passes, PassesTo: passesTo, Place: place, Located: a.PlaceBecause,
		Kind: "asker", AskedBy: parse.EndName(a.Addr), Name: a.Hop, SNI: a.SNI, Unread: a.Unread,
		Full: a.Full, Asked: a.Asked, NotAsked: a.NotAsked, Resumed: a.Resumed, Unknown: a.Unknown,
		Reasons: reasons(a.Reasons), Prompts: a.Prompts, First: stamp(a.First), Last: stamp(a.Last),
		Declared: a.Declared.String(), Of: a.DeclaredOf, Agrees: agrees(a), Compared: a.Agreement(),
		Basis: a.Basis().String(), Probe: askedItself(a), Signs: signs(a.Signs), Causes: causes(a.Causes),
	})
}

// reasons lists reasons, the commonest first.
func reasons(m map[string]int) []reasonMember {
	var out []reasonMember
	for _, text := range slices.Sorted(maps.Keys(m)) {
		out = append(out, reasonMember{text, m[text]})
	}
	slices.SortStableFunc(out, func(x, y reasonMember) int { return cmp.Compare(y.Count, x.Count) })
	return out
}

// Note writes a line of kind note.
func (j *JSON) Note(n capture.Note) error {
	return j.write(&noteLine{Kind: "note", Note: n.Kind, Count: n.Count, Text: n.Text, Hint: n.Hint})
}

// Close writes what is still buffered.
func (j *JSON) Close() error { return j.w.Flush() }

// stamp writes a time as RFC 3339 in UTC with nine decimals, empty for a time
// that is not known or that RFC 3339 cannot write.
func stamp(t time.Time) string {
	if !datable(t) {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000000Z")
}

// datable reports whether RFC 3339 can write a time: a capture may claim any
// year, and the zero time stands for none.
func datable(t time.Time) bool {
	return !t.IsZero() && t.UTC().Year() >= 0 && t.UTC().Year() <= 9999
}
