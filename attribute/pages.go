package attribute

import (
	"net/netip"
	"time"
)

// A dialog names a host, which need not be that of the page: an image, a fetch
// or an icon of another host raises it as well. On the wire the page's host is
// one that the same browser connected to right before.

// aside is the longest from a page's connection to that of a host it refers to
// for which the one is taken to follow from the other.
const aside = 2 * time.Second

// Bounds of pages: browsers, and connections remembered for each.
const (
	maxPagers = 4096
	maxPages  = 32
)

// page is a connection of a browser that was not asked.
type page struct {
	at  time.Time
	sni string
}

// pages are those of each browser's machine.
type pages map[netip.Addr][]page

// note remembers a connection; of one machine the latest ones.
func (v pages) note(c *Connection) {
	if c.Verdict.Asked != No || c.ClientHello == nil || c.ClientHello.ServerName == "" || Browser(c.Handshake) == "" {
		return
	}
	addr := c.Person()
	list, known := v[addr]
	switch {
	case !known && len(v) == maxPagers:
		for other := range v { // any: it is only about the last seconds
			delete(v, other)
			break
		}
	case len(list) == maxPages:
		list = append(list[:0], list[1:]...)
	}
	v[addr] = append(list, page{c.Start, c.ClientHello.ServerName})
}

// before returns the name of the page that a dialog came up over, as far as the
// connections tell; empty for none.
func (v pages) before(p *Prompt) string {
	var best page
	for _, x := range v[p.Client] {
		gap := p.began.Sub(x.at)
		if x.sni != p.SNI && gap >= 0 && gap <= aside && x.at.After(best.at) {
			best = x
		}
	}
	return best.sni
}
