package report

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"whoasked/attribute"
	"whoasked/parse"
)

// endpointName names a server for a person: by its hop, if it has one.
func endpointName(hop string, a netip.AddrPort) string {
	if hop == "" {
		return parse.EndName(a)
	}
	return printable(hop) + " (" + parse.EndName(a) + ")"
}

// logOn is what a request is about whose TLS runs in a method of logging on.
type logOn struct {
	what string // for a person, "" for none
	by   string // the method, if what does not name it
	mark string // behind the version in a table
}

func logOnBy(method string) logOn {
	switch method {
	case "":
		return logOn{}
	case parse.MethodOpenVPN:
		return logOn{what: "a VPN log-on (OpenVPN), not a web prompt", mark: " OpenVPN"}
	}
	return logOn{what: "a network log-on (802.1X), not a web prompt", by: ", by " + strings.ToUpper(method), mark: " EAP"}
}

// logOnWords says of a request that it is no web prompt, where it is none.
func logOnWords(c *attribute.Connection) string {
	if c.Method == "" {
		return ""
	}
	return ": " + logOnBy(c.Method).what
}

// plural writes a number with its noun; the plural ends in s.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// dialogWords says of a dialog what became of it, over whose page it came, and
// which one it was there.
func dialogWords(p *attribute.Prompt) string {
	words := outcomeWords(p)
	if p.Page != "" && p.Outcome != attribute.OutcomeNoneShown {
		words += "; right after a visit to " + printable(p.Page)
	}
	if p.Nth > 1 {
		words += fmt.Sprintf("; the %s for this server at this client", ordinal(p.Nth))
	}
	return words
}

// beforeWords says when the dialogs before one were, with their names where these
// differ from its own.
func beforeWords(p *attribute.Prompt, clock func(time.Time) string) string {
	if len(p.Before) == 0 {
		return ""
	}
	var list []string
	for _, b := range p.Before {
		at := clock(b.Opened)
		if b.SNI != p.SNI {
			at += " (" + printable(b.SNI) + ")"
		}
		list = append(list, at)
	}
	return ", after " + strings.Join(list, ", ")
}

// ordinal writes the n-th.
func ordinal(n int) string {
	end := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			end = "st"
		case 2:
			end = "nd"
		case 3:
			end = "rd"
		}
	}
	return strconv.Itoa(n) + end
}

func outcomeWords(p *attribute.Prompt) string {
	switch p.Outcome {
	case attribute.OutcomeCertificate:
		return fmt.Sprintf("open %.1f s, then a certificate was chosen", p.Closed.Sub(p.Opened).Seconds())
	case attribute.OutcomeCancelled:
		return fmt.Sprintf("open %.1f s, then cancelled", p.Closed.Sub(p.Opened).Seconds())
	case attribute.OutcomeOpen:
		return "still open when the capture ended"
	case attribute.OutcomeUnknown:
		return "no answer captured: still open, or the browser had only connected in advance"
	}
	if p.Closed.IsZero() {
		return "none shown, the browser had only connected in advance"
	}
	return "none shown, the browser answered by itself"
}

// printable escapes what a terminal could take for a command, a line break or a
// change of writing direction, the way Go source does.
func printable(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// maxText is how many runes are shown of anything that comes from the wire.
const maxText = 300

// tidy makes foreign text fit to be shown, and to be kept.
func tidy(s string) string { return clip(printable(s), maxText) }

// isPlain reports whether there is nothing but printable ASCII.
func isPlain[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// clip cuts a string to n runes, the last three being dots where it was cut.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	runes := []rune(s)
	return string(runes[:max(n-3, 0)]) + "..."[:min(n, 3)]
}

// seconds rounds to milliseconds, to the number that is written with three
// decimals at most; [time.Duration.Seconds] is not always that one.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}
