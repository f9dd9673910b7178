package report

import (
	"strings"

	"whoasked/attribute"
	"whoasked/parse"
)

// Comment tells a verdict and what made it in a few lines, as a comment on a
// packet.
func Comment(c *attribute.Connection) string {
	v := &c.Verdict
	lines := []string{sentence(c), "client " + parse.EndName(c.Client) + ", server " + parse.EndName(c.Server)}
	if name := serverName(c); name != "" {
		lines[1] += ", name " + name
	}
	if v.Asked == attribute.Yes {
		lines = append(lines, "asked: "+v.Asked.String()+", known as "+v.Basis.String()+"; reply: "+v.Reply.String()+"; required: "+v.Required.String())
	} else {
		lines = append(lines, "asked: "+v.Asked.String())
	}
	if v.Reason != "" {
		lines = append(lines, "reason: "+v.Reason)
	}
	for _, e := range v.Evidence {
		lines = append(lines, e.Rule+": "+e.Text)
	}
	for i := range lines {
		lines[i] = tidy(lines[i])
	}
	return strings.Join(lines, "\n")
}
