package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"whoasked/attribute"
	"whoasked/parse"
	"whoasked/report"
)

// logged is one line of the log, as far as collapsing goes.
type logged struct {
	Kind, SNI, Asked string
	Count            int
	Seconds          float64
}

// TestCollapsed sends answers through the log: one of a kind is told in an interval,
// the others are counted, and none is told twice or forgotten.
func TestCollapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := newCollapsed(report.NewLog(&out, report.LogOptions{Level: zerolog.InfoLevel}), time.Minute)
		tell := func(id uint64, sni string, asked attribute.Answer) {
			t.Helper()
			err := c.Connection(&attribute.Connection{
				ID: id, Client: netip.MustParseAddrPort("198.18.0.10:50000"), Server: netip.MustParseAddrPort("198.18.0.20:443"),
				Handshake: &parse.Handshake{TLS: true, ClientHello: &parse.ClientHello{ServerName: sni}},
				Verdict:   attribute.Verdict{Asked: asked},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		expect := func(when string, want ...logged) {
			t.Helper()
			var got []logged
			for lines := json.NewDecoder(&out); lines.More(); {
				var l logged
				if err := lines.Decode(&l); err != nil {
					t.Fatal(err)
				}
				got = append(got, l)
			}
			out.Reset()
			if len(got) != len(want) {
				t.Fatalf("%s: told %+v, want %+v", when, got, want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s: told %+v, want %+v", when, got[i], want[i])
				}
			}
		}
		due := func(all bool) {
			t.Helper()
			if err := c.due(all); err != nil {
				t.Fatal(err)
			}
		}
		const portal, shop = "portal.contoso.test", "shop.contoso.test"

		tell(1, portal, attribute.Yes)
		tell(2, portal, attribute.Yes)
		tell(2, portal, attribute.Yes) // more of the same connection
		tell(3, portal, attribute.No)
		tell(4, shop, attribute.Yes)
		tell(5, portal, attribute.Yes)
		expect("at once", logged{Kind: "connection", SNI: portal, Asked: "yes"},
			logged{Kind: "connection", SNI: portal, Asked: "no"}, logged{Kind: "connection", SNI: shop, Asked: "yes"})
		time.Sleep(59 * time.Second)
		due(false)
		expect("within the minute")
		time.Sleep(time.Second)
		due(false)
		expect("after a minute", logged{Kind: "repeat", SNI: portal, Asked: "yes", Count: 2, Seconds: 60})
		tell(6, portal, attribute.Yes)
		tell(7, portal, attribute.Yes)
		expect("in the next minute", logged{Kind: "connection", SNI: portal, Asked: "yes"})
		time.Sleep(10 * time.Second)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		expect("at the end", logged{Kind: "repeat", SNI: portal, Asked: "yes", Count: 1, Seconds: 10})
	})
}

// TestCollapsedIsBounded has more kinds of answers than are remembered: those beyond
// are told each.
func TestCollapsedIsBounded(t *testing.T) {
	var out bytes.Buffer
	c := newCollapsed(report.NewLog(&out, report.LogOptions{Level: zerolog.InfoLevel}), time.Minute)
	for i := range 2 * (maxRepeats + 10) {
		port := uint16(i % (maxRepeats + 10))
		err := c.Connection(&attribute.Connection{
			ID: uint64(i + 1), Server: netip.AddrPortFrom(netip.MustParseAddr("198.18.0.20"), port),
			Handshake: &parse.Handshake{TLS: true}, Verdict: attribute.Verdict{Asked: attribute.Yes},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, want := bytes.Count(out.Bytes(), []byte("\n")), maxRepeats+2*10; n != want || len(c.seen) != maxRepeats {
		t.Errorf("%d lines, %d remembered; want %d and %d", n, len(c.seen), want, maxRepeats)
	}
}
