package report

import (
	"net/netip"
	"time"

	"whoasked/attribute"
	"whoasked/parse"
)

type tcpMember struct {
	SYN    float64     `json:"syn_seconds,omitempty"`
	Hello  float64     `json:"hello_seconds,omitempty"`
	Client *sideMember `json:"client,omitempty"`
	Server *sideMember `json:"server,omitempty"`
}

type sideMember struct {
	TTL     uint8  `json:"ttl,omitempty"`
	DataTTL uint8  `json:"data_ttl,omitempty"`
	Options string `json:"options"`
}

type signMember struct {
	Sign string `json:"sign"`
	Text string `json:"text"`
}

// opening is what showed of TCP when a connection was opened, nil for nothing.
func opening(c *attribute.Connection) *tcpMember {
	client := c.ClientSide()
	m := &tcpMember{Client: side(&c.Opening[client]), Server: side(&c.Opening[client.Other()])}
	if m.Client == nil && m.Server == nil {
		return nil
	}
	m.SYN = microseconds(c.Opening.Reply())
	if c.ClientHello != nil && c.ServerHello != nil {
		m.Hello = max(microseconds(c.ServerHello.At.Sub(c.ClientHello.At)), 0)
	}
	return m
}

// microseconds is a duration in seconds, no finer than captures are.
func microseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e6 }

func side(s *parse.TCPSide) *sideMember {
	if !s.SYN {
		return nil
	}
	return &sideMember{TTL: s.TTL, DataTTL: s.DataTTL, Options: s.Options.String()}
}

func signs(all []attribute.Sign) []signMember {
	var out []signMember
	for _, s := range all {
		out = append(out, signMember{s.Kind, s.Text})
	}
	return out
}

// signKinds lists the names of signs.
func signKinds(all []attribute.Sign) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.Kind)
	}
	return out
}

// shownSigns is how many signs of an endpoint text tells.
const shownSigns = 4

// signs are those of a server as sentences, once.
func (t *Text) signs(server netip.AddrPort, all []attribute.Sign) []string {
	if len(all) == 0 || t.signed[server] {
		return nil
	}
	if t.signed == nil {
		t.signed = make(map[netip.AddrPort]bool)
	}
	t.signed[server] = true
	var out []string
	for _, s := range all[:min(len(all), shownSigns)] {
		out = append(out, tidy(s.Text))
	}
	if n := len(all) - shownSigns; n > 0 {
		out = append(out, "+ "+plural(n, "other sign")+"; --format json tells all")
	}
	return out
}
