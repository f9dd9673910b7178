package relay

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestWasReset has a write take the kernel's word of a reset: a read then finds an
// end like an orderly one.
func TestWasReset(t *testing.T) {
	for _, reset := range []bool{false, true} {
		closed := make(chan struct{})
		to := serve(t, func(c *net.TCPConn) {
			defer close(closed)
			_, _ = io.ReadFull(c, make([]byte, 1)) // the client is there
			if reset {
				_ = c.SetLinger(0)
				_ = c.Close()
				return
			}
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
		c := dialTCP(t, to.String())
		if _, err := c.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		if reset {
			<-closed
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
				if _, err := c.Write([]byte{0}); err != nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("no write fails")
				}
			}
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("reset %t: reading says %v, not the end", reset, err)
		}
		if got := wasReset(c); got != reset {
			t.Errorf("reset %t: taken for %t", reset, got)
		}
		c.Close()
		<-closed
	}
}
