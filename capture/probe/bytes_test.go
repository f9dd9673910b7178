package probe

import (
	"bytes"
	"crypto/tls"
	"testing"

	"whoasked/parse"
)

// TestClientHello: every hello is a whole record of type handshake with the
// name, and no two are alike.
func TestClientHello(t *testing.T) {
	for _, name := range HelloNames() {
		as, err := ParseHello(name)
		if err != nil {
			t.Fatal(err)
		}
		p := &Prober{As: as}
		pr := Probe{ServerName: "portal.contoso.test", Version: tls.VersionTLS13, ALPN: "h2"}
		first, err := p.ClientHello(pr)
		if err != nil {
			t.Fatal(name, err)
		}
		conn := parse.NewParser(parse.Options{}).NewConn()
		conn.Feed(parse.Chunk{From: parse.Opener, Data: first})
		if h := conn.Handshake(); h.ClientHello == nil || h.ClientHello.ServerName != pr.ServerName {
			t.Errorf("%s: no ClientHello with the name in %x", name, first)
		}
		if second, _ := p.ClientHello(pr); bytes.Equal(first, second) {
			t.Errorf("%s: the same ClientHello twice", name)
		}
	}
}
