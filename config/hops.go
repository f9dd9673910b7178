package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"whoasked/attribute"
)

// knownKinds are hopKinds and those that causes are told by.
func knownKinds() []string {
	kinds := slices.Clone(hopKinds)
	for _, r := range attribute.CauseRows() {
		kinds = append(kinds, r.Kinds...)
	}
	return kinds
}

// hopKinds are the kinds that docs and reports know; others are fine too.
var hopKinds = []string{
	"client-proxy", "cdn", "waf", "appgw", "lb", "gateway", "apim", "ingress", "mesh", "relay", "server", "backend",
}

// hopKeys are the keys of a hop in the file.
var hopKeys = []string{"name", "kind", "addresses", "hostnames", "certificates", "declared"}

var hopList = kind[attribute.Hops]{list: true, read: readHops}

// readHops reads the list of maps of a file, or NAME=WHAT pairs.
func readHops(raw any) (attribute.Hops, error) {
	items, ok := raw.([]any)
	if !ok {
		pairs, err := words(raw)
		if err != nil {
			return nil, errors.New("want a list of hops, each with a name and addresses, hostnames or certificates")
		}
		return hopPairs(pairs)
	}
	var hops attribute.Hops
	for i, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("item %d: want a hop with a name and addresses, hostnames or certificates", i+1)
		}
		h, err := readHop(m)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i+1, err)
		}
		for _, other := range hops {
			if other.Name == h.Name {
				return nil, fmt.Errorf("item %d: the name %q is taken by an earlier hop; put all of an endpoint in one", i+1, h.Name)
			}
		}
		hops = append(hops, h)
	}
	return hops, nil
}

func readHop(m map[string]any) (attribute.Hop, error) {
	var h attribute.Hop
	for key := range m {
		if !contains(hopKeys, key) {
			return h, fmt.Errorf("unknown key %q%s", key, didYouMean(key, hopKeys))
		}
	}
	var okName, okKind bool
	h.Name, okName = optionalWord(m["name"])
	h.Kind, okKind = optionalWord(m["kind"])
	if !okName || !okKind {
		return h, errors.New("want one word for name and for kind")
	}
	if err := checkName(h.Name); err != nil {
		return h, err
	}
	if err := readDeclared(&h, m["declared"]); err != nil {
		return h, fmt.Errorf("declared of %q: %w", h.Name, err)
	}
	for _, part := range []struct {
		key string
		add func(*attribute.Hop, string) error
	}{
		{"addresses", addAddress}, {"hostnames", addHostname}, {"certificates", addCertificate},
	} {
		if m[part.key] == nil {
			continue
		}
		items, err := words(m[part.key])
		if err != nil {
			return h, fmt.Errorf("%s of %q: %w", part.key, h.Name, err)
		}
		for _, item := range items {
			if err := part.add(&h, item); err != nil {
				return h, fmt.Errorf("%s of %q: %w", part.key, h.Name, err)
			}
		}
	}
	if len(h.Addresses)+len(h.Hostnames)+len(h.Certificates) == 0 {
		return h, fmt.Errorf("%q has nothing to tell it by; want addresses, hostnames or certificates", h.Name)
	}
	return h, nil
}

// readDeclared reads one word for a hop, or a map of one for each name. A missing
// value is nothing declared.
func readDeclared(h *attribute.Hop, raw any) error {
	if raw == nil {
		return nil
	}
	names, byName := raw.(map[string]any)
	if !byName {
		var err error
		h.Declared, err = declaredWord(raw)
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		d, err := declaredWord(names[key])
		if err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if key == attribute.DefaultName {
			h.Otherwise = d
			continue
		}
		name, err := attribute.ParseHostname(key)
		if err != nil {
			return err
		}
		h.ByName = append(h.ByName, attribute.NameDeclared{Name: name, Declared: d})
	}
	return nil
}

// declaredWord takes a bare off, which may be the boolean false in YAML; none of
// the other words is one.
func declaredWord(raw any) (attribute.Declared, error) {
	if off, isBool := raw.(bool); isBool && !off {
		raw = "off"
	}
	text, ok := word(raw)
	if !ok {
		return attribute.NotDeclared, errors.New("want off, optional, required or passthrough, or one of them for each name")
	}
	return attribute.ParseDeclared(text)
}

// hopPairs reads the short form; pairs of one name make one hop.
func hopPairs(pairs []string) (attribute.Hops, error) {
	var hops attribute.Hops
	index := make(map[string]int)
	for _, pair := range pairs {
		name, what, ok := strings.Cut(pair, "=")
		if !ok || what == "" {
			return nil, fmt.Errorf("%q is not a pair such as gateway=198.18.1.30:443", pair)
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		at, known := index[name]
		if !known {
			at = len(hops)
			index[name] = at
			hops = append(hops, attribute.Hop{Name: name})
		}
		if err := addAny(&hops[at], what); err != nil {
			return nil, err
		}
	}
	return hops, nil
}

// addAny takes what looks like a fingerprint for one, then what reads as an
// address; the rest has to be a host name.
func addAny(h *attribute.Hop, what string) error {
	if addCertificate(h, what) == nil || addAddress(h, what) == nil || addHostname(h, what) == nil {
		return nil
	}
	return fmt.Errorf("%q is neither an address, nor a host name, nor a SHA-256 fingerprint", what)
}

func addAddress(h *attribute.Hop, s string) error {
	r, err := addressRange(s)
	if err == nil {
		h.Addresses = append(h.Addresses, r)
	}
	return err
}

func addHostname(h *attribute.Hop, s string) error {
	name, err := attribute.ParseHostname(s)
	if err == nil {
		h.Hostnames = append(h.Hostnames, name)
	}
	return err
}

func addCertificate(h *attribute.Hop, s string) error {
	digest, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(digest) != 32 {
		return fmt.Errorf("%q is not a SHA-256 fingerprint of 64 hexadecimal digits", s)
	}
	h.Certificates = append(h.Certificates, [32]byte(digest))
	return nil
}

// optionalWord is word, with a missing value for the empty word.
func optionalWord(raw any) (string, bool) {
	if raw == nil {
		return "", true
	}
	return word(raw)
}

// checkName keeps names fit for one line of any output.
func checkName(s string) error {
	if s == "" {
		return errors.New("a hop without a name")
	}
	if len(s) > 64 {
		return fmt.Errorf("the name %.20q… is longer than 64 bytes", s)
	}
	for _, c := range s {
		if c < ' ' || 0x7f <= c && c <= 0x9f {
			return fmt.Errorf("the name %q holds a control character", s)
		}
	}
	return nil
}
