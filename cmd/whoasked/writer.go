package main

import (
	"fmt"

	"github.com/rs/zerolog"

	"whoasked/attribute"
	"whoasked/config"
	"whoasked/report"
)

// newWriter makes the report that the settings ask for.
func newWriter(c *config.Config, out *output) (report.Writer, error) {
	color := !c.NoColor && colors(out.File)
	switch c.Format {
	case "text":
		return report.NewText(out, report.TextOptions{
			Color: color, Width: columns(out.File), Rows: c.Rows, Lists: lists(c.Only),
		}), nil
	case "json":
		return listed{report.NewJSON(out), lists(c.Only)}, nil
	case "log":
		level, err := zerolog.ParseLevel(c.Log.Level)
		if err != nil {
			return nil, err
		}
		o := report.LogOptions{Level: level, Console: isTerminal(out.File), Color: color}
		return listed{report.NewLog(out, o), lists(c.Only)}, nil
	}
	return nil, fmt.Errorf("no report for format %q", c.Format)
}

// lists returns the answers whose connections are listed one by one.
func lists(only string) func(attribute.Answer) bool {
	switch only {
	case "asked":
		return func(a attribute.Answer) bool { return a == attribute.Yes }
	case "unknown":
		return func(a attribute.Answer) bool { return a == attribute.Unknown }
	}
	return func(attribute.Answer) bool { return true }
}

// listed is a report that is told of some connections only.
type listed struct {
	report.Writer
	lists func(attribute.Answer) bool
}

func (l listed) Connection(c *attribute.Connection) error {
	if !l.lists(c.Verdict.Asked) {
		return nil
	}
	return l.Writer.Connection(c)
}
