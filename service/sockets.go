package service

import (
	"errors"
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
)

// Sockets returns the TCP sockets that systemd, or whoever else speaks its
// protocol (sd_listen_fds(3)), holds open for the command and has passed to it:
// none in most cases. They outlive the command, so that another can take its
// place and no client is refused meanwhile. They are passed once.
func Sockets() ([]*net.TCPListener, error) {
	var (
		sockets []*net.TCPListener
		wrong   error
	)
	for _, f := range activation.Files(true) {
		l, err := net.FileListener(f)
		if tcp, ok := l.(*net.TCPListener); ok {
			sockets = append(sockets, tcp)
		} else if err == nil {
			_ = l.Close()
			err = errors.New("it is not of TCP")
		}
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("the socket %s that was passed cannot be listened to: %w", f.Name(), err))
		}
		_ = f.Close() // the socket has a descriptor of its own
	}
	if wrong != nil {
		for _, s := range sockets {
			_ = s.Close()
		}
		return nil, wrong
	}
	return sockets, nil
}
