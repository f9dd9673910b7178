package service

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropBounding empties the set of capabilities that a program started from here
// could have.
func dropBounding() error {
	for c := uintptr(0); ; c++ {
		if set, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err != nil {
			return nil // the last one there is
		} else if set == 0 {
			continue
		}
		if _, _, e := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); e != 0 {
			return fmt.Errorf("PR_CAPBSET_DROP: %w", e)
		}
	}
}

// capability is one, as a bit of the permitted set; 0 is none.
type capability uint32

func (c capability) name() string {
	if c == 1<<unix.CAP_NET_ADMIN {
		return "CAP_NET_ADMIN"
	}
	return "CAP_NET_RAW"
}

// foreignSources is what connecting from addresses of others takes
// (IP_TRANSPARENT): either of two, of which the one that can do less is taken if
// it is there, as raw sockets are refused anyway.
func foreignSources() capability {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	if unix.Capget(&head, &has[0]) != nil {
		return 0
	}
	for _, bit := range []uint32{1 << unix.CAP_NET_RAW, 1 << unix.CAP_NET_ADMIN} {
		if has[0].Permitted&bit != 0 {
			return capability(bit)
		}
	}
	return 0
}

// keepCapabilities has the permitted set survive becoming another user.
func keepCapabilities(keep capability) error {
	if keep == 0 {
		return nil
	}
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0); e != 0 {
		return fmt.Errorf("PR_SET_KEEPCAPS: %w", e)
	}
	return nil
}

// dropCapabilities empties the permitted, effective, inheritable and ambient sets
// but for keep in the first two.
func dropCapabilities(keep capability) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := [2]unix.CapUserData{{Permitted: uint32(keep), Effective: uint32(keep)}}
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&sets[0])), 0)
	runtime.KeepAlive(&head)
	runtime.KeepAlive(&sets)
	if e != 0 {
		return fmt.Errorf("capset: %w", e)
	}
	return nil // which takes the ambient ones with it
}

// onlyHeld reports whether this thread has no capability but keep.
func onlyHeld(keep capability) bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	want := [2]unix.CapUserData{{Permitted: uint32(keep), Effective: uint32(keep)}}
	return unix.Capget(&head, &has[0]) == nil && has == want
}
