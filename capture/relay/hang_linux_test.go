package relay

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// TestUpstreamHangs: an upstream that leaves connections unanswered holds its
// client for so long only.
func TestUpstreamHangs(t *testing.T) {
	to := unanswering(t)
	r := start(t, fixedTo(t, to), Options{Dial: Dial{Timeout: 300 * time.Millisecond}})
	begun := time.Now()
	refused(t, r.addr)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("kept for %v", took)
	}
	if tr := r.has(t, KindTimeout); tr.Target != to.String() || !tr.Client.IsValid() {
		t.Errorf("told %v", tr)
	}
}

// unanswering is an address whose queue of connections is full: the kernel drops
// the SYNs of more.
func unanswering(t *testing.T) netip.AddrPort {
	t.Helper()
	sock, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(sock) })
	if err := syscall.Bind(sock, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(sock, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(sock)
	if err != nil {
		t.Fatal(err)
	}
	at := name.(*syscall.SockaddrInet4)
	to := netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port))
	for range 10 {
		c, err := net.DialTimeout("tcp", to.String(), 300*time.Millisecond)
		if err != nil {
			return to
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this kernel takes connections without end")
	return to
}
