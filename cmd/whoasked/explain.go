package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"whoasked/attribute"
	"whoasked/config"
)

func newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [ID]",
		Short: "List what makes endpoints ask, or explain one cause",
		Long: `explain lists the causes that answers are drawn from: settings and
circumstances that make an endpoint ask for a client certificate, or make the
request come and go. With the ID of one, as answers show it in brackets, it says
who asks, why, what to change and how to tell that it worked.`,
		Example: `  whoasked explain
  whoasked explain apim-hostname`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return causeIDs(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listCauses(cmd.OutOrStdout())
			}
			for _, r := range attribute.CauseRows() {
				if r.ID == args[0] {
					_, err := io.WriteString(cmd.OutOrStdout(), causeText(&r))
					return err
				}
			}
			err := fmt.Errorf("no cause is called %q", args[0])
			if near := config.Nearest(args[0], causeIDs()); near != "" {
				return withHint(err, "did you mean %s?", near)
			}
			return withHint(err, "whoasked explain lists them")
		},
	}
}

func causeIDs() []string {
	var ids []string
	for _, r := range attribute.CauseRows() {
		ids = append(ids, r.ID)
	}
	return ids
}

func listCauses(w io.Writer) error {
	var b strings.Builder
	group := ""
	for _, r := range attribute.CauseRows() {
		if r.Group != group {
			if group != "" {
				b.WriteString("\n")
			}
			group = r.Group
			fmt.Fprintf(&b, "%s\n", group)
		}
		fmt.Fprintf(&b, "  %-24s %s\n", r.ID, r.Title)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func causeText(r *attribute.CauseRow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n\n", r.Title, r.Because)
	fmt.Fprintf(&b, "Who asks:  %s\n", r.Who)
	fmt.Fprintf(&b, "Offered:   %s\n\nWhat to change\n", offered(r))
	for _, f := range r.Fix {
		fmt.Fprintf(&b, "  - %s\n", f)
	}
	fmt.Fprintf(&b, "\nHow to tell that it worked\n  - %s\n\nSource: %s\n", r.Verify, r.Source)
	return b.String()
}

// offered says when a row is offered.
func offered(r *attribute.CauseRow) string {
	var place, when []string
	if len(r.Kinds) > 0 {
		place = append(place, "the kind of the hop is "+strings.Join(r.Kinds, " or "))
	}
	if len(r.Hosts) > 0 {
		place = append(place, "the server name is like "+strings.Join(r.Hosts, " or "))
	}
	for _, p := range r.Ports {
		place = append(place, fmt.Sprintf("the port is %d", p))
	}
	for _, w := range r.Whens {
		when = append(when, w.String())
	}
	text := "as " + r.Strength.String()
	if len(place) > 0 {
		text += ", where " + strings.Join(place, ", or ")
	}
	if len(when) > 0 {
		text += "; asked in: " + strings.Join(when, ", ")
	}
	return text
}

// causesDoc is docs/causes.md.
func causesDoc() string {
	var b strings.Builder
	b.WriteString(`# Causes

What makes an endpoint ask for a client certificate, and what changes that. This page is made from the table that answers
are drawn from; ` + "`whoasked explain`" + ` prints the same. Do not edit it: ` + "`go test ./cmd/whoasked -run TestCausesDoc -update`" + `.

A cause is offered where the kind of a configured hop, the server name or the port points to it, and what was captured
agrees. A configured kind ranks first; a cause of strength "guess" is said to be one. Answers fill in {host}, {address},
{ip}, {port} and {name} from the capture.
`)
	group := ""
	for _, r := range attribute.CauseRows() {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s. %s\n\n- **Who asks:** %s\n- **Offered:** %s\n", r.ID, r.Title, r.Because, r.Who, strings.ReplaceAll(offered(&r), "*", `\*`))
		for _, f := range r.Fix {
			fmt.Fprintf(&b, "- **Change:** %s\n", strings.ReplaceAll(f, "<", "&lt;"))
		}
		fmt.Fprintf(&b, "- **Then:** %s\n- **Source:** %s\n", r.Verify, r.Source)
	}
	return b.String()
}
