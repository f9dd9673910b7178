//go:build !linux

package relay

import (
	"errors"
	"net/netip"
)

var errLinux = errors.New("this needs Linux")

func originalOf(int, bool) (netip.AddrPort, error) { return netip.AddrPort{}, errLinux }
func localOf(int) (netip.AddrPort, error)          { return netip.AddrPort{}, errLinux }

func transparentSocket(uintptr, string) error { return errLinux }

func isTransparent(uintptr) bool { return false }

func sourceSocket(uintptr, string) error { return errLinux }
