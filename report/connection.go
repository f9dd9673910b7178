package report

import (
	"encoding/hex"

	"whoasked/attribute"
	"whoasked/parse"
)

// fill makes l the line of c.
func (l *connectionLine) fill(c *attribute.Connection) {
	*l = connectionLine{
		Kind: "connection", ID: c.ID, Time: stamp(c.Start), End: stamp(c.Last), EndReason: c.End.String(),
		Capture: c.Capture, Via: c.Flow.Via, SameAs: c.SameAs, Transport: c.Transport(),
		Client: parse.EndName(c.Client), Server: parse.EndName(c.Server), Context: c.Method,
		Preamble: c.Preamble, Proxied: proxiedFor(c.Proxied), Target: c.Target, Tunnel: c.Tunnel, Inside: c.Inside, Midstream: c.Midstream, TCP: opening(c), Hop: c.Hop, CommunityID: c.Flow.CommunityID(0),
		ServerCertificate: leaf(c.ServerCerts()), ClientCertificate: leaf(c.ClientCerts()),
		LostBytes:     c.Sides[0].Lost + c.Sides[1].Lost,
		ConflictBytes: c.Sides[0].Conflict + c.Sides[1].Conflict,
	}
	if c.QUIC != nil {
		l.QUICVersion = c.QUIC.Version
	}
	l.hellos(c)
	l.verdict(&c.Verdict)
	if len(c.Requests) > 0 {
		l.request(c.Requests[0])
	}
	for _, a := range c.Alerts {
		l.Alerts = append(l.Alerts, alertMember{
			Time: stamp(c.Start.Add(a.At)), From: role(c, a.From), Level: level(a),
			Code: a.Description, Name: parse.AlertName(a.Description),
		})
	}
	for side := range c.Sides {
		if text := c.Sides[side].Malformed; text != "" {
			l.Malformed = append(l.Malformed, role(c, parse.Side(side))+": "+text)
		}
	}
}

func proxiedFor(p *parse.Proxied) *proxiedMember {
	if p == nil {
		return nil
	}
	return &proxiedMember{Client: p.Source.String(), Server: p.Dest.String()}
}

func (l *connectionLine) hellos(c *attribute.Connection) {
	if ch := c.ClientHello; ch != nil {
		l.SNI, l.ECH, l.JA3, l.JA4 = ch.ServerName, ch.ECH, ch.JA3, ch.JA4
		l.ClientRandom = hex.EncodeToString(ch.Random[:])
	}
	if sh := c.ServerHello; sh != nil {
		l.ALPN, l.Version, l.JA3S = sh.ALPN, sh.Version.String(), sh.JA3S
		if sh.Version != parse.SSL20 { // its cipher kinds are none of IANA's suites
			l.Cipher = sh.Cipher.String()
		}
	}
}

func (l *connectionLine) verdict(v *attribute.Verdict) {
	l.Asked, l.Basis, l.When, l.Reason = v.Asked.String(), v.Basis.String(), v.When.String(), v.Reason
	if v.Resumed || v.Asked == attribute.No || v.When == attribute.InHandshake {
		l.Resumed = &v.Resumed
	}
	for _, e := range v.Evidence {
		l.Evidence = append(l.Evidence, e.Rule+": "+e.Text)
	}
	if v.Asked != attribute.Yes {
		return
	}
	l.AskedBy, l.Reply, l.Unused, l.Required = parse.EndName(v.By), v.Reply.String(), v.Unused, v.Required.String()
	if v.When != attribute.AfterHandshake || v.Basis == attribute.Unsealed { // else its times are not told
		l.AskedAt, l.ReactedAt = stamp(v.AskedAt), stamp(v.ReactedAt)
	}
}

// leaf returns what is shown of the first certificate of a chain.
func leaf(chain []*parse.Certificate) *certificateMember {
	if len(chain) == 0 {
		return nil
	}
	c := chain[0]
	return &certificateMember{
		SHA256: hex.EncodeToString(c.SHA256[:]), Subject: c.Subject, Issuer: c.Issuer, Names: c.Names, NotAfter: stamp(c.NotAfter),
	}
}

// role names a side the way Connection.Client and Server do.
func role(c *attribute.Connection, s parse.Side) string {
	if s == c.ClientSide() {
		return "client"
	}
	return "server"
}

func level(a parse.Alert) string {
	if a.Fatal {
		return "fatal"
	}
	return "warning"
}
