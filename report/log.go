package report

import (
	"fmt"
	"io"
	"time"

	"github.com/rs/zerolog"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/parse"
)

// LogOptions says how a Log writes. The zero value writes JSON of all levels.
type LogOptions struct {
	// Level is the least level written.
	Level zerolog.Level
	// Console writes lines for a person at a terminal instead of JSON; Color
	// has them coloured.
	Console, Color bool
}

// Log writes one line an answer: at level warn where somebody asked, else at
// info. Fields are called as in JSON; "time" is when it happened in the
// capture. A line is handed to w in one Write, as soon as its answer is there.
type Log struct {
	log  zerolog.Logger
	sink *sink
	// last is the latest time seen, for what happened at no time of its own.
	last time.Time
}

// NewLog returns a Log that writes to w.
func NewLog(w io.Writer, o LogOptions) *Log {
	s := &sink{w: w}
	var out io.Writer = s
	if o.Console {
		out = zerolog.ConsoleWriter{
			Out: s, NoColor: !o.Color,
			FormatTimestamp: consoleTime,
			FieldsExclude:   []string{"kind", "evidence"},
			FieldsOrder:     []string{"client", "server", "hop", "sni", "version", "asked", "basis", "when", "reply", "reason"},
		}
	}
	return &Log{log: zerolog.New(out).Level(o.Level), sink: s}
}

// consoleTime shortens a timestamp, which may be missing, for a terminal.
func consoleTime(v any) string {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

// Connection writes a line about one connection. Its time is that of the
// request, where there was one, else that of its beginning.
func (l *Log) Connection(c *attribute.Connection) error {
	l.seen(c.Last)
	v := &c.Verdict
	level, at := zerolog.InfoLevel, c.Start
	if v.Asked == attribute.Yes {
		level = zerolog.WarnLevel
		if v.When != attribute.AfterHandshake || v.Basis == attribute.Unsealed {
			at = v.AskedAt
		}
	}
	e := l.event(level, "connection", at)
	if e == nil {
		return l.sink.err
	}
	e.Uint64("id", c.ID)
	str(e, "capture", c.Capture)
	str(e, "via", c.Flow.Via)
	if c.SameAs != 0 {
		e.Uint64("same_as", c.SameAs)
	}
	if t := c.Transport(); t != "tcp" {
		str(e, "transport", t)
	}
	str(e, "context", c.Method)
	e.Str("client", parse.EndName(c.Client)).Str("server", parse.EndName(c.Server))
	str(e, "hop", c.Hop)
	str(e, "preamble", c.Preamble)
	if c.Proxied != nil {
		e.Stringer("proxied_client", c.Proxied.Source).Stringer("proxied_server", c.Proxied.Dest)
	}
	str(e, "target", c.Target)
	str(e, "tunnel", c.Tunnel)
	if c.Inside != 0 {
		e.Uint64("inside", c.Inside)
	}
	if c.ClientHello != nil {
		str(e, "sni", c.ClientHello.ServerName)
	}
	if c.ServerHello != nil {
		str(e, "version", c.ServerHello.Version.String())
	}
	e.Stringer("asked", v.Asked)
	str(e, "basis", v.Basis.String())
	str(e, "when", v.When.String())
	if v.Resumed {
		e.Bool("resumed", true)
	}
	if len(v.Evidence) > 0 {
		a := zerolog.Arr()
		for _, ev := range v.Evidence {
			a.Str(tidy(ev.Rule + ": " + ev.Text))
		}
		e.Array("evidence", a)
	}
	str(e, "reason", v.Reason)
	if v.Asked == attribute.Yes {
		e.Stringer("reply", v.Reply).Stringer("required", v.Required)
	}
	str(e, "community_id", c.Flow.CommunityID(0))
	e.Msg(sentence(c))
	return l.sink.err
}

// sentence tells a verdict in one sentence.
func sentence(c *attribute.Connection) string {
	who := endpointName(c.Hop, c.Server)
	switch v := &c.Verdict; {
	case v.Asked == attribute.Yes:
		return endpointName(c.Hop, v.By) + " asked for a client certificate" + logOnWords(c)
	case v.Asked == attribute.No && v.Resumed:
		return who + " resumed a session, which leaves no place to ask"
	case v.Asked == attribute.No:
		return who + " did not ask for a client certificate"
	}
	return "cannot tell whether " + who + " asked for a client certificate"
}

// Prompt writes a line about a dialog, at level warn if one was or may have been shown.
func (l *Log) Prompt(p *attribute.Prompt) error {
	level := zerolog.WarnLevel
	if p.Outcome == attribute.OutcomeNoneShown {
		level = zerolog.InfoLevel
	}
	l.seen(p.Closed)
	e := l.event(level, "prompt", p.Opened)
	if e == nil {
		return l.sink.err
	}
	e.Str("asked_by", parse.EndName(p.AskedBy))
	str(e, "sni", p.SNI)
	e.Str("client", parse.HostName(p.Client))
	if shown(p.Outcome) {
		e.Float64("seconds", seconds(p.Closed.Sub(p.Opened)))
	}
	e.Stringer("when", p.When).Stringer("outcome", p.Outcome).Uints64("connections", p.Connections)
	str(e, "page", p.Page)
	if p.Nth > 0 {
		e.Int("nth", p.Nth)
	}
	if len(p.Before) > 0 {
		before := zerolog.Arr()
		for _, b := range p.Before {
			before.Str(stamp(b.Opened))
		}
		e.Array("before", before)
	}
	str(e, "evidence", p.Evidence)
	what := "certificate dialog at "
	if p.Outcome == attribute.OutcomeUnknown {
		what = "possible " + what
	}
	e.Msg(what + parse.HostName(p.Client) + " for " + parse.EndName(p.AskedBy) + ": " + dialogWords(p))
	return l.sink.err
}

// Asker writes a line about an endpoint that asked.
func (l *Log) Asker(a *attribute.Asker) error {
	l.seen(a.Last)
	if silent(a) {
		return l.sink.err
	}
	e := l.event(zerolog.InfoLevel, "asker", a.Last)
	if e == nil {
		return l.sink.err
	}
	e.Str("asked_by", parse.EndName(a.Addr))
	str(e, "name", a.Hop)
	str(e, "sni", a.SNI)
	if a.Unread > 0 {
		e.Int("sni_unread", a.Unread)
	}
	if a.Asked > a.Passes {
		e.Stringer("place", a.Place)
	}
	e.Int("full", a.Full).Int("asked", a.Asked).Int("not_asked", a.NotAsked)
	e.Int("resumed", a.Resumed).Int("unknown", a.Unknown).Int("prompts", a.Prompts)
	str(e, "declared", a.Declared.String())
	str(e, "declared_of", a.DeclaredOf)
	if a.Agrees != attribute.Unknown {
		e.Bool("agrees", a.Agrees == attribute.Yes)
	}
	str(e, "agreement", a.Agreement())
	if len(a.Signs) > 0 {
		e.Strs("signs", signKinds(a.Signs))
	}
	str(e, "basis", a.Basis().String())
	asks(e, a)
	if len(a.Causes) > 0 {
		ids := make([]string, len(a.Causes))
		for i := range a.Causes {
			ids[i] = a.Causes[i].ID
		}
		e.Strs("causes", ids)
	}
	text := fmt.Sprintf("%s asked in %d of %s", endpointName(a.Hop, a.Addr), a.Asked, plural(a.Full, "full handshake"))
	if c := (&counted{Asker: *a}); c.Probe != nil {
		text += "; " + c.probeWords()
	}
	e.Msg(tidy(text))
	return l.sink.err
}

// Note writes a line about the capture, at level warn if something can be done
// about it.
func (l *Log) Note(n capture.Note) error {
	level := zerolog.InfoLevel
	if n.Hint != "" {
		level = zerolog.WarnLevel
	}
	if e := l.event(level, "note", l.last); e != nil {
		str(e, "note", n.Kind)
		e.Int64("count", n.Count)
		str(e, "hint", n.Hint)
		e.Msg(tidy(n.Text))
	}
	return l.sink.err
}

// Close returns the first error of any line.
func (l *Log) Close() error { return l.sink.err }

// event begins a line, nil if its level is not written.
func (l *Log) event(level zerolog.Level, kind string, at time.Time) *zerolog.Event {
	e := l.log.WithLevel(level)
	if e != nil && datable(at) {
		e.Str("time", stamp(at))
	}
	return e.Str("kind", kind)
}

func (l *Log) seen(t time.Time) {
	if t.After(l.last) {
		l.last = t
	}
}

func str(e *zerolog.Event, k, v string) {
	if v != "" {
		e.Str(k, tidy(v))
	}
}

// sink remembers the first error of a writer, which zerolog would print to
// standard error, and writes nothing behind it.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err == nil {
		_, s.err = s.w.Write(p)
	}
	return len(p), nil
}
