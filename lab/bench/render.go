package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// renderer returns how to print a result.
func renderer(format string) (func(io.Writer, *result) error, error) {
	switch format {
	case "text":
		return func(w io.Writer, r *result) error { return renderTables(w, r, textTable) }, nil
	case "markdown":
		return func(w io.Writer, r *result) error { return renderTables(w, r, markdownTable) }, nil
	case "json":
		return func(w io.Writer, r *result) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(r)
		}, nil
	}
	return nil, fmt.Errorf("format %q: it is text, markdown or json", format)
}

// table prints rows, the first being the header.
type table func(w io.Writer, rows [][]string) error

func renderTables(w io.Writer, r *result, put table) error {
	fmt.Fprintf(w, "%s · %s · medians of %d rounds (min–max)\n", r.Date.Format("2006-01-02"), r.Machine, r.Rounds)
	if r.disturbed() {
		fmt.Fprintln(w, "The machine was busy with something else: times of one tool differ by more than a factor of two.")
	}
	all := append(r.Captures[:len(r.Captures):len(r.Captures)], r.Long...)
	if r.Wrapped != nil {
		all = append(all, r.Wrapped)
	}
	for _, c := range all {
		fmt.Fprintf(w, "\n%v.\n", &c.Truth)
		if a := c.Answers; a != nil {
			fmt.Fprintf(w, "Answers: %d yes, %d no (%d resumed): all right.\n", a.Yes, a.No, a.Resumed)
		}
		if len(c.Series) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := put(w, captureRows(c)); err != nil {
			return err
		}
	}
	if len(r.Goals) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return put(w, goalRows(r.Goals))
}

func captureRows(c *capture) [][]string {
	rows := [][]string{{"tool", "wall s", "CPU s", "peak MiB", "wall, whoasked = 1", "CPU, whoasked = 1"}}
	own := &c.Series[0]
	for i := range c.Series {
		s := &c.Series[i]
		if len(s.Samples) == 0 {
			continue
		}
		wall, cpu, rss := s.wall(), s.cpu(), s.rss()
		rows = append(rows, []string{
			strings.TrimSpace(s.Tool + " " + s.Version),
			fmt.Sprintf("%.3f (%.3f–%.3f)", wall.median, wall.min, wall.max),
			fmt.Sprintf("%.3f", cpu.median),
			fmt.Sprintf("%.1f", rss.max),
			fmt.Sprintf("%.2f", wall.median/own.wall().median),
			fmt.Sprintf("%.2f", cpu.median/own.cpu().median),
		})
	}
	return rows
}

func goalRows(goals []goal) [][]string {
	rows := [][]string{{"goal", "bound", "measured", ""}}
	for _, g := range goals {
		bound, verdict := "≤", "missed"
		if g.AtLeast {
			bound = "≥"
		}
		if g.met() {
			verdict = "met"
		}
		rows = append(rows, []string{g.Text, fmt.Sprintf("%s %.4g", bound, g.Want), fmt.Sprintf("%.2f", g.Got), verdict})
	}
	return rows
}

func textTable(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	return tw.Flush()
}

func markdownTable(w io.Writer, rows [][]string) error {
	for i, r := range rows {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(r, " | ")); err != nil {
			return err
		}
		if i == 0 {
			fmt.Fprintln(w, strings.Repeat("|---", len(r))+"|")
		}
	}
	return nil
}
