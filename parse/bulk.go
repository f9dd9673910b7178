package parse

// Bulk reports whether of all that a side may still send only records matter that are
// none of application data, and how many bytes the next record header is away. It is so
// in TLS ≤ 1.2 once the side has sent application data, until a handshake begins inside
// the connection; but not where keys open records, which takes their numbers.
func (c *Conn) Bulk(from Side) (rest int, ok bool) {
	d := &c.dirs[from]
	h := c.h
	switch {
	case h.ServerHello == nil || c.tls13() || h.Flow.Proto.Datagrams():
		return 0, false
	case d.mode != synced || d.body > 0 || d.hdrN > 0 || d.gap || d.tds.on || d.vpn.on:
		return 0, false
	case !d.sealed || !d.finished || h.Sides[from].AppData == 0:
		return 0, false
	case c.inner != nil || h.Unsealing || h.Keys != KeysNone || c.Bodies():
		return 0, false
	}
	if n := len(h.Rounds); n > 0 && h.Rounds[n-1].open {
		return 0, false
	}
	return d.skip, true
}
