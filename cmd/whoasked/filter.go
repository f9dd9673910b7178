package main

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"whoasked/attribute"
	"whoasked/config"
)

// filter says which connections are looked at. Everything reported, counts and
// dialogs included, is about those alone.
type filter struct {
	sni            []string // globs in lower case
	client, server []attribute.Range
}

// keeps says whether a connection passes: each list that is not empty has to
// hold something that fits.
func (f *filter) keeps(c *attribute.Connection) bool {
	return within(f.client, c.Client) && within(f.server, c.Server) && f.named(c)
}

func within(ranges []attribute.Range, a netip.AddrPort) bool {
	return len(ranges) == 0 || slices.ContainsFunc(ranges, func(r attribute.Range) bool { return r.Contains(a) })
}

func (f *filter) named(c *attribute.Connection) bool {
	if len(f.sni) == 0 {
		return true
	}
	if c.ClientHello == nil {
		return false
	}
	name := strings.ToLower(c.ClientHello.ServerName)
	return slices.ContainsFunc(f.sni, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}

func newFilter(c *config.Config) filter {
	return filter{sni: c.SNI, client: c.Client, server: c.Server}
}
