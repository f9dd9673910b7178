package live

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// link is what the kernel tells of an interface.
type link struct {
	index int
	name  string
	mtu   int
	up    bool
	gone  bool
}

// links hears of changes of interfaces (rtnetlink). A nil links hears nothing.
type links struct {
	socket int
	buf    []byte
}

func openLinks() (*links, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &links{socket: fd, buf: make([]byte, 64<<10)}, nil
}

// fd is what to poll, negative for nothing.
func (l *links) fd() int {
	if l == nil {
		return -1
	}
	return l.socket
}

func (l *links) close() {
	if l != nil {
		_ = unix.Close(l.socket)
	}
}

// read hands over all changes there are. One that the kernel had no room for is
// missed; the next tells the state as well.
func (l *links) read(use func(link)) {
	for l != nil {
		n, from, err := unix.Recvfrom(l.socket, l.buf, 0)
		if err == unix.EINTR || err == unix.ENOBUFS {
			continue
		}
		if err != nil {
			return
		}
		if addr, ok := from.(*unix.SockaddrNetlink); !ok || addr.Pid != 0 {
			continue // not from the kernel
		}
		msgs, err := syscall.ParseNetlinkMessage(l.buf[:n])
		if err != nil {
			continue
		}
		for i := range msgs {
			if k, ok := parseLink(&msgs[i]); ok {
				use(k)
			}
		}
	}
}

// parseLink reads RTM_NEWLINK and RTM_DELLINK (struct ifinfomsg and attributes).
func parseLink(m *syscall.NetlinkMessage) (l link, ok bool) {
	t := m.Header.Type
	if t != unix.RTM_NEWLINK && t != unix.RTM_DELLINK || len(m.Data) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.index = int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	l.up = binary.NativeEndian.Uint32(m.Data[8:])&unix.IFF_UP != 0
	l.gone = t == unix.RTM_DELLINK
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return l, false
	}
	for _, a := range attrs {
		switch {
		case a.Attr.Type == unix.IFLA_IFNAME && len(a.Value) > 0:
			l.name = unix.ByteSliceToString(a.Value)
		case a.Attr.Type == unix.IFLA_MTU && len(a.Value) >= 4:
			l.mtu = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return l, true
}
