//go:build linux

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Ports of the fleet: all addresses serve, drop SYNs, or have nobody there.
const (
	portServe = 443
	portDrop  = 444
	portNone  = 445
)

// kind is what a server does, by its address.
type kind struct {
	name    string
	port    uint16
	ask     tls.ClientAuthType
	demand  string // as whoasked tells it; empty where there is nothing to be told
	version uint16 // the only one, 0 for both
	hostile func(net.Conn)
}

// kinds come in turn by address: half of them serve.
var kinds = [16]kind{
	{name: "not asked", port: portServe, demand: "not-requested"},
	{name: "drops SYNs", port: portDrop},
	{name: "optional", port: portServe, ask: tls.RequestClientCert, demand: "optional"},
	{name: "refuses connections", port: portNone},
	{name: "required", port: portServe, ask: tls.RequireAnyClientCert, demand: "required-by-tls"},
	{name: "silent", port: portServe, hostile: func(c net.Conn) { io.Copy(io.Discard, c) }},
	{name: "not asked, TLS 1.2", port: portServe, demand: "not-requested", version: tls.VersionTLS12},
	{name: "a byte now and then", port: portServe, hostile: drip},
	{name: "optional, TLS 1.2", port: portServe, ask: tls.RequestClientCert, demand: "optional", version: tls.VersionTLS12},
	{name: "endless records", port: portServe, hostile: flood},
	{name: "required, TLS 1.2", port: portServe, ask: tls.RequireAnyClientCert, demand: "required-by-tls", version: tls.VersionTLS12},
	{name: "resets", port: portServe, hostile: func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }},
	{name: "not asked, TLS 1.3", port: portServe, demand: "not-requested", version: tls.VersionTLS13},
	{name: "drops SYNs", port: portDrop},
	{name: "optional, TLS 1.3", port: portServe, ask: tls.RequestClientCert, demand: "optional", version: tls.VersionTLS13},
	{name: "no TLS", port: portServe, hostile: func(c net.Conn) { io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n") }},
}

// drip begins a ServerHello and goes on for as long as anybody listens.
func drip(c net.Conn) {
	head := []byte{22, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0xfb}
	for i := 0; ; i++ {
		b := []byte{0}
		if i < len(head) {
			b[0] = head[i]
		}
		if _, err := c.Write(b); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// flood sends handshake records, up to 16 MiB.
func flood(c net.Conn) {
	record := append([]byte{22, 3, 3, 0x3f, 0xff, 11, 0xff, 0xff, 0xff}, make([]byte, 0x3ffb)...)
	for range 1024 {
		if _, err := c.Write(record); err != nil {
			return
		}
	}
}

// address is that of the i-th server.
func address(i int) netip.AddrPort {
	n := i + 1
	a := netip.AddrFrom4([4]byte{198, 18 + byte(n>>16), byte(n >> 8), byte(n)})
	return netip.AddrPortFrom(a, kinds[i%len(kinds)].port)
}

func kindOf(a netip.Addr) *kind { return kindOfBytes(a.As4()) }

func kindOfBytes(b [4]byte) *kind {
	n := int(b[1]-18)<<16 | int(b[2])<<8 | int(b[3])
	return &kinds[(n-1)%len(kinds)]
}

// fleet counts what servers see.
type fleet struct {
	mu      sync.Mutex
	open    map[netip.Addr]int
	all     int
	configs map[*kind]*tls.Config
	Seen    counts
}

// counts are since the last time they were told.
type counts struct {
	Connections, Full   int // Full handshakes, as far as the server is concerned
	MostOpen, MostAtOne int // at a time, in all and at one address
}

// serve runs the fleet; for each line of in it tells the counts since the last.
// With "same" all of them ask, and do not insist.
func serve(how string, in io.Reader, out io.Writer) error {
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	f := &fleet{open: make(map[netip.Addr]int), configs: make(map[*kind]*tls.Config)}
	for i := range kinds {
		k := &kinds[i]
		f.configs[k] = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: k.ask, MinVersion: k.version, MaxVersion: k.version, NextProtos: []string{"http/1.1"}}
	}
	if err := dropSYNs(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", portServe))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go f.handle(c, how == "same")
		}
	}()
	fmt.Fprintln(out, "ready")
	enc := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		f.mu.Lock()
		seen := f.Seen
		f.Seen = counts{}
		f.mu.Unlock()
		if err := enc.Encode(&seen); err != nil {
			return err
		}
	}
	return nil
}

// dropSYNs listens where the queue is full: the kernel drops further SYNs.
func dropSYNs() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: portDrop}); err != nil {
		return err
	}
	if err := syscall.Listen(fd, 0); err != nil {
		return err
	}
	for range 4 { // more than it takes
		c, err := net.DialTimeout("tcp4", fmt.Sprintf("198.18.0.1:%d", portDrop), 300*time.Millisecond)
		if err != nil {
			return nil
		}
		c.Close() // nobody accepts it: it stays in the queue
	}
	return fmt.Errorf("port %d goes on taking connections", portDrop)
}

// handle serves one connection.
func (f *fleet) handle(c net.Conn, same bool) {
	defer c.Close()
	at := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	f.mu.Lock()
	f.open[at]++
	f.all++
	f.Seen.Connections++
	f.Seen.MostOpen, f.Seen.MostAtOne = max(f.Seen.MostOpen, f.all), max(f.Seen.MostAtOne, f.open[at])
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.all--
		if f.open[at]--; f.open[at] == 0 {
			delete(f.open, at)
		}
	}()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	k := kindOf(at)
	if same {
		k = &kinds[2]
	}
	if k.hostile != nil {
		if n, _ := c.Read(make([]byte, 4096)); n > 0 {
			k.hostile(c)
		}
		return
	}
	s := tls.Server(c, f.configs[k])
	if s.Handshake() != nil {
		return
	}
	if !s.ConnectionState().DidResume {
		f.mu.Lock()
		f.Seen.Full++
		f.mu.Unlock()
	}
	r := bufio.NewReader(s)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if line == "\r\n" || line == "\n" {
			break
		}
	}
	_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
	_ = s.Close()
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	x := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "www.contoso.test"}, DNSNames: []string{"www.contoso.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, x, x, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
