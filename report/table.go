package report

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"whoasked/attribute"
	"whoasked/parse"
)

// column is one column of the table.
type column struct {
	title string
	cell  func(*Text, *row) string
	// squeeze is how hard the table must be squeezed for the column to change:
	// to the shorter cells of narrow or, where that is nil, to nothing. 0 is for
	// a column that does not change.
	squeeze int
	narrow  func(*Text, *row) string
	// worth reports whether the column tells anything about some rows; nil for
	// always.
	worth func([]row) bool
	// least is the width the column may be cut to, 0 if it must not be cut;
	// rather the one it is cut to while other columns can still be squeezed.
	least, rather int
}

// columns is the table from left to right.
var columns = [...]column{
	{title: "No.", cell: func(_ *Text, r *row) string { return strconv.FormatUint(r.id, 10) }},
	{title: "Same as", cell: sameAs, worth: someAgain},
	{title: "Time", squeeze: 1,
		cell:   func(t *Text, r *row) string { return t.clock(r.start) },
		narrow: func(t *Text, r *row) string { return strings.TrimSuffix(t.clock(r.start), r.start.Format(".000")) }},
	{title: "Capture", cell: func(_ *Text, r *row) string { return captureName(r.capture) }, worth: severalCaptures, least: 10, rather: 10},
	{title: "Client", squeeze: 2,
		cell:   func(_ *Text, r *row) string { return parse.EndName(r.client) },
		narrow: func(_ *Text, r *row) string { return parse.HostName(r.client.Addr()) }},
	{title: "Server", cell: func(_ *Text, r *row) string { return parse.EndName(r.server) }},
	{title: "Hop", cell: func(_ *Text, r *row) string { return r.hop }, worth: someHop, least: 8, rather: 8},
	{title: "Name (SNI)", cell: func(_ *Text, r *row) string { return r.name() }, least: 12, rather: 20},
	{title: "TLS", cell: func(_ *Text, r *row) string { return cmp.Or(r.version, "-") }, squeeze: 1},
	{title: "Asked", cell: func(_ *Text, r *row) string { return r.asked.String() }},
	{title: "When", cell: func(_ *Text, r *row) string { return r.when.String() }, worth: someLater, squeeze: 3},
	{title: "Reply", cell: outcome},
}

// hardest is the largest squeeze of all columns.
const hardest = 3

func severalCaptures(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return r.capture != rows[0].capture })
}

// captureName is the name of a file without what it shares with most others.
func captureName(path string) string {
	name := tidy(filepath.Base(path))
	for _, end := range []string{".gz", ".zst", ".pcap", ".pcapng", ".cap"} {
		if short := strings.TrimSuffix(name, end); short != "" {
			name = short
		}
	}
	return name
}

func someAgain(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return r.sameAs != 0 })
}

func sameAs(_ *Text, r *row) string {
	if r.sameAs == 0 {
		return ""
	}
	return strconv.FormatUint(r.sameAs, 10)
}

func someHop(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return r.hop != "" })
}

func someLater(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return r.when > attribute.InHandshake })
}

// outcome is what a request led to, or why there was none.
func outcome(_ *Text, r *row) string {
	switch {
	case r.asked == attribute.No && r.resumed:
		return "(resumed)"
	case r.same:
		return "(as above)"
	}
	return replyCell(r.reply)
}

// table writes the connections kept.
func (t *Text) table(p *page) {
	rows := t.rows.list()
	if len(rows) == 0 {
		return
	}
	for i := 1; i < len(rows); i++ {
		rows[i].same = rows[i].reason != "" && rows[i].reason == rows[i-1].reason
	}
	p.blank()
	p.line(0, heading, "Connections")
	p.para(0, aside, t.caption())
	g := t.fitting(rows, p.width)
	p.line(0, aside, g.line(0))
	for i := range rows {
		r := &rows[i]
		p.line(0, answerStyle(r.asked), g.line(i+1))
		if r.before != "" {
			p.para(5, aside, r.before)
		}
		if r.reason != "" && !r.same {
			p.para(5, doubt, "because "+r.reason)
		}
	}
	t.leftOut(p, rows)
}

// fitting is the table at the least squeeze that fits a page, cut where that is
// needed.
func (t *Text) fitting(rows []row, width int) *grid {
	for squeeze := 0; ; squeeze++ {
		g := t.grid(rows, squeeze)
		if g.fit(width, ratherWidth) {
			return g
		}
		if squeeze >= hardest-1 && g.fit(width, leastWidth) || squeeze == hardest {
			return g
		}
	}
}

// caption says how the table is ordered and what its times are.
func (t *Text) caption() string {
	text := "Asked first, then those that cannot be told, then not asked. Times are UTC"
	if t.oneDay() {
		text += t.first.UTC().Format(" on 2006-01-02")
	}
	return text + "."
}

func answerStyle(a attribute.Answer) style {
	switch a {
	case attribute.Yes:
		return alarm
	case attribute.Unknown:
		return doubt
	}
	return plain
}

// leftOut says what the table does not show.
func (t *Text) leftOut(p *page, rows []row) {
	if n := len(standIns(rows)); n > 0 {
		p.para(0, aside, fmt.Sprintf("Of the names above, %d may be a public stand-in, as clients offered Encrypted Client "+
			"Hello. Browsers do so also with servers that have none.", n))
	}
	var parts []string
	for _, a := range order {
		if n := t.rows.counts[a] - len(t.rows.rows[a]); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, [...]string{"that cannot be told", "not asked", "asked"}[a]))
		}
	}
	if len(parts) > 0 {
		p.para(0, aside, fmt.Sprintf("Not shown: %s. --rows shows more, --format json all.", strings.Join(parts, ", ")))
	}
}

// standIns returns the names that may stand for others.
func standIns(rows []row) []string {
	var out []string
	for i := range rows {
		if r := &rows[i]; r.ech && r.sni != "" && !slices.Contains(out, r.sni) {
			out = append(out, r.sni)
		}
	}
	return out
}

// grid is the text of the table: the titles, then a line for each row.
type grid struct {
	columns []column
	cells   [][]string
	widths  []int
}

// gap is what separates columns.
const gap = "  "

// grid fills the table.
func (t *Text) grid(rows []row, squeeze int) *grid {
	g := &grid{}
	for _, c := range columns {
		if c.worth != nil && !c.worth(rows) {
			continue
		}
		if c.squeeze > 0 && c.squeeze <= squeeze {
			if c.cell = c.narrow; c.cell == nil {
				continue
			}
		}
		g.columns = append(g.columns, c)
	}
	g.cells = make([][]string, len(rows)+1)
	g.widths = make([]int, len(g.columns))
	for i := range g.cells {
		g.cells[i] = make([]string, len(g.columns))
		for k, c := range g.columns {
			text := c.title
			if i > 0 {
				text = c.cell(t, &rows[i-1])
			}
			g.cells[i][k] = text
			g.widths[k] = max(g.widths[k], utf8.RuneCountInString(text))
		}
	}
	return g
}

func leastWidth(c column) int  { return c.least }
func ratherWidth(c column) int { return c.rather }

// fit narrows the columns that may be cut to something, the widest first, until
// a line fits or nothing is left to cut, which it tells.
func (g *grid) fit(width int, to func(column) int) bool {
	for g.total() > width {
		widest := -1
		for k, c := range g.columns {
			if least := to(c); least > 0 && g.widths[k] > least && (widest < 0 || g.widths[k] > g.widths[widest]) {
				widest = k
			}
		}
		if widest < 0 {
			return false
		}
		g.widths[widest]--
	}
	return true
}

func (g *grid) total() int {
	n := len(gap) * (len(g.widths) - 1)
	for _, w := range g.widths {
		n += w
	}
	return n
}

// line lays out one line; the last column needs no padding.
func (g *grid) line(i int) string {
	var b strings.Builder
	for k, text := range g.cells[i] {
		text = clip(text, g.widths[k])
		b.WriteString(text)
		b.WriteString(strings.Repeat(" ", g.widths[k]-utf8.RuneCountInString(text)))
		b.WriteString(gap)
	}
	return strings.TrimRight(b.String(), " ")
}
