package relay

import "syscall"

// control adapts f to net.ListenConfig and net.Dialer.
func control(c syscall.RawConn, f func(fd uintptr) error) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) { err = f(fd) }); ctlErr != nil {
		return ctlErr
	}
	return err
}

// withSocket calls f with the descriptor of a socket that the runtime keeps.
func withSocket(c syscall.Conn, f func(fd uintptr) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, f)
}
