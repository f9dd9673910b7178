package attribute

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Traits are what the connections of an Asker have in common, as far as causes
// are told by it. Connections sighted again count once, as first seen.
type Traits struct {
	// Handshake, Renegotiation and Later count asked connections by When.
	Handshake, Renegotiation, Later int
	// Asked12 and Asked13 count full handshakes that were asked, by version;
	// Clear12 and Clear13 those that were not.
	Asked12, Asked13, Clear12, Clear13 int
	// Legible counts requests that were read, Nameless those of them that named
	// no authority. Authorities are the first few named.
	Legible, Nameless int
	Authorities       []string
	// Refused counts connections that TLS ended for want of a certificate.
	Refused int
	// Presented and Without count clients' replies with and without a certificate.
	Presented, Without int
	// AskedIssuers and ClearIssuers are issuers of the server's certificate,
	// where it could be read, in full handshakes asked and not asked.
	AskedIssuers, ClearIssuers []string
	// Names are those that the server's certificate stands for.
	Names []string
	// H2 counts connections of which HTTP/2 is known to have been chosen.
	H2 int
	// The first and last full handshake asked, and not asked.
	FirstAsked, LastAsked, FirstClear, LastClear time.Time
	// Unshown counts dialogs that a browser answered by itself, Straight requests
	// that it so answered on the first connection.
	Unshown, Straight int
	// Aside counts dialogs right after a visit of the same browser to another
	// host, one of Pages, that did not ask.
	Aside int
	Pages []string
	// Clients are the first few that were asked, or not asked.
	Clients []netip.Addr
}

// Bounds of Traits, in entries a list.
const (
	maxTraitWords = 4
	maxTraitNames = 16
)

// together reports whether clients of the one go to the other as well, as far as the
// first few show it. By IPv4 and IPv6 one client has different addresses.
func together(a, b *Asker) bool {
	if a.Addr.Addr().Is4() != b.Addr.Addr().Is4() || len(a.Traits.Clients) == maxTraitNames && len(b.Traits.Clients) == maxTraitNames {
		return true
	}
	return slices.ContainsFunc(a.Traits.Clients, func(c netip.Addr) bool { return slices.Contains(b.Traits.Clients, c) })
}

// note takes a connection into account.
func (t *Traits) note(c *Connection) {
	v := &c.Verdict
	if v.Asked == Unknown || v.Asked == No && v.Resumed {
		return
	}
	keep(&t.Clients, c.Client.Addr(), maxTraitNames)
	for _, cert := range c.ServerCerts()[:min(1, len(c.ServerCerts()))] {
		for _, n := range cert.Names {
			keep(&t.Names, strings.ToLower(n), maxTraitNames)
		}
		if v.Asked == Yes {
			keep(&t.AskedIssuers, cert.Issuer, maxTraitWords)
		} else {
			keep(&t.ClearIssuers, cert.Issuer, maxTraitWords)
		}
	}
	if c.ServerHello != nil && c.ServerHello.ALPN == "h2" {
		t.H2++
	}
	tls13 := c.ServerHello != nil && c.ServerHello.Version.IsTLS13()
	if v.Asked == No {
		count(&t.Clear12, &t.Clear13, tls13)
		span(&t.FirstClear, &t.LastClear, c.Start)
		return
	}
	count(&t.Asked12, &t.Asked13, tls13)
	span(&t.FirstAsked, &t.LastAsked, c.Start)
	t.request(c)
}

// request takes what is known of a request and its reply into account.
func (t *Traits) request(c *Connection) {
	switch c.Verdict.When {
	case InRenegotiation:
		t.Renegotiation++
	case AfterHandshake:
		t.Later++
	default:
		t.Handshake++
	}
	if len(c.Requests) > 0 && c.Requests[0].Malformed == "" {
		t.Legible++
		names := c.Requests[0].Authorities
		if len(names) == 0 {
			t.Nameless++
		}
		for _, n := range names[:min(len(names), maxTraitWords)] {
			keep(&t.Authorities, n, maxTraitWords)
		}
	}
	switch c.Verdict.Reply {
	case ReplyCert:
		t.Presented++
	case ReplyEmpty:
		t.Without++
	}
	if c.Verdict.Required == Yes {
		t.Refused++
	}
}

func count(no, yes *int, which bool) {
	if which {
		*yes++
	} else {
		*no++
	}
}

func span(first, last *time.Time, at time.Time) {
	if first.IsZero() || at.Before(*first) {
		*first = at
	}
	if at.After(*last) {
		*last = at
	}
}

// keep adds a word to a short list of different ones.
func keep[T comparable](list *[]T, word T, limit int) {
	if none := *new(T); word != none && len(*list) < limit && !slices.Contains(*list, word) {
		*list = append(*list, word)
	}
}
