package parse

import (
	"slices"
	"time"
)

// Conn parses one connection; the only TLS parser in the program.
//
// Each direction has its own state and its own bounded buffer; what one side
// sent matters to the other only through the facts in the Handshake.
type Conn struct {
	p      *Parser
	h      *Handshake
	dirs   [2]direction
	now    time.Time
	heard  *listener // of what comes before TLS; nil while nothing does
	recent recent    // what a post-handshake round is cut from
	grams  *datagrams
	un     *unsealing // nil without keys
	inner  *Conn      // that runs in a tunnel through this one; nil for none
	depth  uint8      // how many this one is inside of
}

// Handshake returns the record of the connection so far. It is updated by Feed.
func (c *Conn) Handshake() *Handshake { return c.h }

// Opaque reports whether a side's direction was given up: its bytes, more than
// 256 KiB of them or behind a loss, showed no TLS, and further ones are only
// counted.
func (c *Conn) Opaque(s Side) bool { return c.dirs[s].mode == opaque }

// Feed takes the next chunk and returns the facts it completed, in order. The
// slice is valid until the next call for any connection of the Parser; what it
// points to may be kept.
func (c *Conn) Feed(ch Chunk) []Event { return c.feed(&ch) }

func (c *Conn) feed(ch *Chunk) []Event {
	c.p.events = c.p.events[:0]
	h := c.h
	if h.Start.IsZero() {
		h.Start, h.Flow, h.Midstream = ch.Time, ch.Flow, ch.Midstream
	}
	h.Flow.Via = ch.Flow.Via // the way back may be known of later
	c.now = ch.Time
	if ch.Time.After(h.Last) {
		h.Last = ch.Time
	}
	if ch.Opening != nil {
		h.Opening[ch.From] = *ch.Opening
	}
	side, d := &h.Sides[ch.From], &c.dirs[ch.From]
	if ch.Conflict > 0 {
		side.Conflict += int64(ch.Conflict)
		c.emit(Event{Kind: EventConflict, From: ch.From, Bytes: int64(ch.Conflict)})
	}
	if ch.Lost > 0 {
		side.Lost += int64(ch.Lost)
		c.emit(Event{Kind: EventLost, From: ch.From, Bytes: int64(ch.Lost)})
	}
	if missing := ch.Lost + ch.Skipped; missing > 0 && !ch.Flow.Proto.Datagrams() {
		side.Bytes += int64(ch.Skipped)
		d.lose(missing)
	}
	if ch.Walked > 0 {
		side.Bytes += int64(ch.Walked)
		d.align()
	}
	if len(ch.Data) > 0 {
		side.Bytes += int64(len(ch.Data))
		if ch.Flow.Proto.Datagrams() {
			c.datagram(ch)
		} else {
			d.feed(ch.Data)
		}
	}
	if ch.Fin {
		d.finish()
		c.emit(Event{Kind: EventFin, From: ch.From})
		if ch.End == Open {
			c.endInner(ch)
		}
	}
	if ch.End != Open {
		c.grams.finish()
		for s := range c.dirs {
			c.dirs[s].finish()
		}
		c.endInner(ch)
		c.emit(Event{Kind: EventEnd, From: ch.From, End: ch.End})
	}
	return c.p.events
}

// emit stamps an event, folds it into the record and hands it out.
func (c *Conn) emit(e Event) {
	if e.Time.IsZero() {
		e.Time = c.now
	}
	c.h.apply(&e)
	c.p.events = append(c.p.events, e)
}

// emitRecord is emit for what there is most of, without copies of an Event.
func (c *Conn) emitRecord(r Record) {
	c.h.record(r)
	n := len(c.p.events)
	c.p.events = slices.Grow(c.p.events, 1)[:n+1]
	c.p.events[n] = Event{Kind: EventRecord, From: r.From, Time: c.h.Start.Add(r.At), Record: r}
}

// since is the offset of now in the record's time base.
func (c *Conn) since() time.Duration { return c.now.Sub(c.h.Start) }

// malformed reports the first break of the rules in a direction.
func (c *Conn) malformed(from Side, what string) {
	if c.h.Sides[from].Malformed == "" {
		c.emit(Event{Kind: EventMalformed, From: from, Text: what})
	}
}

// started is called when a direction is found to carry TLS.
func (c *Conn) started() {
	if c.heard != nil {
		// Said again when the other direction begins: it may have heard more.
		if b := c.heard.before(); b.Name != c.h.Preamble || b.Proxied != c.h.Proxied || b.Target != c.h.Target {
			c.emit(Event{Kind: EventPreamble, Before: &b})
		}
	}
	if c.h.TLS {
		return
	}
	c.h.TLS = true
	// The other side's hello is now worth looking for, however much plain text
	// it has sent before.
	for s := range c.dirs {
		d := &c.dirs[s]
		d.hunted = 0
		if d.mode == opaque {
			d.mode = hunting
		}
	}
}

// apply folds one event into the record.
func (h *Handshake) apply(e *Event) {
	side := &h.Sides[e.From]
	switch e.Kind {
	case EventClientHello:
		if h.ClientHello == nil {
			h.ClientHello = e.ClientHello
		}
		h.role(e.From)
	case EventHelloRetryRequest:
		h.RetryRequested = true
		h.role(e.From.Other())
	case EventServerHello:
		if h.ServerHello == nil {
			h.ServerHello = e.ServerHello
		}
		h.role(e.From.Other())
	case EventCertificateRequest:
		if len(h.Requests) < MaxRequests {
			h.Requests = append(h.Requests, e.Request)
		}
		h.role(e.From.Other())
	case EventCertificate:
		side.Certs = e.Certificates
		side.CertMessages++
	case EventEncryptedExtensions:
		if h.ServerHello != nil && e.Text != "" {
			sh := *h.ServerHello // the one in the event stays as it was
			sh.ALPN = e.Text
			h.ServerHello = &sh
		}
	case EventMessage:
		if len(h.Messages) < MaxMessages {
			h.Messages = append(h.Messages, e.Message)
		}
		switch e.Message.Type {
		case TypeServerKeyExchange, TypeServerHelloDone, TypeCertificateRequest, TypeHelloVerifyRequest:
			h.role(e.From.Other())
		case TypeClientKeyExchange:
			h.role(e.From)
		}
	case EventRecord:
		h.record(e.Record)
	case EventRound:
		if len(h.Rounds) < MaxRounds {
			h.Rounds = append(h.Rounds, Round{Kind: e.Round, Tape: Tape{Records: e.Records}, open: true})
		}
	case EventAlert:
		if len(h.Alerts) < MaxAlerts {
			h.Alerts = append(h.Alerts, e.Alert)
		}
	case EventPreamble:
		h.Preamble, h.Proxied, h.Target = e.Before.Name, e.Before.Proxied, e.Before.Target
	case EventTunnel:
		h.Tunnel = e.Text
	case EventMalformed:
		side.Malformed = e.Text
	case EventFin:
		if side.FinAt.IsZero() {
			side.FinAt = e.Time
		}
	case EventEnd:
		h.End, h.EndFrom = e.End, e.From
	}
}

// role notes who is the TLS client; the first message that tells decides.
func (h *Handshake) role(client Side) {
	if !h.ClientKnown {
		h.Client, h.ClientKnown = client, true
	}
}

// record books a sealed record or a ChangeCipherSpec.
func (h *Handshake) record(r Record) {
	side := &h.Sides[r.From]
	switch r.Type {
	case ApplicationData:
		side.AppData++
		side.AppBytes += int64(r.Len)
	case ChangeCipherSpec:
		side.CCS = true
	}
	if n := len(h.Rounds); n > 0 && h.Rounds[n-1].open {
		h.Rounds[n-1].Tape.add(r)
		return
	}
	h.Tape.add(r)
}

// add keeps the tape in time order: a record found again behind a loss is
// confirmed later than it was sent.
func (t *Tape) add(r Record) {
	if len(t.Records) >= MaxTape {
		t.Full = true
		return
	}
	t.Records = append(t.Records, r)
	for i := len(t.Records) - 1; i > 0 && t.Records[i-1].At > t.Records[i].At; i-- {
		t.Records[i-1], t.Records[i] = t.Records[i], t.Records[i-1]
	}
}
