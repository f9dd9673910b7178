package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/capture/probe"
)

// attack probes a server of which every connection is handled by serve, after
// the first bytes have come.
func attack(t *testing.T, version uint16, serve func(net.Conn)) *probe.Attempt {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		serve(c)
	}()
	target, err := probe.ParseTarget("https://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	p := &probe.Prober{Timeout: 3 * time.Second, Request: true}
	a := p.Do(t.Context(), probe.Probe{Target: target, Addr: netip.MustParseAddrPort(ln.Addr().String()), Version: version})
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("took %v", took)
	}
	ln.Close()
	<-done
	return a
}

// helloThen waits for a ClientHello and sends a ServerHello of TLS 1.2 with what
// else there is, in records.
func helloThen(c net.Conn, messages ...[]byte) {
	c.Read(make([]byte, 4096))
	hello := append([]byte{2, 0, 0, 38, 3, 3}, make([]byte, 32)...)
	hello = append(hello, 0, 0xc0, 0x2f, 0) // no session, ECDHE_RSA_WITH_AES_128_GCM_SHA256
	flight := bytes.Join(append([][]byte{hello}, messages...), nil)
	for len(flight) > 0 {
		n := min(len(flight), 1<<14)
		if _, err := c.Write(append([]byte{22, 3, 3, byte(n >> 8), byte(n)}, flight[:n]...)); err != nil {
			return
		}
		flight = flight[n:]
	}
	io.Copy(io.Discard, c)
}

// message is a handshake message.
func message(kind byte, body []byte) []byte {
	n := len(body)
	return append([]byte{kind, byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

// TestProbeHugeCertificate: 16 MiB that call themselves a certificate are not
// kept.
func TestProbeHugeCertificate(t *testing.T) {
	huge := message(11, make([]byte, 1<<24-1))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	a := attack(t, tls.VersionTLS12, func(c net.Conn) { helloThen(c, huge) })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if v := attribute.Judge(a.Handshake); v.Asked != attribute.Unknown || v.Reason == "" || a.Err == nil {
		t.Errorf("%v: %+v", a.Err, v)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d bytes are kept", grown)
	}
	runtime.KeepAlive(huge)
	runtime.KeepAlive(a)
}

// TestProbeManyAuthorities: a request is told however many authorities it names.
func TestProbeManyAuthorities(t *testing.T) {
	names := bytes.Repeat([]byte{0, 2, 0x30, 0}, 65532/4)
	body := append([]byte{1, 1, 0, 2, 4, 1, byte(len(names) >> 8), byte(len(names))}, names...)
	a := attack(t, tls.VersionTLS12, func(c net.Conn) {
		helloThen(c, message(11, []byte{0, 0, 0}), message(13, body), message(14, nil))
	})
	v := attribute.Judge(a.Handshake)
	if v.Asked != attribute.Yes || v.Basis != attribute.Seen || a.Err == nil {
		t.Fatalf("%v: %+v", a.Err, v)
	}
}

// TestProbeSlowBytes: a server that sends a byte now and then does not hold a
// probe up.
func TestProbeSlowBytes(t *testing.T) {
	a := attack(t, tls.VersionTLS13, func(c net.Conn) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for _, b := range append([]byte{22, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0xfb}, make([]byte, 200)...) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			<-tick.C
		}
	})
	if answered(a) || failure(a) != "handshake: no answer in time" {
		t.Error(failure(a))
	}
}

// TestProbeEveryAlert: whatever number an alert has, it is told and is no answer.
func TestProbeEveryAlert(t *testing.T) {
	for n := range 256 {
		a := attack(t, tls.VersionTLS12, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.Write([]byte{21, 3, 3, 0, 2, 2, byte(n)})
		})
		if a.Err == nil || answered(a) || failure(a) == "" {
			t.Fatalf("alert %d: %v", n, a.Err)
		}
		if a.Handshake == nil {
			t.Fatalf("alert %d: no connection: %v", n, a.Err)
		}
		if v := attribute.Judge(a.Handshake); v.Asked != attribute.Unknown || v.Reason == "" {
			t.Errorf("alert %d: %+v", n, v)
		}
	}
}

// resetting ends a connection by RST instead of the write that comes after left
// bytes.
type resetting struct {
	net.Conn
	left int
}

func (r *resetting) Write(b []byte) (int, error) {
	n := min(len(b), r.left)
	r.left -= n
	if n, err := r.Conn.Write(b[:n]); err != nil || n == len(b) {
		return n, err
	}
	r.Conn.(*net.TCPConn).SetLinger(0)
	return n, r.Conn.Close()
}

// TestProbeResetAnywhere: a reset, wherever it falls, may cost the answer and
// never turns it around.
func TestProbeResetAnywhere(t *testing.T) {
	p := newPeers(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for auth, wrong := range map[tls.ClientAuthType]attribute.Answer{tls.NoClientCert: attribute.Yes, tls.RequestClientCert: attribute.No} {
			told := 0
			for at := 0; at < 2400; at += 60 {
				a := attack(t, version, func(c net.Conn) {
					s := tls.Server(&resetting{c, at}, &tls.Config{Certificates: []tls.Certificate{p.cert}, ClientAuth: auth, MinVersion: version})
					if s.Handshake() == nil {
						s.Read(make([]byte, 1))
					}
				})
				switch v := attribute.Judge(a.Handshake); {
				case v.Asked == wrong:
					t.Errorf("%s, %v, reset after %d bytes: %v by %v", tls.VersionName(version), auth, at, v.Asked, v.Evidence)
				case v.Asked == attribute.Unknown && v.Reason == "":
					t.Errorf("%s, %v, reset after %d bytes: no reason", tls.VersionName(version), auth, at)
				case v.Asked != attribute.Unknown:
					told++
				}
			}
			if told == 0 {
				t.Errorf("%s, %v: never told", tls.VersionName(version), auth)
			}
		}
	}
}
