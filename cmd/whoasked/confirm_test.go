package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"whoasked/attribute"
	"whoasked/config"
	"whoasked/parse"
)

// confirmServer takes connections, says what comes before TLS, and asks or not.
type confirmServer struct {
	at    netip.AddrPort
	taken atomic.Int32
	names sync.Map // server names that came
}

func newConfirmServer(t *testing.T, p *peers, ask tls.ClientAuthType, before func(*bufio.Reader, io.Writer)) *confirmServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	s := &confirmServer{at: netip.MustParseAddrPort(ln.Addr().String())}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.taken.Add(1)
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				if before != nil {
					before(bufio.NewReader(c), c)
				}
				conf := &tls.Config{Certificates: []tls.Certificate{p.cert}, ClientAuth: ask, NextProtos: []string{"h2", "http/1.1"}}
				conf.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
					s.names.Store(h.ServerName, h.SupportedProtos)
					return nil, nil
				}
				srv := tls.Server(c, conf)
				if srv.Handshake() == nil {
					_, _ = io.Copy(io.Discard, srv)
				}
			}()
		}
	}()
	return s
}

// smtpBefore is a mail server up to TLS.
func smtpBefore(r *bufio.Reader, w io.Writer) {
	fmt.Fprint(w, "220 mx\r\n")
	for _, reply := range []string{"250 STARTTLS\r\n", "220 go\r\n"} {
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "EHLO ") && line != "STARTTLS\r\n" {
			fmt.Fprint(w, "500 what\r\n")
			return
		}
		fmt.Fprint(w, reply)
	}
}

// toAsk makes an asker of which the traffic does not tell, or only by inference.
func toAsk(b *attribute.Book, at netip.AddrPort, sni string, edit func(*attribute.Connection)) *attribute.Asker {
	h := &parse.Handshake{
		TLS: true, ClientKnown: true, Start: time.Now(), Last: time.Now(), End: parse.FIN,
		Flow:        parse.Flow{Addrs: [2]netip.AddrPort{netip.MustParseAddrPort("198.18.0.10:40000"), at}},
		ClientHello: &parse.ClientHello{ServerName: sni, ALPN: []string{"h2", "http/1.1"}},
		ServerHello: &parse.ServerHello{Version: parse.TLS13, Cipher: 0x1301},
	}
	c := &attribute.Connection{Client: h.Flow.Addrs[0], Server: at, Handshake: h}
	c.Verdict.Reason = "TLS 1.3 seals it"
	if edit != nil {
		edit(c)
	}
	b.Add(c)
	a := *b.Asker(c)
	return &a
}

func inferredYes(c *attribute.Connection) {
	c.Verdict = attribute.Verdict{Asked: attribute.Yes, By: c.Server, Basis: attribute.Inferred, When: attribute.InHandshake}
}

// TestConfirm asks real servers: what they do is told, a contradiction is noted,
// and what cannot be asked says why.
func TestConfirm(t *testing.T) {
	p, b := newPeers(t), attribute.NewBook()
	asks, quiet := newConfirmServer(t, p, tls.RequestClientCert, nil), newConfirmServer(t, p, tls.NoClientCert, nil)
	mail := newConfirmServer(t, p, tls.RequestClientCert, smtpBefore)
	gone := newConfirmServer(t, p, tls.NoClientCert, nil)
	web := newConfirmServer(t, p, tls.NoClientCert, func(_ *bufio.Reader, w io.Writer) { fmt.Fprint(w, "HTTP/1.1 400 Bad Request\r\n") })
	nobody := netip.AddrPortFrom(gone.at.Addr(), 1)
	preamble := func(c *attribute.Connection) { c.Preamble = "smtp"; c.ClientHello.ALPN = nil }
	cases := []struct {
		asker *attribute.Asker
		asked attribute.Answer
		says  string // of Because
	}{
		{toAsk(b, asks.at, "yes.contoso.test", inferredYes), attribute.Yes, "request-unsealed"},
		{toAsk(b, quiet.at, "changed.contoso.test", inferredYes), attribute.No, "server-flight-unsealed"},
		{toAsk(b, quiet.at, "", nil), attribute.No, "server-flight-unsealed"},
		{toAsk(b, mail.at, "mail.contoso.test", preamble), attribute.Yes, "request-unsealed"},
		{toAsk(b, web.at, "mail.contoso.test", preamble), attribute.Unknown, "preamble: smtp: the server speaks something else"},
		{toAsk(b, nobody, "none.contoso.test", nil), attribute.Unknown, "connect: connection refused"},
		{toAsk(b, asks.at, "quic.contoso.test", func(c *attribute.Connection) { c.QUIC = new(parse.QUICFacts) }), attribute.Unknown, "TLS runs in quic"},
		{toAsk(b, asks.at, `odd\x07.contoso.test`, nil), attribute.Unknown, "cannot be sent"},
		{toAsk(b, mail.at, "", func(c *attribute.Connection) { c.ClientHello = nil }), attribute.Unknown, "the server name that clients send is not known"},
	}
	var askers []attribute.Asker
	for _, tt := range cases {
		askers = append(askers, *tt.asker)
	}
	k := newConfirmer(&config.Config{Confirm: true})
	k.prober.Timeout = time.Minute // however busy the machine is
	notes := k.confirm(t.Context(), askers)
	for i, tt := range cases {
		got := askers[i].Probe
		if got == nil || got.Asked != tt.asked || !strings.Contains(strings.Join(got.Because, "\n"), tt.says) {
			t.Errorf("%s: %+v, want %v, %s", tt.asker.SNI, got, tt.asked, tt.says)
		}
	}
	if askers[0].Probe.Request == nil || askers[0].Basis() != attribute.ByProbe || askers[1].Basis() != attribute.Inferred {
		t.Errorf("%+v, basis %v and %v", askers[0].Probe, askers[0].Basis(), askers[1].Basis())
	}
	if protos, ok := asks.names.Load("yes.contoso.test"); !ok || fmt.Sprint(protos) != "[h2 http/1.1]" {
		t.Errorf("offered %v", protos)
	}
	if n := asks.taken.Load() + quiet.taken.Load() + mail.taken.Load() + web.taken.Load(); n != 5 {
		t.Errorf("%d connections, want one for each that can be asked", n)
	}
	if len(notes) != 2 || notes[0].Kind != "probe-contradicts" || !strings.Contains(notes[0].Text, "changed.contoso.test") || notes[1].Count != int64(len(cases)) {
		t.Errorf("%+v", notes)
	}
	h := &parse.Handshake{ClientHello: &parse.ClientHello{Random: k.sent[0]}}
	if len(k.sent) != 4 || !k.made(h) || k.made(&parse.Handshake{ClientHello: new(parse.ClientHello)}) {
		t.Errorf("%d ClientHellos of its own", len(k.sent))
	}
}

// TestConfirmBounds: no more are asked than is allowed, none where the traffic
// tells, and none once the run is to end.
func TestConfirmBounds(t *testing.T) {
	p, b := newPeers(t), attribute.NewBook()
	s := newConfirmServer(t, p, tls.NoClientCert, nil)
	var askers []attribute.Asker
	for i := range maxConfirmed + 3 {
		askers = append(askers, *toAsk(b, s.at, fmt.Sprintf("n%d.contoso.test", i), nil))
	}
	askers = append(askers, *toAsk(b, s.at, "seen.contoso.test", func(c *attribute.Connection) {
		inferredYes(c)
		c.Verdict.Basis = attribute.Seen
	}))
	k := newConfirmer(&config.Config{Confirm: true})
	k.pace.Reset(time.Millisecond)
	k.prober.Timeout = time.Minute
	notes := k.confirm(t.Context(), askers)
	if n := s.taken.Load(); n != maxConfirmed || askers[len(askers)-1].Probe != nil {
		t.Errorf("%d connections", n)
	}
	if len(notes) != 2 || notes[1].Kind != "unconfirmed" || notes[1].Count != 3 {
		t.Errorf("%+v", notes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	askers = []attribute.Asker{*toAsk(b, s.at, "late.contoso.test", nil)}
	if notes := k.confirm(ctx, askers); s.taken.Load() != maxConfirmed || len(notes) != 1 || notes[0].Kind != "unconfirmed" {
		t.Errorf("%d connections, %+v", s.taken.Load(), notes)
	}
	if newConfirmer(&config.Config{}) != nil || (*confirmer)(nil).confirm(t.Context(), askers) != nil {
		t.Error("it asks unasked")
	}
}

// TestConfirmLive: while traffic is watched each endpoint is asked once, and what
// does not fit the queue is counted.
func TestConfirmLive(t *testing.T) {
	p, b := newPeers(t), attribute.NewBook()
	s := newConfirmServer(t, p, tls.RequestClientCert, nil)
	told := make(chan *attribute.Confirmation, confirmQueue)
	k := newConfirmer(&config.Config{Confirm: true})
	k.prober.Timeout = time.Minute
	l := k.live(func(_ *attribute.Asker, c *attribute.Confirmation) { told <- c })
	l.pace.Reset(time.Millisecond)
	a := toAsk(b, s.at, "one.contoso.test", nil)
	for range 5 {
		l.look(a)
	}
	if c := <-told; c.Asked != attribute.Yes {
		t.Errorf("%+v", c)
	}
	l.stop()
	if n := s.taken.Load(); n != 1 || len(told) != 0 {
		t.Errorf("%d connections, %d more told", n, len(told))
	}
	full := &confirmLive{queue: make(chan attribute.Asker, 1), known: make(map[endpoint]bool)}
	full.look(a)
	full.look(toAsk(b, s.at, "two.contoso.test", nil))
	if notes := full.notes(); len(notes) != 1 || notes[0].Count != 1 || full.known[endpoint{s.at, "two.contoso.test"}] {
		t.Errorf("%+v", notes)
	}
}
