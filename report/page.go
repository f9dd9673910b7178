package report

import (
	"strings"
	"unicode/utf8"
)

// style is a way to print text; the names say what for.
type style uint8

const (
	plain   style = iota
	heading       // bold
	alarm         // somebody asked
	doubt         // it cannot be told
	aside         // not needed for the answer
)

// code is the SGR parameter of a style (ECMA-48 §8.3.117).
func (s style) code() string {
	return [...]string{"", "1", "1;33", "33", "2"}[s]
}

// page lays out lines of text. Widths count runes.
type page struct {
	b     strings.Builder
	width int
	color bool
}

// paint puts a style around text that is already cut and padded.
func (p *page) paint(s style, text string) string {
	if !p.color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + s.code() + "m" + text + "\x1b[0m"
}

func (p *page) blank() { p.b.WriteByte('\n') }

// line writes one line as it is.
func (p *page) line(indent int, s style, text string) {
	p.b.WriteString(strings.Repeat(" ", indent))
	p.b.WriteString(p.paint(s, text))
	p.b.WriteByte('\n')
}

// para writes text wrapped between an indent and the width of the page.
func (p *page) para(indent int, s style, text string) {
	for _, l := range wrap(text, p.width-indent) {
		p.line(indent, s, l)
	}
}

// label is the width of the names of fields, and the space behind them.
const label = 14

// field writes a named value that may take several paragraphs.
func (p *page) field(name string, paras ...string) {
	for _, text := range paras {
		for _, l := range wrap(text, p.width-2-label) {
			pad := strings.Repeat(" ", label-utf8.RuneCountInString(name))
			p.b.WriteString("  " + p.paint(aside, name) + pad + l + "\n")
			name = ""
		}
	}
}

// item writes a point of a list, and what belongs to it further in.
func (p *page) item(text string, sub ...string) {
	mark := "- "
	for _, l := range wrap(text, p.width-4) {
		p.line(2, plain, mark+l)
		mark = "  "
	}
	for _, text := range sub {
		p.para(6, plain, text)
	}
}

// least is the narrowest that text is wrapped to; on a narrower page it sticks
// out.
const least = 24

// wrap breaks text between words. A word that is too long has a line of its own
// and is not broken.
func wrap(text string, width int) []string {
	width = max(width, least)
	var out []string
	var l strings.Builder
	n := 0
	for word := range strings.FieldsSeq(text) {
		w := utf8.RuneCountInString(word)
		if n > 0 && n+1+w > width {
			out = append(out, l.String())
			l.Reset()
			n = 0
		}
		if n > 0 {
			l.WriteByte(' ')
			n++
		}
		l.WriteString(word)
		n += w
	}
	if n > 0 {
		out = append(out, l.String())
	}
	return out
}
