package probe

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestLoop: the secrets of so many handshakes are taken, and no more; those of TLS
// 1.3, which cannot be renegotiated, are not counted.
func TestLoop(t *testing.T) {
	c, s := net.Pipe()
	defer c.Close()
	defer s.Close()
	tap := newTap(c, netip.MustParseAddrPort("198.18.0.20:443"), time.Unix(0, 0))
	hex := strings.Repeat("0123456789abcdef", 4)
	write := func(label string) error {
		_, err := tap.keyLog().Write([]byte(label + " " + hex + " " + hex + "\n"))
		return err
	}
	for range 3 * maxHandshakes {
		if err := write("CLIENT_TRAFFIC_SECRET_0"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxHandshakes {
		if err := write("CLIENT_RANDOM"); err != nil || tap.looped() {
			t.Fatalf("handshake %d: %v", i+1, err)
		}
	}
	if err := write("CLIENT_RANDOM"); !errors.Is(err, errLoop) || !tap.looped() {
		t.Errorf("%v", err)
	}
}
