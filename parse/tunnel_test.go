package parse

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestTunnel: with keys, a CONNECT inside of TLS tells that the server is a
// proxy, and nothing else does.
func TestTunnel(t *testing.T) {
	for name, configs := range testConfigs(t) {
		for _, tt := range []struct{ first, want string }{
			{"CONNECT login.contoso.test:443 HTTP/1.1\r\nHost: login.contoso.test:443\r\n\r\n", "login.contoso.test:443"},
			{"CONNECT [2001:db8::1]:8443 HTTP/1.0\r\n\r\n", "[2001:db8::1]:8443"},
			{"GET / HTTP/1.1\r\nHost: CONNECT\r\n\r\n", ""},
			{"CONNECT login.contoso.test:443 SIP/2.0\r\n\r\n", ""},
			{"CONNECT  HTTP/1.1\r\n\r\n", ""},
			{"CONNECT log\x1bin:443 HTTP/1.1\r\n\r\n", ""},
			{"CONNECT " + strings.Repeat("a", maxTunnelName+1) + " HTTP/1.1\r\n\r\n", ""},
			{"CONNECT login.contoso.test:443", ""},
		} {
			var log bytes.Buffer
			client := configs[0].Clone()
			client.KeyLogWriter = &log
			chunks := handshakeSaying(t, client, configs[1], []byte(tt.first))
			for _, size := range []int{1 << 20, 7} {
				h, _ := feed(NewParser(Options{Keys: keysOf(log.Bytes())}), resplit(chunks, func() int { return size }))
				if h.Tunnel != tt.want || h.Keys != KeysOpened || h.Sides[0].Unopened+h.Sides[1].Unopened > 0 || (h.Inner != nil) != (tt.want != "") || h.Unsealing && h.Inner == nil && h.ServerHello.Version.IsTLS13() {
					t.Errorf("%s, %.20q: tunnel to %q, want %q; %+v", name, tt.first, h.Tunnel, tt.want, h.Sides)
				}
			}
			if h, _ := feed(NewParser(Options{}), chunks); h.Tunnel != "" {
				t.Errorf("%s: tunnel to %q without keys", name, h.Tunnel)
			}
		}
	}
}

// TestTunnelOnlyFirst: what a client says later is no request to a proxy.
func TestTunnelOnlyFirst(t *testing.T) {
	connect := []byte("CONNECT login.contoso.test:443 HTTP/1.1\r\n\r\n")
	for _, pha := range []bool{false, true} {
		s := newScene(0x1301, pha)
		s.handshake()
		first, second := s.client.record(ApplicationData, 0, []byte("GET / HTTP/1.1\r\n\r\n")...), s.client.record(ApplicationData, 0, connect...)
		h, _ := feed(NewParser(Options{Keys: keysOf(s.log)}), append(slices.Clone(s.chunks), first, second))
		if h.Tunnel != "" {
			t.Errorf("behind another request: %q", h.Tunnel)
		}
		lost := second
		lost.Lost = len(first.Data)
		h, _ = feed(NewParser(Options{Keys: keysOf(s.log)}), append(slices.Clone(s.chunks), lost, s.client.record(ApplicationData, 0, connect...)))
		if h.Tunnel != "" {
			t.Errorf("behind a loss: %q", h.Tunnel)
		}
	}
}

// TestTunnelEveryByteLost: no hole makes another name of it.
func TestTunnelEveryByteLost(t *testing.T) {
	for name, configs := range testConfigs(t) {
		var log bytes.Buffer
		client := configs[0].Clone()
		client.KeyLogWriter = &log
		chunks := handshakeSaying(t, client, configs[1], []byte("CONNECT login.contoso.test:443 HTTP/1.1\r\n\r\n"))
		p := NewParser(Options{Keys: keysOf(log.Bytes())})
		for i, ch := range chunks {
			for at := 0; at < len(ch.Data); at += 5 {
				first, second := ch, ch
				first.Data, first.Fin, first.End = ch.Data[:at], false, Open
				second.Data, second.Lost = ch.Data[at+1:], 1
				h, _ := feed(p, slices.Concat(chunks[:i], []Chunk{first, second}, chunks[i+1:]))
				if h.Tunnel != "" && h.Tunnel != "login.contoso.test:443" {
					t.Fatalf("%s: %q", name, h.Tunnel)
				}
			}
		}
	}
}
