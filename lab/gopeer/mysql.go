package main

import (
	"crypto/tls"
	"io"
	"net"
	"time"
)

// mysql stands in front of a MySQL or MariaDB server and ends TLS, which it sets
// up without asking for a certificate.
func mysql(address, target, pki, identity string) error {
	cert, err := load(pki, identity)
	if err != nil {
		return err
	}
	return each(address, func(c net.Conn) {
		to, err := net.DialTimeout("tcp", target, 5*time.Second)
		if err != nil {
			return
		}
		defer to.Close()
		_ = to.SetDeadline(time.Now().Add(15 * time.Second))
		// The server's greeting, the client's request for TLS.
		if passPacket(c, to) != nil || passPacket(to, c) != nil {
			return
		}
		relay(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}), tls.Client(to, &tls.Config{InsecureSkipVerify: true})) // it is the lab's own
	})
}

// passPacket passes on one packet: 3 bytes of length, a number, the content.
func passPacket(to, from net.Conn) error {
	var header [4]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return err
	}
	body := make([]byte, int(header[0])|int(header[1])<<8|int(header[2])<<16)
	if _, err := io.ReadFull(from, body); err != nil {
		return err
	}
	_, err := to.Write(append(header[:], body...))
	return err
}
