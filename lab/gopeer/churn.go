package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// churnWorkers bounds the connections that are open at one time.
const churnWorkers = 64

// churn makes connections to the ports in turn, rate of them a second, until in
// ends. A port with a client identity behind it, "20001=client-ec", shows that when
// asked. Most connections ask for a page; every eighth says ClientHello and
// hangs up, every sixteenth says nothing; every fourth of the others resumes the
// one before it if the server lets it. Every 64th of a port loads bulk, and the
// log of keys does not tell of it. It writes a line for each that had its answer: its
// own address, the port, when it began and ended in nanoseconds since 1970, and
// "resumed" or "full".
func churn(address, pki, keyLog string, args []string, in io.Reader, out io.Writer) error {
	keys, err := os.OpenFile(keyLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer keys.Close()
	rate, err := strconv.Atoi(args[0])
	if err != nil || rate < 1 {
		return fmt.Errorf("%q is no rate", args[0])
	}
	var targets []*churnTarget
	for _, spec := range args[1:] {
		t, err := newChurnTarget(address, pki, spec, keys)
		if err != nil {
			return err
		}
		targets = append(targets, t)
	}
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in)
		close(done)
	}()
	var mu sync.Mutex
	results := bufio.NewWriter(out)
	defer results.Flush()
	var all sync.WaitGroup
	defer all.Wait()
	free := make(chan struct{}, churnWorkers)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			if line := targets[i%len(targets)].visit(i / len(targets)); line != "" {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintln(results, line)
			}
		})
	}
}

// churnTarget is one port.
type churnTarget struct {
	address, port        string
	fresh, resumes, bulk tls.Config
}

func newChurnTarget(address, pki, spec string, keys io.Writer) (*churnTarget, error) {
	port, identity, _ := strings.Cut(spec, "=")
	t := &churnTarget{address: net.JoinHostPort(address, port), port: port}
	for _, c := range []*tls.Config{&t.fresh, &t.resumes, &t.bulk} {
		c.ServerName, c.InsecureSkipVerify, c.KeyLogWriter = fmt.Sprintf("churn%s.contoso.test", port), true, keys
		switch c {
		case &t.bulk:
			c.KeyLogWriter = nil
		case &t.resumes:
			c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		if identity != "" {
			cert, err := load(pki, identity)
			if err != nil {
				return nil, err
			}
			c.Certificates = []tls.Certificate{cert}
		}
	}
	return t, nil
}

// visit makes the nth connection and returns its line, empty where there was no
// answer.
func (t *churnTarget) visit(n int) string {
	start := time.Now()
	raw, err := net.DialTimeout("tcp", t.address, 2*time.Second)
	if err != nil {
		return ""
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
	cfg, path := &t.fresh, "/"
	switch {
	case n%16 == 15:
		return ""
	case n%8 == 7:
		_ = tls.Client(cutOff{raw}, cfg).Handshake() // never has an answer
		return ""
	case n%4 == 3:
		cfg = &t.resumes
	case n%64 == 1:
		cfg, path = &t.bulk, bulkPath
	}
	c := tls.Client(raw, cfg)
	if err := c.Handshake(); err != nil {
		return ""
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, cfg.ServerName); err != nil {
		return ""
	}
	if n, err := io.Copy(io.Discard, c); n == 0 || err != nil {
		return ""
	}
	resumed := word(c.ConnectionState().DidResume, "resumed", "full")
	_ = c.Close()
	return fmt.Sprintf("%s %s %d %d %s", raw.LocalAddr(), t.port, start.UnixNano(), time.Now().UnixNano(), resumed)
}

// cutOff is a connection on which nobody waits for an answer.
type cutOff struct{ net.Conn }

func (cutOff) Read([]byte) (int, error) { return 0, io.EOF }
