package relay

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"whoasked/attribute"
)

// TestInspectedTransfer carries much in both directions at once, with half-close,
// and has the bytes stop being told once the answer is settled.
func TestInspectedTransfer(t *testing.T) {
	n := newInspection(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		to := serve(t, func(c *net.TCPConn) { // answers only when all is there
			defer c.Close()
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{n.server}, NextProtos: []string{"h2"}})
			all, err := io.ReadAll(s)
			if err != nil {
				return
			}
			sum := sha256.Sum256(all)
			_, _ = s.Write(sum[:])
			_, _ = s.Write(all)
			_ = s.CloseWrite()
		})
		r := judge(t, fixedTo(t, to), Options{Inspect: n.options(t, nil)})
		sent := make([]byte, 8<<20)
		_, _ = rand.Read(sent)
		c := tls.Client(dialTCP(t, r.addr), n.client(version, "h2"))
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if sum := sha256.Sum256(sent); err != nil || !bytes.Equal(got, append(sum[:], sent...)) {
			t.Errorf("%s: %d bytes came back, %v", tls.VersionName(version), len(got), err)
		}
		select {
		case <-r.settled:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: never settled", tls.VersionName(version))
		}
		t.Logf("%s: %d bytes were lost to the parser", tls.VersionName(version), r.tap.lost)
		if v := r.verdict(t); v.Asked != attribute.No {
			t.Errorf("asked %v: %s", v.Asked, v.Reason)
		}
	}
}

// TestInspectedCrowd runs many at one time, half of them reset in the middle.
func TestInspectedCrowd(t *testing.T) {
	n := newInspection(t)
	to, _ := echoTLS(t, &tls.Config{Certificates: []tls.Certificate{n.server}, ClientAuth: tls.RequestClientCert})
	r := start(t, fixedTo(t, to), Options{Inspect: n.options(t, nil)})
	const clients = 40
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			raw, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 0 {
				if _, err := talk(raw, n.client(0)); err != nil {
					t.Error(err)
				}
				return
			}
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(time.Minute))
			c := tls.Client(raw, n.client(0))
			if err := c.Handshake(); err != nil {
				t.Error(err)
			}
			_, _ = c.Write(make([]byte, 100<<10))
			_ = raw.(*net.TCPConn).SetLinger(0)
		})
	}
	wg.Wait()
	r.endedConn(t, clients)
	if n := r.counts.inspected.Load(); n != clients {
		t.Errorf("%d were inspected", n)
	}
}
