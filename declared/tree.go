package declared

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// node is a value of a JSON document and where it stands. What the resource
// manager puts into "properties", az lifts out; a node has both alike.
type node struct {
	path string
	v    any
	odd  func(path, want string) // told of values that are not what is wanted
}

func looksLikeJSON(data []byte) bool {
	d := bytes.TrimSpace(data)
	return len(d) > 0 && (d[0] == '{' || d[0] == '[' && json.Valid(d))
}

func parseJSON(data []byte, odd func(path, want string)) (node, error) {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return node{}, fmt.Errorf("not whole JSON: %w", err)
	}
	return node{"", v, odd}, nil
}

// get returns a member, whatever the case of its name: az writes privateIpAddresses
// where the resource manager writes privateIPAddresses. Null is no member.
func (n node) get(key string) node {
	as[map[string]any](n, "object")
	for _, part := range []string{"", "properties"} {
		m, ok := n.v.(map[string]any)
		if ok && part != "" {
			m, ok = m[part].(map[string]any)
		}
		if !ok {
			continue
		}
		if v := m[key]; v != nil {
			return node{n.at(key), v, n.odd}
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if strings.EqualFold(k, key) && m[k] != nil {
				return node{n.at(k), m[k], n.odd}
			}
		}
	}
	return node{n.at(key), nil, n.odd}
}

func (n node) at(key string) string {
	if n.path == "" {
		return key
	}
	return n.path + "." + key
}

func (n node) there() bool { return n.v != nil }

// as returns the value as what it is wanted for; another one is none, and told of.
func as[T any](n node, want string) (T, bool) {
	v, ok := n.v.(T)
	if !ok && n.there() {
		n.odd(n.path, want)
	}
	return v, ok
}

func (n node) text() string {
	s, _ := as[string](n, "string")
	return s
}

func (n node) flag() (value, known bool) { return as[bool](n, "boolean") }

func (n node) number() int {
	f, _ := as[float64](n, "number")
	return int(f)
}

func (n node) items() []node {
	list, _ := as[[]any](n, "array")
	out := make([]node, len(list))
	for i, v := range list {
		out[i] = node{fmt.Sprintf("%s[%d]", n.path, i), v, n.odd}
	}
	return out
}
