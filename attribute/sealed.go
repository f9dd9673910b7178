package attribute

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"whoasked/parse"
)

// Rules on TLS 1.3, where everything behind the ServerHello is sealed.

// pskAccepted: a server that authenticates by a pre-shared key must not ask for
// a certificate in the handshake (RFC 8446 §4.3.2).
func pskAccepted(v *view) finding {
	if !v.tls13 || !v.ServerHello.PSK {
		return finding{}
	}
	return finding{answer: No, resumed: true, text: "the ServerHello accepts a pre-shared key: a resumed session, in which a request is forbidden"}
}

// clientFlightExact: a client that was asked must answer with Certificate, if
// need be an empty one (RFC 8446 §4.4.2), and the lengths tell. Those that
// padding could make as well count no more than the cut of the server's flight.
func clientFlightExact(v *view) finding {
	f := finding{text: v.flight.text}
	switch v.flight.kind {
	case flightFinished:
		if text := v.perhapsPadded(); text != "" {
			return finding{text: text}
		}
		f.answer, f.resumed = No, v.pskTaken()
	case flightEmpty:
		if server, _ := v.framing(); server.answer == Unknown {
			if text := v.perhapsFinished(); text != "" {
				return finding{text: text}
			}
		}
		f.answer = Yes
	case flightCert:
		f.answer = Yes
	case flightUnclear:
		return f
	default:
		return finding{}
	}
	if !v.flight.forced(v.sealedC) {
		f.strength = shape
	}
	return f
}

// clientFlightLarge: a single record that only a Certificate can fill. It is
// weaker than an exact length, as padding or large settings could fill it too.
func clientFlightLarge(v *view) finding {
	if v.flight.kind == flightLarge {
		return finding{answer: Yes, text: v.flight.text}
	}
	return finding{}
}

// serverFraming: a server that puts one message in a record shows how many it
// sent: EncryptedExtensions, [CertificateRequest,] Certificate,
// CertificateVerify, Finished. Exact lengths of the last two prove the framing.
func serverFraming(v *view) finding {
	f, _ := v.framing()
	return f
}

// framing is the finding of serverFraming, and whether more records could still
// change it.
func (v *view) framing() (f finding, final bool) {
	if !v.tls13 || v.ServerHello.PSK {
		return finding{}, true
	}
	suite := v.ServerHello.Cipher
	fin, ok := suite.FinishedLen()
	if !ok {
		return finding{}, true
	}
	recs := joinFragments(v.sealedS)
	for i, r := range recs {
		if r.Gap || i > 4 {
			return finding{}, true
		}
		for _, pad := range []int{0, jssePadding} {
			if i < 3 || int(r.Len) != fin+pad || !isCertificateVerify(suite, int(recs[i-1].Len)-pad) {
				continue
			}
			return framed(suite, recs[:i+1], pad), true
		}
	}
	return finding{}, len(recs) > 4 || v.Tape.Full
}

// framed judges a server flight of four or five records whose last two are
// CertificateVerify and Finished.
func framed(suite parse.CipherSuite, recs []parse.Record, pad int) finding {
	found := func(a Answer, what string) finding {
		return finding{answer: a, text: "the server's sealed flight is " + strconv.Itoa(len(recs)) +
			" records of " + lengths(recs) + " bytes: " + what}
	}
	if len(recs) == 4 {
		// EncryptedExtensions is small; a larger first record may hold a
		// request as well.
		if most, _ := suite.Sealed13(104 + pad); int(recs[0].Len) > most {
			return finding{}
		}
		return found(No, "EncryptedExtensions, Certificate, CertificateVerify, Finished, and no CertificateRequest")
	}
	// A certificate cut into two fragments also makes five records, but then
	// its first part is the larger.
	least, _ := suite.Sealed13(4 + 1 + 2 + 4 + 2 + 2)
	if n := int(recs[1].Len) - pad; n < least || recs[1].Len >= recs[2].Len {
		return finding{}
	}
	return found(Yes, "one more than EncryptedExtensions, Certificate, CertificateVerify, Finished, and the second is the CertificateRequest")
}

// joinFragments joins a message cut at the largest record size.
func joinFragments(recs []parse.Record) []parse.Record {
	const full = 1 << 14
	if !slices.ContainsFunc(recs, func(r parse.Record) bool { return r.Len >= full }) {
		return recs
	}
	var out []parse.Record
	for i, r := range recs {
		if i > 0 && recs[i-1].Len >= full && !r.Gap {
			continue
		}
		out = append(out, r)
	}
	return out
}

// heldAtLeast is how long a client must keep silent on an open connection for
// it to count as a dialog on screen rather than as delay.
const heldAtLeast = 2 * time.Second

// silence describes a TLS 1.3 client that has not answered the server's flight.
type silence struct {
	since time.Duration // when the server's flight was through
	until time.Duration // when the silence ended
	// by whom, if not by the end of the capture
	fin, serverClosed bool
}

// silent reports how a client kept silent after a server flight, ok false if it
// did not, or if that cannot be known.
func (v *view) silent() (silence, bool) {
	if !v.tls13 || v.ServerHello.PSK || len(v.sealedS) == 0 || len(v.sealedC) > 0 || v.Sides[v.client].Lost > 0 {
		return silence{}, false
	}
	for _, a := range v.Alerts {
		if a.From == v.client {
			return silence{}, false
		}
	}
	s := silence{since: v.sealedS[0].At, until: v.Last.Sub(v.Start)}
	at, closed := v.finAt(v.client)
	if closed && at < s.since {
		return silence{}, false // it gave up before it could know of a request
	}
	for _, r := range v.sealedS {
		if !closed || r.At <= at { // servers may react to the close
			s.since = r.At
		}
	}
	if serverAt, ok := v.finAt(v.server); ok && (!closed || serverAt < at) {
		closed, s.serverClosed, s.until = false, true, serverAt
	}
	if closed {
		s.until, s.fin = at, true
	}
	return s, true
}

// browserDropped: Chromium and Firefox close a connection that asks, without a
// word, before they show a dialog or connect again with an answer.
func browserDropped(v *view) finding {
	s, ok := v.silent()
	if !ok || !s.fin {
		return finding{}
	}
	took := (s.until - s.since).Round(time.Millisecond)
	if s.until-s.since > heldAtLeast {
		return finding{} // browserHeld speaks
	}
	if b := v.browser(); b != "" {
		f := finding{answer: Yes, dropped: true,
			text: fmt.Sprintf("the client, by its ClientHello %s, closed without a word %v after the server's flight, as it does when asked for a certificate", b, took),
			reason: fmt.Sprintf("the client, by its ClientHello %s, closed without a word right after the server's flight: it does so when asked for a certificate, "+
				"but also when it ends or has no more use for the connection, and no other connection of it tells", b)}
		if v.support != "" {
			f.text += "; " + v.support
		}
		return f
	}
	return finding{text: fmt.Sprintf("the client closed without a word %v after the server's flight: browsers do that when asked for a certificate, but this ClientHello is not one of theirs", took)}
}

// browserHeld: Firefox keeps the connection open and silent while its dialog is
// on screen.
func browserHeld(v *view) finding {
	s, ok := v.silent()
	if !ok {
		return finding{}
	}
	held := s.until - s.since
	switch b := v.browser(); {
	case held < heldAtLeast && (s.fin || s.serverClosed):
		return finding{}
	case held < heldAtLeast:
		return finding{text: fmt.Sprintf("the capture of this connection ends %v after the server's flight, before the client answered", held.Round(time.Millisecond))}
	case b == firefox:
		return finding{answer: Yes, text: fmt.Sprintf("the client, by its ClientHello Firefox, kept the connection open in silence for %s after the server's flight, as it does while a certificate dialog is on screen", seconds(held))}
	default:
		return finding{text: fmt.Sprintf("the client kept silent for %s after the server's flight: Firefox does that while its dialog is open, but this ClientHello is not Firefox's", seconds(held))}
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// Browser families, as far as a ClientHello tells.
const (
	chromium = "Chromium"
	firefox  = "Firefox"
)

// browser names the browser family that a ClientHello looks like, empty for
// none: Chromium by GREASE with application settings, Firefox by delegated
// credentials with a record size limit.
func (v *view) browser() string {
	ch := v.ClientHello
	switch {
	case ch == nil:
	case ch.GREASE && ch.ALPS:
		return chromium
	case hasExtension(ch, 34) && hasExtension(ch, 28):
		return firefox
	}
	return ""
}

func hasExtension(ch *parse.ClientHello, t uint16) bool {
	for _, e := range ch.Extensions {
		if e == t {
			return true
		}
	}
	return false
}
