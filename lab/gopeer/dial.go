package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// dial makes the connections of each job, a line "sni port connections
// identity path" with "-" for no identity, and writes a line for each: sni, number
// in the job from 0, "ok" if the server answered or else "failed", "resumed"
// or "full", and what went wrong.
func dial(address, pki, keyLog string, jobs io.Reader, results io.Writer) error {
	keys, err := os.OpenFile(keyLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer keys.Close()
	lines := bufio.NewScanner(jobs)
	for lines.Scan() {
		var sni, port, identity, path string
		var n int
		if _, err := fmt.Sscan(lines.Text(), &sni, &port, &n, &identity, &path); err != nil {
			return fmt.Errorf("job %q: %w", lines.Text(), err)
		}
		cfg := &tls.Config{
			ServerName:         sni,
			InsecureSkipVerify: true, // the lab's truth is about the client's certificate
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
			KeyLogWriter:       keys,
		}
		if identity != "-" {
			cert, err := load(pki, identity)
			if err != nil {
				return err
			}
			cfg.Certificates = []tls.Certificate{cert}
		}
		for i := range n {
			resumed, err := request(net.JoinHostPort(address, port), path, cfg)
			fmt.Fprintln(results, sni, i, word(err == nil, "ok", "failed"), word(resumed, "resumed", "full"), oneLine(err))
		}
	}
	return lines.Err()
}

// request makes one connection, asks for a page and reads it to its end.
func request(address, path string, cfg *tls.Config) (resumed bool, err error) {
	return requestFrom(&net.Dialer{Timeout: 10 * time.Second}, address, path, cfg)
}

// requestFrom is request with a dialer.
func requestFrom(from *net.Dialer, address, path string, cfg *tls.Config) (resumed bool, err error) {
	raw, err := from.Dial("tcp", address)
	if err != nil {
		return false, err
	}
	c := tls.Client(raw, cfg)
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return false, err
	}
	if err := c.Handshake(); err != nil {
		return false, err
	}
	resumed = c.ConnectionState().DidResume
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, cfg.ServerName); err != nil {
		return resumed, err
	}
	if n, err := io.Copy(io.Discard, c); n == 0 {
		return resumed, fmt.Errorf("no answer: %w", err)
	}
	return resumed, nil
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}
