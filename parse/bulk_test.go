package parse

import (
	"crypto/tls"
	"testing"
)

// TestBulk: what a side sends is bulk once application data of TLS 1.2 has come, with
// the next record where it says, until a handshake begins; what a source walks itself
// leads to the next record.
func TestBulk(t *testing.T) {
	for name, configs := range testConfigs(t) {
		t.Run(name, func(t *testing.T) {
			chunks := handshake(t, configs[0], configs[1])
			c := NewParser(Options{}).NewConn()
			for _, ch := range chunks {
				if ch.Fin || ch.End != Open {
					break
				}
				c.Feed(ch)
			}
			tls12 := configs[0].MaxVersion == tls.VersionTLS12
			send := func(from Side, data ...byte) {
				ch := chunks[0]
				ch.From, ch.Data, ch.Opening = from, data, nil
				c.Feed(ch)
			}
			check := func(what string, from Side, rest int, ok bool) {
				t.Helper()
				if n, is := c.Bulk(from); is != (ok && tls12) || is && n != rest {
					t.Errorf("%s: bulk %t, %d bytes to the next record, want %t and %d", what, is, n, ok, rest)
				}
			}
			send(Accepter, 23, 3, 3, 0, 100, 1, 2, 3)
			check("in a record", Accepter, 97, true)
			send(Accepter, make([]byte, 97)...)
			check("between records", Accepter, 0, true)
			send(Accepter, 23, 3, 3)
			check("in a header", Accepter, 0, false)
			send(Accepter, 1, 0)
			check("behind it", Accepter, 256, true)
			ch := chunks[0]
			ch.From, ch.Data, ch.Opening, ch.Walked = Accepter, []byte{22, 3, 3, 0, 28}, nil, 1<<20
			c.Feed(ch)
			check("in a renegotiation", Accepter, 0, false)
			h := c.Handshake()
			if n := len(h.Rounds); n != 1 && tls12 || h.Sides[Accepter].Hidden > 0 || h.Sides[Accepter].Desync > 0 {
				t.Errorf("%d rounds, %+v", n, h.Sides[Accepter])
			}
			ch.Data, ch.Walked, ch.Lost = nil, 0, 1<<20
			c.Feed(ch)
			check("behind a loss", Accepter, 0, false)
		})
	}
}
