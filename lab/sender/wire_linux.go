package main

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a packet socket bound to a device.
type socket struct {
	fd   int
	vecs [batch]unix.Iovec
	msgs [batch]message
}

// message is struct mmsghdr.
type message struct {
	unix.Msghdr
	n uint32
}

func open(device string) (wire, error) {
	dev, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	s := &socket{}
	if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return nil, fmt.Errorf("pass the queue by: %w", err)
	}
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: dev.Index}); err != nil {
		return nil, fmt.Errorf("bind to %s: %w", device, err)
	}
	for i := range s.msgs {
		s.msgs[i].Iov, s.msgs[i].Iovlen = &s.vecs[i], 1
	}
	return s, nil
}

// write hands frames, at most batch of them, to the kernel.
func (s *socket) write(frames [][]byte) error {
	for i, f := range frames {
		s.vecs[i].Base = unsafe.SliceData(f)
		s.vecs[i].SetLen(len(f))
	}
	for off := 0; off < len(frames); {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.msgs[off])), uintptr(len(frames)-off), 0, 0, 0)
		switch errno {
		case 0:
			off += int(n)
		case unix.EINTR, unix.ENOBUFS, unix.EAGAIN: // it goes on when there is room
		default:
			return fmt.Errorf("send: %w", errno)
		}
	}
	return nil
}
