package report

import (
	"fmt"
	"strings"

	"whoasked/attribute"
)

// Bounds of what text tells about causes.
const (
	shownChanges = 3 // endpoints
	shownCauses  = 2 // of each; whoasked explain tells the others
)

func causes(list []attribute.Cause) []causeMember {
	var out []causeMember
	for _, c := range list {
		out = append(out, causeMember{ID: c.ID, Title: c.Title, Why: c.Why, Strength: c.Strength.String(), If: c.If, Fix: c.Fix, Verify: c.Verify})
	}
	return out
}

// agrees is nil where it cannot be told.
func agrees(a *attribute.Asker) *bool {
	if a.Agrees == attribute.Unknown {
		return nil
	}
	yes := a.Agrees == attribute.Yes
	return &yes
}

// change writes what may make endpoints ask, and what to change.
func (t *Text) change(p *page) {
	var askers, others []*counted
	for _, of := range []*roll{&t.asked, &t.probedYes} {
		for i := range of.kept {
			switch a := &of.kept[i]; {
			case len(a.Causes) == 0:
			case a.Causes[0].Fallback:
				others = append(others, a)
			case len(askers) < shownChanges:
				askers = append(askers, a)
			}
		}
	}
	if len(askers) < shownChanges && len(others) > 0 {
		askers = append(askers, others[0]) // it is the same for all of them
	}
	if len(askers) == 0 {
		return
	}
	p.blank()
	p.line(0, heading, "What to change")
	for _, a := range askers {
		var also []string
		for i, c := range a.Causes {
			if i >= shownCauses {
				also = append(also, c.ID)
				continue
			}
			t.cause(p, a, &c, len(askers) > 1)
		}
		if len(also) > 0 {
			p.item("Perhaps also: " + strings.Join(also, ", ") + " (whoasked explain ID)")
		}
	}
}

func (t *Text) cause(p *page, a *counted, c *attribute.Cause, named bool) {
	title := c.Title
	if named {
		title = a.who() + ": " + title
	}
	if c.Strength == attribute.Guess {
		title += " (a guess)"
	}
	more := []string{"because " + tidy(c.Why)}
	if c.If != "" {
		more = append(more, "if: "+tidy(c.If))
	}
	for _, f := range c.Fix {
		more = append(more, "do: "+tidy(f))
	}
	more = append(more, "then: "+tidy(c.Verify))
	p.item(fmt.Sprintf("%s [%s]", tidy(title), c.ID), more...)
}
