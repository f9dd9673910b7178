package declared

import (
	"path"
	"regexp"
	"strings"
)

// directive is one of nginx, with the block behind it.
type directive struct {
	name  string
	args  []string
	block []directive
	file  string
	line  int
}

// fileMark is the line that nginx -T puts in front of each file.
var fileMark = regexp.MustCompile(`(?m)^# configuration file (\S.*):\r?$`)

// nginxFiles parts the output of nginx -T into files, the first being the main one.
// A bare configuration is one file called name.
func nginxFiles(name, text string) (order []string, files map[string]string) {
	files = make(map[string]string)
	marks := fileMark.FindAllStringSubmatchIndex(text, -1)
	if marks == nil {
		return []string{name}, map[string]string{name: text}
	}
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		file := text[m[2]:m[3]]
		if _, twice := files[file]; !twice {
			order = append(order, file)
			files[file] = strings.TrimPrefix(text[m[1]:end], "\n")
		}
	}
	return order, files
}

// nginxParser turns one file into directives.
type nginxParser struct {
	text, file string
	at, line   int
	start      int  // line of the word read last
	left       *int // pieces that may still be read
	broken     string
}

// block reads directives up to a closing brace, or to the end at depth 0.
func (p *nginxParser) block(depth int) []directive {
	var out []directive
	for p.broken == "" {
		d := directive{file: p.file}
		end := p.words(&d)
		switch end {
		case '{':
			switch {
			case depth >= maxDepth:
				p.broken = "blocks are nested too deeply"
				return out
			case strings.HasSuffix(d.name, "_by_lua_block"):
				p.skipCode()
			default:
				d.block = p.block(depth + 1)
			}
		case '}':
			if depth == 0 {
				p.broken = "a closing brace too many"
			}
			return out
		case 0:
			if depth > 0 && p.broken == "" {
				p.broken = "a block is not closed"
			}
			return out
		}
		if *p.left--; *p.left < 0 {
			p.broken = "too long; the rest is left out"
			return out
		}
		if d.name != "" {
			out = append(out, d)
		}
	}
	return out
}

// words reads the name and arguments of a directive and returns what ended it:
// ';', '{', '}', or 0 for the end of the text.
func (p *nginxParser) words(d *directive) byte {
	for {
		word, quoted, end := p.word()
		if word != "" || quoted {
			if d.name == "" && len(d.args) == 0 {
				d.name, d.line = word, p.start
			} else {
				d.args = append(d.args, word)
			}
		}
		if end != ' ' {
			return end
		}
	}
}

// word reads up to what ends a word: ' ' stands for any space.
func (p *nginxParser) word() (word string, quoted bool, end byte) {
	var b strings.Builder
	p.start = p.line
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == '\n' || c == ' ' || c == '\t' || c == '\r':
			if c == '\n' {
				p.line++
			}
			return b.String(), quoted, ' '
		case c == ';' || c == '}' || c == '{' && !strings.HasSuffix(b.String(), "$"):
			return b.String(), quoted, c
		case c == '#' && b.Len() == 0 && !quoted:
			if n := strings.IndexByte(p.text[p.at:], '\n'); n >= 0 {
				p.at += n
			} else {
				p.at = len(p.text)
			}
		case (c == '"' || c == '\'') && b.Len() == 0 && !quoted:
			quoted = true
			p.quoted(c, &b)
		case c == '\\' && p.at < len(p.text):
			if !strings.ContainsRune("\"' ;{}#\t", rune(p.text[p.at])) {
				b.WriteByte(c) // as in an expression
			}
			b.WriteByte(p.text[p.at])
			p.at++
		case c == '{': // of ${name}
			n := strings.IndexByte(p.text[p.at:], '}')
			if n < 0 {
				p.broken = "a variable is not closed"
				return b.String(), quoted, 0
			}
			b.WriteString("{" + p.text[p.at:p.at+n+1])
			p.at += n + 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), quoted, 0
}

// quoted reads up to the closing quote.
func (p *nginxParser) quoted(quote byte, b *strings.Builder) {
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == quote:
			return
		case c == '\\' && p.at < len(p.text) && (p.text[p.at] == quote || p.text[p.at] == '\\'):
			c = p.text[p.at]
			p.at++
		case c == '\n':
			p.line++
		}
		b.WriteByte(c)
	}
	p.broken = "a quote is not closed"
}

// skipCode passes over a block of Lua, by the braces outside of its short strings
// and comments.
func (p *nginxParser) skipCode() {
	for depth := 1; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '\n':
			p.line++
		case '"', '\'':
			for p.at++; p.at < len(p.text) && p.text[p.at] != c && p.text[p.at] != '\n'; p.at++ {
				if p.text[p.at] == '\\' {
					p.at++
				}
			}
			if p.at < len(p.text) && p.text[p.at] == '\n' {
				p.line++
			}
		case '-':
			if strings.HasPrefix(p.text[p.at:], "--") {
				p.at += max(strings.IndexByte(p.text[p.at:], '\n')-1, 1)
			}
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				p.at++
				return
			}
		}
	}
	p.broken = "a block is not closed"
}

// includes puts files in the place of the directives that include them. They are
// looked up beside the main file, as nginx does, and each at most once in a row.
func (r *reader) includes(list []directive, files map[string][]directive, dir string, depth int, left *int) []directive {
	var out []directive
	for _, d := range list {
		if *left--; *left < 0 {
			r.note(r.name, "its includes make it too long; the rest is left out")
			return out
		}
		if d.name != "include" || len(d.args) != 1 {
			d.block = r.includes(d.block, files, dir, depth, left)
			out = append(out, d)
			continue
		}
		pattern := d.args[0]
		if !path.IsAbs(pattern) {
			pattern = path.Join(dir, pattern)
		}
		found := false
		*left -= len(files) / 8 // what looking it up costs
		for _, name := range sortedKeys(files) {
			ok, err := path.Match(pattern, name)
			if err != nil || !ok {
				continue
			}
			found = true
			if depth < maxDepth {
				out = append(out, r.includes(files[name], files, dir, depth+1, left)...)
			}
		}
		if !found && !strings.ContainsAny(pattern, "*?[") {
			r.note(d.place(), "includes %.200q, which is not in the export; nginx -T has all files", d.args[0])
		}
	}
	return out
}
