package attribute

import (
	"fmt"
	"time"

	"whoasked/parse"
)

// Manner is how a client went about a connection, as far as another one can be
// made alike.
type Manner struct {
	// Version is what the server chose, 0 if that is not known. ALPN is what it chose,
	// or, if that is not known or nothing, "h2" if it was offered, or else what was
	// offered first; empty for nothing.
	Version parse.Version
	ALPN    string
	// Browser is as [Browser] names it. Later: the client could be asked after the
	// handshake (RFC 8446 §4.2.6).
	Browser string
	Later   bool
	// Preamble and Target are as in [parse.Handshake].
	Preamble, Target string
	// Inside names what TLS ran in, if not in a TCP connection: "quic", "eapol" …
	Inside string

	need need
}

// need says how much a connection leaves to be asked of its endpoint; the zero
// value is nothing.
type need uint8

const (
	needNothing need = iota
	needClear        // that it did not ask was inferred
	needResumed      // it could not ask
	needUnknown
	needAsked // that it asked was inferred
)

// needOf says what a connection leaves to be asked. Requests that come after the
// handshake take a path, and more than a handshake to be met again.
func needOf(c *Connection) need {
	switch v := &c.Verdict; {
	case v.Asked == Yes && v.Basis == Inferred && v.When == InHandshake:
		return needAsked
	case v.Asked == Unknown && c.ServerHello != nil && !v.later:
		return needUnknown
	case v.Asked == No && v.Resumed:
		return needResumed
	case v.Asked == No && v.Basis == Inferred:
		return needClear
	}
	return needNothing
}

// look remembers how the client of a connection went about it, if none before left
// as much to be asked.
func (a *Asker) look(c *Connection) {
	n := needOf(c)
	if n <= a.Manner.need {
		return
	}
	m := Manner{need: n, Browser: Browser(c.Handshake), Preamble: c.Preamble, Target: c.Target}
	switch t := c.Transport(); {
	case c.Method != "":
		m.Inside = c.Method
	case c.DTLS:
		m.Inside = "dtls"
	case t != "tcp":
		m.Inside = t
	}
	if h := c.ClientHello; h != nil {
		m.Later = h.PostHandshakeAuth
		for i, p := range h.ALPN {
			if i == 0 || p == "h2" {
				m.ALPN = p
			}
		}
	}
	if h := c.ServerHello; h != nil {
		if m.Version = h.Version.TLS(); h.Version.IsTLS13() {
			m.Version = parse.TLS13
		} else if h.ALPN != "" {
			m.ALPN = h.ALPN
		}
	}
	a.Manner = m
}

// Open reports whether a handshake with the endpoint itself can tell more than
// was captured: that it asks was inferred alone, or whether it does is not known.
func (a *Asker) Open() bool {
	switch {
	case a.Manner.need == needNothing || a.Passes > 0 && a.Passes >= a.Asked:
		return false
	case a.Asked > 0:
		return a.Manner.need == needAsked && a.basis() == Inferred
	case a.NotAsked > 0:
		return a.Unknown > 0 && a.basis() == Inferred
	}
	return true
}

// Confirmation is what came of asking an endpoint itself.
type Confirmation struct {
	At time.Time
	// Asked, with Because: the rules that tell, or why it is unknown.
	Asked   Answer
	Because []string
	// Version, ALPN and Hello are what was offered, and whose ClientHello it was.
	Version, ALPN, Hello string
	// Request is what was asked for, nil for nothing.
	Request *parse.CertificateRequest
}

// Standing is how a probe stands to what was captured.
type Standing uint8

// Values of Standing.
const (
	// StandsOpen: the probe does not decide.
	StandsOpen Standing = iota
	// StandsTells: what was captured does not tell, and the probe does.
	StandsTells
	// StandsConfirms: both say the same.
	StandsConfirms
	// StandsContradicts: they differ. What was captured stays the answer.
	StandsContradicts
)

func (s Standing) String() string {
	return [...]string{"open", "tells", "confirms", "contradicts"}[s]
}

// Standing tells how the probe of an asker, which it must have, stands to what
// was captured. Where it was asked in some handshakes only, one that is not asked
// is no contradiction.
func (a *Asker) Standing() Standing {
	yes := a.Probe.Asked == Yes
	switch {
	case a.Probe.Asked == Unknown, a.Asked > 0 && a.NotAsked > 0 && !yes:
		return StandsOpen
	case a.Asked+a.NotAsked == 0:
		return StandsTells
	case yes == (a.Asked > 0):
		return StandsConfirms
	}
	return StandsContradicts
}

// basis is the strongest there is for what a's connections say: for a request if
// there was any.
func (a *Asker) basis() Basis {
	of := &a.clear
	if a.Asked > 0 {
		of = &a.asked
	}
	for b := Seen; b > NoBasis; b-- {
		if of[b] > 0 {
			return b
		}
	}
	return NoBasis
}

// Basis says how it is known whether the endpoint asks. A probe that is as good
// as or better than what was captured goes before it.
func (a *Asker) Basis() Basis {
	b := a.basis()
	if a.Probe != nil && b <= Inferred {
		if s := a.Standing(); s == StandsTells || s == StandsConfirms {
			return ByProbe
		}
	}
	return b
}

// Asks is the answer of all connections of the endpoint: yes if any was asked;
// where none tells, that of its probe.
func (a *Asker) Asks() Answer {
	switch {
	case a.Asked > 0:
		return Yes
	case a.NotAsked > 0:
		return No
	case a.Probe != nil:
		return a.Probe.Asked
	}
	return Unknown
}

// asProbed is a as if its probe, which was asked, were all that is known of it.
func (a *Asker) asProbed() *Asker {
	out := *a
	out.Full, out.Asked, out.NotAsked, out.Unknown, out.Reasons = 1, 1, 0, 0, nil
	out.Traits = Traits{Handshake: 1, FirstAsked: a.Probe.At, LastAsked: a.Probe.At, Names: a.Traits.Names}
	count(&out.Traits.Asked12, &out.Traits.Asked13, a.Probe.Version == parse.TLS13.String())
	if r := a.Probe.Request; r != nil && r.Malformed == "" {
		out.Traits.Legible = 1
		if len(r.Authorities) == 0 {
			out.Traits.Nameless = 1
		}
		out.Traits.Authorities = r.Authorities[:min(len(r.Authorities), maxTraitWords)]
	}
	return &out
}

// Contradiction says in a sentence how the probe contradicts what was captured,
// empty if it does not.
func (a *Asker) Contradiction() string {
	if a.Probe == nil || a.Standing() != StandsContradicts {
		return ""
	}
	const clock = "2006-01-02 15:04:05 UTC"
	at := a.Probe.At.UTC().Format(clock)
	if a.Asked > 0 {
		return fmt.Sprintf("it was inferred to have asked in %d of %s, at last on %s, and did not ask a probe on %s: "+
			"it was changed since, or asks some clients only; the answer is that of the capture",
			a.Asked, plural(a.Full, "full handshake"), a.Traits.LastAsked.UTC().Format(clock), at)
	}
	return fmt.Sprintf("it was inferred not to have asked in %s, at last on %s, and asked a probe on %s: "+
		"it was changed since, or asks some clients only; the answer is that of the capture",
		plural(a.NotAsked, "full handshake"), a.Traits.LastClear.UTC().Format(clock), at)
}

// Asker returns the counts of the endpoint and name of a connection so far, nil
// where they are not kept. They may be looked at until the Book is used again.
func (b *Book) Asker(c *Connection) *Asker { return b.askers[endpointOf(c)] }

// Confirm keeps what came of asking the endpoint of an asker itself. It returns
// the asker as it is now, nil if it was forgotten.
func (b *Book) Confirm(a *Asker, c *Confirmation) *Asker {
	now := b.askers[endpoint{a.Addr, a.SNI}]
	if now == nil {
		return nil
	}
	now.Probe = c
	out := *now
	return &out
}
