package main

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"whoasked/attribute"
	"whoasked/capture"
	"whoasked/capture/probe"
	"whoasked/config"
	"whoasked/parse"
)

// Bounds of --confirm: what a capture says must not make this a tool to bother
// others with.
const (
	maxConfirmed = 64 // endpoints of a report that is made at the end
	confirming   = 4  // connections at a time
	confirmGap   = 100 * time.Millisecond
	confirmWait  = 5 * time.Second  // for each step of a connection
	confirmLast  = 10 * time.Second // to go on when everything else is over
	maxOwn       = 1024
)

// confirmer asks endpoints themselves of which the traffic tells too little: each
// once, by one handshake made like those that were seen, without a request behind
// it.
type confirmer struct {
	prober probe.Prober
	pace   *time.Ticker // a connection begins at each tick
	// terminal shows how far a report has come, nil for none; asked counts the
	// endpoints.
	terminal *terminal
	asked    atomic.Int64

	mu   sync.Mutex
	deaf map[netip.AddrPort]bool // took no connection in time
	own  map[[32]byte]bool       // randoms of ClientHellos sent
	sent [][32]byte              // the same, the oldest first
}

// newConfirmer returns nil unless the settings ask for it.
func newConfirmer(c *config.Config) *confirmer {
	if !c.Confirm {
		return nil
	}
	k := &confirmer{
		prober: probe.Prober{Timeout: confirmWait, Brief: true}, pace: time.NewTicker(confirmGap),
		deaf: make(map[netip.AddrPort]bool), own: make(map[[32]byte]bool),
	}
	k.prober.Sending = k.remember
	return k
}

// through has connections made as the relay makes them.
func (k *confirmer) through(c *config.Relay) {
	if k == nil {
		return
	}
	k.prober.Header.Version = map[string]int{"v1": 1, "v2": 2}[c.SendProxy]
	if c.Via.At == "" {
		return
	}
	u := url.URL{Scheme: "http", Host: c.Via.At}
	if c.Via.SOCKS {
		u.Scheme = "socks5"
	}
	if c.ViaLogin != "" {
		if user, password, err := config.ReadLogin(c.ViaLogin); err == nil { // else the relay says so
			u.User = url.UserPassword(user, password)
		}
	}
	k.prober.Dial, _ = probe.Proxy(u.String()) // which settings have checked
}

// remember keeps the random of a ClientHello that is about to be sent.
func (k *confirmer) remember(random [32]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.sent) == maxOwn {
		delete(k.own, k.sent[0])
		k.sent = k.sent[1:]
	}
	k.own[random], k.sent = true, append(k.sent, random)
}

// made reports whether a connection is one of the confirmer's, which is no
// traffic to tell of.
func (k *confirmer) made(h *parse.Handshake) bool {
	if k == nil || h.ClientHello == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.own[h.ClientHello.Random]
}

// cannot says why the endpoint of an asker is not asked, empty if it can be.
func (k *confirmer) cannot(a *attribute.Asker) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	addr := a.Addr.Addr()
	switch {
	case a.Manner.Inside != "":
		return "TLS runs in " + a.Manner.Inside
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || a.Addr.Port() == 0:
		return "it has no address to connect to"
	case a.SNI == "" && !a.Nameless():
		return "the server name that clients send is not known"
	case strings.ContainsFunc(a.SNI, func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f }):
		return "the server name cannot be sent"
	case k.deaf[a.Addr]:
		return "the address took no connection in time"
	}
	return ""
}

// ask connects once. It returns nil if ctx ended.
func (k *confirmer) ask(ctx context.Context, a *attribute.Asker) *attribute.Confirmation {
	out := &attribute.Confirmation{At: time.Now()}
	if why := k.cannot(a); why != "" {
		out.Because = []string{why}
		return out
	}
	select {
	case <-k.pace.C:
	case <-ctx.Done():
		return nil
	}
	p := k.prober
	p.As = helloOf(&a.Manner)
	pr := probeOf(a)
	at := p.Do(ctx, pr)
	if ctx.Err() != nil {
		return nil
	}
	out.At, out.Hello, out.ALPN, out.Version = at.Start, p.Hello(&pr).String(), pr.ALPN, a.Manner.Version.String()
	if at.Stage == probe.StageDial && timedOut(at.Err) {
		k.mu.Lock()
		k.deaf[a.Addr] = true
		k.mu.Unlock()
	}
	if !answered(at) {
		out.Because = []string{failure(at)}
		return out
	}
	v := attribute.Judge(at.Handshake)
	out.Asked, out.Version = v.Asked, at.Handshake.ServerHello.Version.String()
	for _, e := range v.Evidence {
		out.Because = append(out.Because, e.Rule+": "+e.Text)
	}
	if v.Asked == attribute.Unknown {
		out.Because = []string{v.Reason}
	}
	if v.Asked == attribute.Yes && len(at.Handshake.Requests) > 0 {
		out.Request = at.Handshake.Requests[0]
	}
	return out
}

// helloOf is whose ClientHello comes nearest to that of a client seen.
func helloOf(m *attribute.Manner) probe.Hello {
	switch {
	case m.Browser == "Chromium":
		return probe.AsChrome
	case m.Browser == "Firefox":
		return probe.AsFirefox
	case m.Later:
		return probe.AsOpenSSL
	}
	return probe.AsGo
}

// probeOf is a connection like those seen of an asker.
func probeOf(a *attribute.Asker) probe.Probe {
	m := &a.Manner
	t := probe.Target{Host: a.SNI, Port: a.Addr.Port(), Path: "/", Preamble: m.Preamble, Behind: m.Target}
	if t.Host == "" {
		t.Host = a.Addr.Addr().String()
	}
	version := m.Version
	if version == 0 {
		version = parse.TLS13
	}
	return probe.Probe{Target: t, Addr: a.Addr, ServerName: a.SNI, Version: uint16(version), ALPN: m.ALPN, Attempt: 1}
}

// confirm asks the endpoints of askers that are open, as many as are allowed, and
// returns what there is to note of it.
func (k *confirmer) confirm(ctx context.Context, askers []attribute.Asker) []capture.Note {
	if k == nil {
		return nil
	}
	var open []*attribute.Asker
	left := 0
	for i := range askers {
		switch {
		case !askers[i].Open():
		case len(open) == maxConfirmed:
			left++
		default:
			open = append(open, &askers[i])
		}
	}
	if k.terminal != nil && len(open) > 0 {
		defer watch(k.terminal, targetBar(k.asked.Load, len(open)))()
	}
	next := make(chan *attribute.Asker)
	var work sync.WaitGroup
	for range min(confirming, len(open)) {
		work.Go(func() {
			for a := range next {
				a.Probe = k.ask(ctx, a)
				k.asked.Add(1)
			}
		})
	}
	for _, a := range open {
		next <- a
	}
	close(next)
	work.Wait()
	return confirmNotes(open, left)
}

// confirmNotes tells what came of asking, contradictions each by itself.
func confirmNotes(open []*attribute.Asker, left int) []capture.Note {
	var out []capture.Note
	var told, none int64
	for _, a := range open {
		switch {
		case a.Probe == nil:
			left++
		case a.Probe.Asked == attribute.Unknown:
			none++
		default:
			told++
		}
		if n, ok := contradiction(a); ok {
			out = append(out, n)
		}
	}
	if told+none > 0 {
		text := "asked " + count(told+none, "endpoint") + " that the traffic tells too little of (--confirm)"
		if none > 0 {
			text += fmt.Sprintf("; %d told nothing", none)
		}
		out = append(out, capture.Note{Kind: "confirmed", Count: told + none, Text: text})
	}
	if left > 0 {
		out = append(out, capture.Note{
			Kind: "unconfirmed", Count: int64(left),
			Text: count(int64(left), "endpoint") + " that the traffic tells too little of went unasked (--confirm)",
			Hint: fmt.Sprintf("at most %d are asked in a run: narrow it down with --server or --sni, or ask them with whoasked probe", maxConfirmed),
		})
	}
	return out
}

// contradiction is the note of an asker whose probe contradicts the traffic.
func contradiction(a *attribute.Asker) (capture.Note, bool) {
	text := a.Contradiction()
	if text == "" {
		return capture.Note{}, false
	}
	who := a.Addr.String()
	if a.Hop != "" {
		who = a.Hop + " (" + who + ")"
	}
	if a.SNI != "" {
		who += " as " + a.SNI
	}
	return capture.Note{
		Kind: "probe-contradicts", Count: 1, Text: who + ": " + text,
		Hint: "whoasked probe --repeat 20 tells whether it always answers so; keys of the session (--keylog) would tell what it was when captured",
	}, true
}
