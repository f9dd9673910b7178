package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"whoasked/attribute"
)

// Import is a hop that comes from elsewhere, and where from.
type Import struct {
	attribute.Hop
	From []string
}

// HopsFile writes a file with hops alone, each with a comment that says where it
// comes from.
func HopsFile(hops []Import) string {
	var b strings.Builder
	b.WriteString("hops:\n")
	if len(hops) == 0 {
		return "hops: []\n"
	}
	for _, h := range hops {
		for _, from := range h.From {
			fmt.Fprintf(&b, "  # %s\n", comment(from))
		}
		writeHops(&b, attribute.Hops{h.Hop})
	}
	return b.String()
}

// comment keeps text on one line.
func comment(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || 0x7f <= c && c <= 0x9f || c == 0x2028 || c == 0x2029 {
			return ' '
		}
		return c
	}, s)
}

// MergeHops puts hops into a file of settings and returns it with all else it
// holds. A hop that the file has, by its name, an address or, without one, a host
// name, keeps its name, kind and all it is told by; it gains what is new, and what
// is declared is taken from the import. Changes are what it says about that.
func MergeHops(name string, data []byte, news []Import) (file string, changes []string, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return "", nil, &Problem{Text: fmt.Sprintf("%s: %v", name, err), hint: "the file is YAML; see what it may hold with: whoasked config"}
	}
	if doc.Kind == 0 {
		return HopsFile(news), nil, nil
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return "", nil, &Problem{Text: name + ": not a file of settings"}
	}
	list := valueOf(top, "hops")
	if list == nil || list.Kind == yaml.ScalarNode {
		list = setValue(top, "hops", &yaml.Node{Kind: yaml.SequenceNode})
	}
	var raw any
	if err := list.Decode(&raw); err != nil {
		return "", nil, &Problem{Text: fmt.Sprintf("%s: hops: %v", name, err)}
	}
	old, err := readHops(raw)
	if err != nil {
		return "", nil, &Problem{Text: fmt.Sprintf("%s: hops: %v", name, err)}
	}
	if list.Kind != yaml.SequenceNode || len(old) != len(list.Content) {
		return "", nil, &Problem{Text: name + ": hops are not a list of hops", hint: "write them as whoasked config prints them"}
	}
	list.Style = 0
	taken := make([]bool, len(old))
	for _, in := range news {
		if i := match(old, taken, &in.Hop); i >= 0 {
			taken[i] = true
			changes = append(changes, update(list.Content[i], &old[i], in)...)
			continue
		}
		in.Name = unused(in.Name, old)
		list.Content = append(list.Content, nodeOf(in))
		changes = append(changes, "new: "+in.Name)
		old, taken = append(old, in.Hop), append(taken, true)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	err = errors.Join(enc.Encode(&doc), enc.Close())
	return out.String(), changes, err
}

// match finds the one hop of a file that an imported one is, -1 for none.
func match(old attribute.Hops, taken []bool, in *attribute.Hop) int {
	same := []func(*attribute.Hop) bool{
		func(h *attribute.Hop) bool { return h.Name == in.Name },
		func(h *attribute.Hop) bool {
			return slices.ContainsFunc(in.Addresses, func(a attribute.Range) bool { return covered(h.Addresses, a) })
		},
		func(h *attribute.Hop) bool {
			return (len(in.Addresses) == 0 || len(h.Addresses) == 0) &&
				slices.ContainsFunc(in.Hostnames, func(n attribute.Hostname) bool { return slices.Contains(h.Hostnames, n) })
		},
	}
	for _, is := range same {
		found := -1
		for i := range old {
			switch {
			case taken[i] || !is(&old[i]):
			case found >= 0:
				return -1 // two of them: better one hop more than a wrong one
			default:
				found = i
			}
		}
		if found >= 0 {
			return found
		}
	}
	return -1
}

// covered says whether single addresses of a list hold another one.
func covered(list []attribute.Range, a attribute.Range) bool {
	return slices.ContainsFunc(list, func(r attribute.Range) bool {
		return r.Prefix == a.Prefix && (r.Port == a.Port || r.Port == 0)
	})
}

// update changes the node of a hop of the file and says what changed.
func update(n *yaml.Node, old *attribute.Hop, in Import) []string {
	was := *old
	for _, a := range in.Addresses {
		if !covered(old.Addresses, a) {
			old.Addresses = append(slices.Clip(old.Addresses), a)
		}
	}
	for _, name := range in.Hostnames {
		if !slices.Contains(old.Hostnames, name) {
			old.Hostnames = append(slices.Clip(old.Hostnames), name)
		}
	}
	if old.Kind == "" {
		old.Kind = in.Kind
	}
	declare(old, &in.Hop)
	fresh := nodeOf(Import{Hop: *old})
	var changed []string
	for _, key := range hopKeys {
		now, before := valueOf(fresh, key), valueOf(nodeOf(Import{Hop: was}), key)
		if now == nil || before != nil && rendered(now) == rendered(before) {
			continue
		}
		setValue(n, key, now)
		changed = append(changed, key)
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key && key == "declared" {
				n.Content[i].HeadComment = comment(strings.Join(in.From, "; "))
			}
		}
	}
	if changed == nil {
		return []string{"unchanged: " + old.Name}
	}
	return []string{fmt.Sprintf("%s: %s", old.Name, strings.Join(changed, ", "))}
}

// declare takes over what an import declares; names it says nothing of keep what
// the file declares of them one by one.
func declare(old, in *attribute.Hop) {
	if in.Declared == attribute.NotDeclared && in.Otherwise == attribute.NotDeclared && len(in.ByName) == 0 {
		return
	}
	kept := old.ByName
	oldOtherwise := old.Otherwise
	old.Declared, old.ByName, old.Otherwise = in.Declared, slices.Clone(in.ByName), in.Otherwise
	var extra []attribute.NameDeclared
	for _, n := range kept {
		if !slices.Contains(in.Hostnames, n.Name) && !slices.ContainsFunc(in.ByName, func(o attribute.NameDeclared) bool { return o.Name == n.Name }) {
			extra = append(extra, n)
		}
	}
	wordOfSome := in.Declared != attribute.NotDeclared && len(in.Hostnames) < len(old.Hostnames)
	if len(extra) == 0 && oldOtherwise == attribute.NotDeclared && !wordOfSome {
		return
	}
	if in.Declared != attribute.NotDeclared { // a word, written out
		old.Declared = attribute.NotDeclared
		for _, n := range in.Hostnames {
			old.ByName = append(old.ByName, attribute.NameDeclared{Name: n, Declared: in.Declared})
		}
		if len(in.Hostnames) == 0 {
			old.Otherwise = in.Declared
		}
	}
	old.ByName = append(old.ByName, extra...)
	if old.Otherwise == attribute.NotDeclared {
		old.Otherwise = oldOtherwise
	}
}

// unused finds a name that no hop has.
func unused(name string, old attribute.Hops) string {
	out := name
	for n := 2; slices.ContainsFunc(old, func(h attribute.Hop) bool { return h.Name == out }); n++ {
		out = fmt.Sprintf("%s-%d", name, n)
	}
	return out
}

// nodeOf is a hop as a node, by way of its text.
func nodeOf(in Import) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(HopsFile([]Import{{Hop: in.Hop}})), &doc); err != nil {
		panic(err) // it is our own text
	}
	n := valueOf(doc.Content[0], "hops").Content[0]
	for i, from := range in.From {
		if i > 0 {
			n.HeadComment += "\n"
		}
		n.HeadComment += "# " + comment(from)
	}
	return n
}

func valueOf(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if strings.EqualFold(m.Content[i].Value, key) {
			return m.Content[i+1]
		}
	}
	return nil
}

func setValue(m *yaml.Node, key string, v *yaml.Node) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if strings.EqualFold(m.Content[i].Value, key) {
			m.Content[i+1] = v
			return v
		}
	}
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, v)
	return v
}

func rendered(n *yaml.Node) string {
	out, err := yaml.Marshal(n)
	if err != nil {
		return ""
	}
	return string(out)
}
