package relay

import (
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
)

// exhaust takes all descriptors of the process but that of one socket, which
// connect leads to addr; free gives them back, at the latest at the end of the
// test.
func exhaust(t *testing.T, addr string) (connect, free func()) {
	t.Helper()
	sock, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	free = sync.OnceFunc(func() {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
		for _, f := range files {
			f.Close()
		}
		_ = syscall.Close(sock)
	})
	t.Cleanup(free)
	few := syscall.Rlimit{Cur: uint64(descriptors(t) + 64), Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Skip(err)
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		files = append(files, f)
	}
	to := netip.MustParseAddrPort(addr)
	return func() {
		_ = syscall.Connect(sock, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}, free
}
